//! The worker and the built-in runtime, for real: as root and as an ordinary user.
//!
//! Images are made by `mksquashfs` (part `squashfs-tools`) and our own SIF writer out of this
//! machine's `/bin/sh` and a few tools.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use moorline::job::{
    Grade, IntentId, JobId, JobSpec, Mount, Need, Nonce, Resources, RuntimeChoice,
};
use moorline::oci::{Digest, Sha256Digest, SifDigest};
use moorline::pin::Image;
use moorline::sif::{Arch, DataType, Identity, SifWriter};
use moorline::worker::script::{self, ScriptInput};
use moorline::worker::{PLAN_SCHEMA, Plan, Receipt, Start};

/// Who runs a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum User {
    Me,
    Nobody,
}

const NOBODY: u32 = 65534;

fn am_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a part of the tests can run; loud when not, and fatal when it is demanded.
fn have(part: &str, test: &str, there: bool) -> bool {
    if !there {
        let required = std::env::var("MOORLINE_TESTS_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|p| p == part), "{test}: {part} is required and not here");
        eprintln!("SKIPPED: {test}: {part} is not here");
    }
    there
}

fn in_path(program: &str) -> bool {
    moorline::execute::find_program(program).is_some()
}

/// Users to run a test as: always this one, and an ordinary one when this is root.
fn users() -> Vec<User> {
    if am_root() { vec![User::Me, User::Nobody] } else { vec![User::Me] }
}

/// A directory that every user can reach, with the program in it.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn program(&self) -> PathBuf {
        self.dir.path().join("moorline")
    }
}

/// One copy of the program for all tests: `target/` may be below a home directory.
fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let dir = tempfile::Builder::new().prefix("execute-test-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let world = World { dir };
        fs::copy(env!("CARGO_BIN_EXE_moorline"), world.program()).unwrap();
        fs::set_permissions(world.program(), fs::Permissions::from_mode(0o755)).unwrap();
        world
    })
}

/// Copies a program and the libraries that it needs to the same paths below `root`.
fn install(root: &Path, program: &str) {
    let copy = |path: &Path| {
        let to = root.join(path.strip_prefix("/").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        if !to.exists() {
            fs::copy(path, to).unwrap();
        }
    };
    copy(Path::new(program));
    let listed = Command::new("ldd").arg(program).output().unwrap();
    for word in String::from_utf8_lossy(&listed.stdout).split_whitespace() {
        if word.starts_with('/') {
            copy(Path::new(word));
        }
    }
}

/// The tree of the test image, made once.
fn tree() -> &'static Path {
    static TREE: OnceLock<PathBuf> = OnceLock::new();
    TREE.get_or_init(|| {
        let root = world().dir.path().join("tree");
        for program in [
            "/bin/sh",
            "/bin/cat",
            "/bin/ls",
            "/bin/sleep",
            "/bin/touch",
            "/bin/mkdir",
            "/bin/rm",
            "/usr/bin/id",
            "/usr/bin/env",
            "/usr/bin/stat",
            "/bin/kill",
        ] {
            if Path::new(program).exists() {
                install(&root, program);
            }
        }
        for dir in ["etc", "opt/tools", "proc", "tmp"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        fs::write(root.join("opt/tools/hello"), "#!/bin/sh\necho \"hello $*\"\n").unwrap();
        fs::set_permissions(root.join("opt/tools/hello"), fs::Permissions::from_mode(0o6755))
            .unwrap();
        // a link that would leave the image if it were followed on the machine
        symlink("/../../../run/resolv/stub.conf", root.join("etc/resolv.conf")).unwrap();
        root
    })
}

/// Wraps a squashfs of `tree` into a SIF with this image configuration.
fn make_sif(tree: &Path, config: Option<&str>, to: &Path) -> SifDigest {
    let squashfs = to.with_extension("squashfs");
    let done = Command::new("mksquashfs")
        .args([tree, &squashfs])
        .args(["-noappend", "-no-progress", "-quiet", "-all-root", "-processors", "1"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let bytes = fs::read(&squashfs).unwrap();
    fs::remove_file(&squashfs).unwrap();
    sif_of(&bytes, config, to)
}

fn sif_of(squashfs: &[u8], config: Option<&str>, to: &Path) -> SifDigest {
    let identity = Identity {
        uuid: [1; 16],
        time: 1_700_000_000,
        arch: Arch::of(&"linux/amd64".parse().unwrap()).unwrap(),
    };
    let mut out = File::create(to).unwrap();
    let mut sif = SifWriter::begin(&mut out, identity).unwrap();
    if let Some(config) = config {
        sif.object(DataType::Json, "oci-config.json", config.as_bytes()).unwrap();
    }
    sif.partition().unwrap();
    sif.inner().write_all(squashfs).unwrap();
    sif.finish(squashfs.len() as u64).unwrap();
    drop(out);
    fs::set_permissions(to, fs::Permissions::from_mode(0o444)).unwrap();
    SifDigest::of(&fs::read(to).unwrap())
}

/// The test image, made once.
fn image() -> &'static (PathBuf, SifDigest) {
    static IMAGE: OnceLock<(PathBuf, SifDigest)> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let path = world().dir.path().join("image.sif");
        let config = r#"{"Env":["PATH=/usr/bin:/bin:/opt/tools","GREETING=it's \"so\" $x"],
            "Entrypoint":["hello","from"],"Cmd":["cmd"]}"#;
        let digest = make_sif(tree(), Some(config), &path);
        (path, digest)
    })
}

/// One job directory and what it will run.
struct Job {
    dir: tempfile::TempDir,
    plan: Plan,
    user: User,
    env: Vec<(String, String)>,
}

struct Done {
    code: i32,
    stdout: String,
    stderr: String,
    receipt: Option<Receipt>,
}

impl Job {
    fn new(user: User, command: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("job-").tempdir_in(world().dir.path()).unwrap();
        for name in ["work", "control", "tmp"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let (place, digest) = image().clone();
        let plan = Plan {
            schema: PLAN_SCHEMA,
            intent: IntentId::from_bytes([2; 16]),
            nonce: Nonce::from_bytes([3; 16]),
            job: JobSpec {
                id: JobId::from_parts(1_700_000_000_000, 7),
                name: None,
                image: Image::Sif { pin: None, digest, recipe: None, place },
                command: command.iter().map(|w| (*w).to_owned()).collect(),
                mounts: vec![Mount { source: "/nowhere/cvmfs".into(), ..Mount::cvmfs() }],
                env: vec![],
                runtime: RuntimeChoice::Builtin,
                options: vec![],
                resources: Resources::default(),
                workdir: None,
                rerun_of: None,
            },
            workdir: dir.path().join("work"),
            node_cache: Some(dir.path().join("tmp")),
            site_store: None,
        };
        let job = Self { dir, plan, user, env: vec![] };
        job.give_away();
        job
    }

    /// A shell script as the command.
    fn sh(user: User, script: &str) -> Self {
        Self::new(user, &["sh", "-c", script])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn mount(mut self, text: &str) -> Self {
        self.plan.job.mounts.push(text.parse().unwrap());
        self
    }

    /// Everything below belongs to the user who runs the worker.
    fn give_away(&self) {
        if self.user == User::Nobody {
            let mut todo = vec![self.dir.path().to_owned()];
            while let Some(path) = todo.pop() {
                std::os::unix::fs::lchown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
                if path.is_dir() && !path.is_symlink() {
                    todo.extend(fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
                }
            }
        }
    }

    /// A command that runs as the job's user with a bare environment.
    fn as_user(&self, program: &OsStr) -> Command {
        let mut command = if self.user == User::Nobody {
            let mut c = Command::new(moorline::execute::find_program("setpriv").unwrap());
            c.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]).arg(program);
            c
        } else {
            Command::new(program)
        };
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("TMPDIR", self.path("tmp"))
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    fn worker(&self) -> Command {
        let plan = self.path("control/plan.json");
        let bytes = self.plan.to_bytes().unwrap();
        fs::write(&plan, &bytes).unwrap();
        self.give_away();
        let mut command = self.as_user(world().program().as_os_str());
        command
            .arg("worker")
            .arg(self.path("control"))
            .args(["--plan-sha256", &Digest::of(&bytes).hex()]);
        command
    }

    fn run(&self) -> Done {
        self.done(&self.worker().output().unwrap())
    }

    fn done(&self, output: &Output) -> Done {
        use std::os::unix::process::ExitStatusExt;
        Done {
            code: output.status.code().unwrap_or_else(|| -output.status.signal().unwrap()),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            receipt: self.receipts().pop(),
        }
    }

    fn receipts(&self) -> Vec<Receipt> {
        fs::read_dir(self.path("control"))
            .unwrap()
            .map(|e| e.unwrap())
            .filter(|e| e.file_name().to_string_lossy().starts_with("receipt-"))
            .map(|e| Receipt::parse(&fs::read(e.path()).unwrap()).unwrap())
            .collect()
    }
}

/// Waits until `what` holds.
fn until(mut what: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !what() {
        assert!(Instant::now() < deadline, "it did not happen within 30 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn squashfs_tools(test: &str) -> bool {
    have("squashfs-tools", test, in_path("mksquashfs"))
}

/// `NAME: value` of a `/proc/self/status`.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find(|l| l.starts_with(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).split_once(':').unwrap().1.trim()
}

fn why(receipt: &Receipt) -> &str {
    match &receipt.start {
        Start::Refused { why } => why,
        Start::Started { .. } => panic!("it was started"),
    }
}

#[test]
fn a_program_has_the_callers_ids_and_no_privileges() {
    if !squashfs_tools("a_program_has_the_callers_ids_and_no_privileges") {
        return;
    }
    for user in users() {
        let job =
            Job::sh(user, "pwd; id -u; id -g; id -un; cat /proc/self/status; cat /proc/1/comm");
        let done = job.run();
        assert_eq!(done.code, 0, "{}", done.stderr);
        let uid = if user == User::Nobody { NOBODY } else { rustix::process::getuid().as_raw() };
        let mut lines = done.stdout.lines();
        assert_eq!(lines.next(), Some("/work_dir"));
        assert_eq!(lines.next(), Some(uid.to_string().as_str()));
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(field(&done.stdout, set), "0000000000000000", "{set} of {user:?}");
        }
        assert_eq!(field(&done.stdout, "NoNewPrivs"), "1");
        // only this container's processes are there
        assert!(field(&done.stdout, "Pid").parse::<u32>().unwrap() < 20);
        let receipt = done.receipt.unwrap();
        assert_eq!(receipt.evidence.grade, Grade::Measured, "{receipt:?}");
        assert_eq!(receipt.evidence.sif, Some(image().1));
        assert_eq!((receipt.intent, receipt.nonce), (job.plan.intent, job.plan.nonce));
        assert_eq!((receipt.runtime.as_str(), receipt.exit_code), ("builtin", 0));
        assert!(matches!(receipt.start, Start::Started { at } if at <= receipt.ended_at));
        assert!(receipt.skipped_mounts.is_empty() && done.stderr.is_empty(), "{}", done.stderr);
    }
}

#[test]
fn only_the_working_directory_and_tmp_can_be_written() {
    if !squashfs_tools("only_the_working_directory_and_tmp_can_be_written") {
        return;
    }
    for user in users() {
        let script = "touch made; echo mine >/tmp/t && cat /tmp/t; echo x >/dev/null && echo dev; \
            for f in /x /etc/x /opt/tools/x /sys/x /usr/x /proc/sys/kernel/core_pattern /etc/hosts; do \
            (echo x >$f) 2>/dev/null && echo \"wrote $f\"; done; ls -d /proc/self/fd/3 2>/dev/null; true";
        let job = Job::sh(user, script);
        let pattern = fs::read("/proc/sys/kernel/core_pattern").unwrap();
        let done = job.run();
        assert_eq!(done.stdout, "mine\ndev\n", "{user:?} {}", done.stderr);
        assert_eq!(fs::read("/proc/sys/kernel/core_pattern").unwrap(), pattern);
        assert!(job.path("work/made").exists());
        // nothing is left on the machine but the unpacked image
        let left: Vec<_> =
            fs::read_dir(job.path("tmp")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(left.iter().all(|n| n.to_string_lossy().starts_with("moorline-6")), "{left:?}");
    }
}

#[test]
fn variables_are_the_images_and_the_jobs() {
    if !squashfs_tools("variables_are_the_images_and_the_jobs") {
        return;
    }
    let mut job = Job::new(User::Me, &["env"]);
    job.plan.job.env.push("J=a b\nc".parse().unwrap());
    job.env = [("MOORLINE_PASSWORD", "geheim"), ("CI_JOB_TOKEN", "geheim"), ("TERM", "vt100")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
    let done = job.run();
    for line in [
        "GREETING=it's \"so\" $x",
        "J=a b\nc",
        "HOME=/work_dir",
        "TERM=vt100",
        "PATH=/usr/bin:/bin:/opt/tools",
    ] {
        assert!(done.stdout.contains(&format!("{line}\n")), "{line}: {}", done.stdout);
    }
    assert!(!done.stdout.contains("geheim") && !done.stdout.contains("TMPDIR"), "{}", done.stdout);
}

#[test]
fn the_images_own_program_runs_when_none_is_given() {
    if !squashfs_tools("the_images_own_program_runs_when_none_is_given") {
        return;
    }
    let run = |command: &[&str]| Job::new(User::Me, command).run().stdout;
    assert_eq!(run(&[]), "hello from cmd\n");
    // a given command replaces both, as `apptainer exec` does; found in the image's PATH
    assert_eq!(run(&["hello", "you"]), "hello you\n");
    // an image without oci-config.json has nothing to run
    let mut job = Job::new(User::Me, &[]);
    let path = job.path("bare.sif");
    let digest = make_sif(tree(), None, &path);
    job.plan.job.image = Image::Sif { pin: None, digest, recipe: None, place: path };
    let done = job.run();
    assert_eq!(done.code, 214);
    assert!(done.stderr.contains("neither ENTRYPOINT nor CMD"), "{}", done.stderr);
}

#[test]
fn exit_codes_are_passed_on() {
    if !squashfs_tools("exit_codes_are_passed_on") {
        return;
    }
    for user in users() {
        for (script, code) in [
            ("exit 0", 0),
            ("exit 7", 7),
            ("exit 210", 210),
            ("kill -KILL $$", 137),
            ("kill -TERM $$", 143),
            ("kill -ABRT $$", 134),
        ] {
            let done = Job::sh(user, script).run();
            assert_eq!(done.code, code, "{script}: {}", done.stderr);
            assert_eq!(done.receipt.unwrap().exit_code, code);
        }
        let done = Job::new(user, &["no-such-program"]).run();
        assert_eq!(done.code, 214);
        assert!(
            done.stderr.contains("\"no-such-program\" was not found in the image"),
            "{}",
            done.stderr
        );
        assert!(why(&done.receipt.unwrap()).contains("no-such-program"));
    }
}

#[test]
fn mounts_bind_what_was_asked_for() {
    if !squashfs_tools("mounts_bind_what_was_asked_for") {
        return;
    }
    for user in users() {
        let host = tempfile::Builder::new().prefix("host-").tempdir_in(world().dir.path()).unwrap();
        fs::set_permissions(host.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let at = |name: &str| host.path().join(name).display().to_string();
        for dir in ["scratch/in", "scratch2"] {
            fs::create_dir_all(at(dir)).unwrap();
        }
        fs::write(at("scratch/f"), "one").unwrap();
        fs::write(at("scratch2/f"), "two").unwrap();
        if user == User::Nobody {
            for dir in ["scratch", "scratch/in", "scratch2"] {
                chown(at(dir), Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let script = "cat /scratch/f /scratch2/f /opt/new/deep/f /opt/tools/file; \
            (touch /scratch/x) 2>/dev/null && echo 'wrote ro'; touch /scratch2/x && echo 'wrote rw'; \
            ls /opt /opt/tools";
        let job = Job::sh(user, script)
            .mount(&format!("{}:/scratch:ro", at("scratch")))
            .mount(&format!("{}:/scratch2", at("scratch2")))
            // places that the image lacks, below directories that it has
            .mount(&format!("{}:/opt/new/deep", at("scratch")))
            .mount(&format!("{}:/opt/tools/file:ro", at("scratch2/f")));
        let done = job.run();
        assert_eq!(
            done.stdout, "onetwoonetwowrote rw\n/opt:\nnew\ntools\n\n/opt/tools:\nfile\nhello\n",
            "{user:?} {}",
            done.stderr
        );
        assert!(host.path().join("scratch2/x").exists());

        // a file over a directory is refused, and said why
        let job = Job::sh(user, "true").mount(&format!("{}:/opt/tools", at("scratch/f")));
        let done = job.run();
        assert_eq!(done.code, 214);
        assert!(
            done.stderr.contains("cannot mount at /opt/tools: it is a directory"),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn submounts_come_along_and_read_only_means_all_of_them() {
    let test = "submounts_come_along_and_read_only_means_all_of_them";
    if !squashfs_tools(test) || !have("root", test, am_root()) {
        return;
    }
    // in a mount namespace of the test's own: a tmpfs below the directory that is bound, and one
    // that is mounted while the job runs, as automounts are
    let mut job = Job::sh(
        User::Me,
        "cat /d/sub/f; (touch /d/sub/x) 2>/dev/null && echo 'wrote ro'; touch /work_dir/ready; \
         while ! [ -e /d/late/f ]; do sleep 0.01; done; cat /d/late/f",
    );
    let d = job.path("d");
    fs::create_dir_all(d.join("sub")).unwrap();
    fs::create_dir_all(d.join("late")).unwrap();
    job = job.mount(&format!("{}:/d:ro", d.display()));
    let worker = job.worker();
    let script = r#"set -e; mount --make-rprivate /; mount -t tmpfs t "$1"; mount --make-shared "$1"
        mkdir "$1/sub" "$1/late"; mount -t tmpfs s "$1/sub"; echo sub >"$1/sub/f"
        d=$1; w=$2; shift 2
        "$@" & pid=$!
        i=0; while ! [ -e "$w/ready" ]; do sleep 0.01; i=$((i+1)); [ $i -lt 3000 ]; done
        mount -t tmpfs l "$d/late"; echo late >"$d/late/f"; wait $pid"#;
    let mut outer = Command::new("timeout");
    outer
        .args(["60", "unshare", "--mount", "sh", "-c", script, "sh"])
        .args([&d, &job.path("work")])
        .arg(worker.get_program())
        .args(worker.get_args())
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TMPDIR", job.path("tmp"));
    let done = job.done(&outer.output().unwrap());
    assert_eq!((done.code, done.stdout.as_str()), (0, "sub\nlate\n"), "{}", done.stderr);
}

#[test]
fn missing_mounts_are_silent_warned_or_fatal() {
    if !squashfs_tools("missing_mounts_are_silent_warned_or_fatal") {
        return;
    }
    let done = Job::sh(User::Me, "echo ran").mount("/nowhere/opt:/opt2").run();
    assert_eq!((done.code, done.stdout.as_str()), (0, "ran\n"));
    assert!(
        done.stderr.contains("warning: /nowhere/opt is not mounted at /opt2"),
        "{}",
        done.stderr
    );
    // the silent default mount is in neither
    assert!(!done.stderr.contains("cvmfs"));
    let skipped = done.receipt.unwrap().skipped_mounts;
    assert_eq!((skipped.len(), skipped[0].source.as_str()), (1, "/nowhere/opt"));

    let done = Job::sh(User::Me, "echo ran").mount("/nowhere/req:/r:required").run();
    assert_eq!((done.code, done.stdout.as_str()), (212, ""));
    let receipt = done.receipt.unwrap();
    assert!(why(&receipt).contains("/nowhere/req"));
    assert_eq!((receipt.exit_code, receipt.evidence.grade), (212, Grade::None));
}

#[test]
fn control_is_never_seen_inside() {
    if !squashfs_tools("control_is_never_seen_inside") {
        return;
    }
    for user in users() {
        let script = |dir: &str| {
            format!(
                "ls {dir} | cat; ls -a {dir}/control; (echo x >{dir}/control/x) 2>/dev/null && echo wrote; ls {dir}/tmp; true"
            )
        };
        let job = Job::sh(user, &script("/above"));
        let above = job.dir.path().display().to_string();
        let done = job.mount(&format!("{above}:/above")).run();
        assert_eq!(
            done.stdout,
            "control\ntmp\nwork\n.\n..\nmoorline-6\n"
                .replace("moorline-6\n", &listed(&done.stdout)),
            "{}",
            done.stderr
        );
        // a working directory above it
        let mut job = Job::sh(user, &script("/work_dir"));
        job.plan.workdir = job.dir.path().to_owned();
        let done = job.run();
        assert!(
            done.stdout.starts_with("control\ntmp\nwork\n.\n..\n"),
            "{}{}",
            done.stdout,
            done.stderr
        );
        assert!(!done.stdout.contains("wrote"));
        // asked for by name
        let job = Job::sh(user, "true");
        let control = job.path("control").display().to_string();
        let done = job.mount(&format!("{control}/plan.json:/plan")).run();
        assert_eq!(done.code, 214);
        assert!(done.stderr.contains("belongs to moorline"), "{}", done.stderr);
    }
}

/// What a listing says after the control directory's two entries.
fn listed(stdout: &str) -> String {
    stdout.split_once(".\n..\n").map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

#[test]
fn an_image_with_other_bytes_does_not_run() {
    if !squashfs_tools("an_image_with_other_bytes_does_not_run") {
        return;
    }
    let mut job = Job::sh(User::Me, "echo ran");
    let path = job.path("bad.sif");
    let mut bytes = fs::read(&image().0).unwrap();
    let last = bytes.len() - 5000;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    job.plan.job.image =
        Image::Sif { pin: None, digest: image().1, recipe: None, place: path.clone() };
    let done = job.run();
    assert_eq!((done.code, done.stdout.as_str()), (211, ""));
    let receipt = done.receipt.unwrap();
    // what was found is evidence, too
    assert_eq!(receipt.evidence.sif, Some(SifDigest::of(&bytes)));
    assert_eq!(receipt.expected, Some(image().1));

    fs::remove_file(path).unwrap();
    let done = job.run();
    assert_eq!(done.code, 210, "{}", done.stderr);

    // a plan that is not the script's
    let job = Job::sh(User::Me, "echo ran");
    let mut worker = job.worker();
    fs::write(job.path("control/plan.json"), job.plan.to_bytes().unwrap().to_ascii_lowercase())
        .unwrap();
    let done = job.done(&worker.output().unwrap());
    assert_eq!((done.code, done.stdout.as_str()), (211, ""));
    assert!(done.receipt.is_none());
}

#[test]
fn an_image_that_is_exchanged_while_it_runs_changes_nothing() {
    if !squashfs_tools("an_image_that_is_exchanged_while_it_runs_changes_nothing") {
        return;
    }
    for user in users() {
        let mut job = Job::sh(
            user,
            "touch ready; while ! [ -e go ]; do sleep 0.01; done; cat /opt/tools/hello; ls /opt/tools",
        );
        let path = job.path("mine.sif");
        fs::copy(&image().0, &path).unwrap();
        job.plan.job.image =
            Image::Sif { pin: None, digest: image().1, recipe: None, place: path.clone() };
        let child = job.worker().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until(|| job.path("work/ready").exists());
        fs::rename(&path, job.path("gone")).unwrap();
        fs::write(&path, "another image").unwrap();
        fs::write(job.path("work/go"), "").unwrap();
        let done = job.done(&child.wait_with_output().unwrap());
        assert_eq!((done.code, done.stdout.lines().last()), (0, Some("hello")), "{}", done.stderr);
        let evidence = done.receipt.unwrap().evidence;
        // the rename changed the file's ctime, nothing else: squashfuse reads on from the handle
        assert!(evidence.sif.is_none_or(|d| d == image().1), "{evidence:?}");
    }
}

#[test]
fn a_signal_ends_the_container_and_all_its_processes() {
    if !squashfs_tools("a_signal_ends_the_container_and_all_its_processes") {
        return;
    }
    for user in users() {
        for (signal, code) in [("TERM", Some(143)), ("INT", Some(130)), ("KILL", None)] {
            // a grandchild in a session of its own that ignores everything, and a tidy program
            let script = "trap 'echo tidied; exit 3' TERM INT; (trap '' TERM INT HUP; while :; do sleep 0.05; echo $$ >>beat; done) & \
                touch ready; while :; do sleep 0.01; done";
            let job = Job::sh(user, script);
            let mut child =
                job.worker().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            until(|| job.path("work/ready").exists() && job.path("work/beat").exists());
            // setpriv execs, so this is the worker
            let sent =
                Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status();
            assert!(sent.unwrap().success());
            until(|| child.try_wait().unwrap().is_some());
            let done = job.done(&child.wait_with_output().unwrap());
            if let Some(code) = code {
                assert_eq!(
                    (done.code, done.stdout.as_str()),
                    (code, "tidied\n"),
                    "{signal} {}",
                    done.stderr
                );
                assert_eq!(done.receipt.unwrap().exit_code, code);
            }
            until(|| !alive_in(&job.path("work")));
        }
    }
}

/// Whether any process of this machine works in `dir`.
fn alive_in(dir: &Path) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes.filter(|p| p.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit())).any(
        |p| {
            let info = fs::read_to_string(p.path().join("mountinfo")).unwrap_or_default();
            info.contains(&format!("{} /work_dir ", dir.display()))
        },
    )
}

#[test]
fn orphans_do_not_outlive_the_program() {
    if !squashfs_tools("orphans_do_not_outlive_the_program") {
        return;
    }
    let job = Job::sh(
        User::Me,
        "(while :; do sleep 0.05; done) >/dev/null 2>&1 & (sleep 0; true) & exit 5",
    );
    let done = job.run();
    assert_eq!(done.code, 5);
    until(|| !alive_in(&job.path("work")));
}

#[test]
fn several_jobs_unpack_at_once() {
    let test = "several_jobs_unpack_at_once";
    if !squashfs_tools(test) || !have("root", test, am_root()) {
        return;
    }
    // nobody cannot open /dev/fuse here; where he can, squashfuse is hidden by PATH below
    let cache = tempfile::Builder::new().prefix("cache-").tempdir_in(world().dir.path()).unwrap();
    chown(cache.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let jobs: Vec<Job> = (0..6)
        .map(|_| {
            let mut job = Job::sh(User::Nobody, "hello; cat /etc/passwd >/dev/null");
            job.plan.node_cache = Some(cache.path().to_owned());
            job.env.push(("PATH".into(), "/nowhere".into()));
            job
        })
        .collect();
    let children: Vec<_> = jobs
        .iter()
        .map(|j| {
            let mut c = j.worker();
            c.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut grades = Vec::new();
    for (job, child) in jobs.iter().zip(children) {
        let done = job.done(&child.wait_with_output().unwrap());
        assert_eq!((done.code, done.stdout.as_str()), (0, "hello \n"), "{}", done.stderr);
        let receipt = done.receipt.unwrap();
        assert_eq!(receipt.rootfs.as_deref(), Some("unpacked"));
        grades.push(receipt.evidence.grade);
    }
    // exactly one of them made the tree that all ran
    assert_eq!(grades.iter().filter(|g| **g == Grade::Measured).count(), 1, "{grades:?}");
    let ours = cache.path().join(format!("moorline-{NOBODY}"));
    let entries: Vec<_> = fs::read_dir(&ours).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(entries, [image().1.hex().as_str()]);
    let mode = |p: &Path| fs::symlink_metadata(p).unwrap().permissions().mode() & 0o7777;
    let entry = ours.join(image().1.hex());
    assert_eq!((mode(&ours), mode(&entry)), (0o700, 0o700));
    // setuid and setgid are gone
    assert_eq!(mode(&entry.join("root/opt/tools/hello")), 0o755);
}

#[test]
fn a_foreign_or_open_cache_is_never_joined() {
    let test = "a_foreign_or_open_cache_is_never_joined";
    if !squashfs_tools(test) || !have("root", test, am_root()) {
        return;
    }
    let name = format!("moorline-{NOBODY}");
    let plant: [(&str, fn(&Path)); 4] = [
        ("another's", |p| fs::create_dir(p).unwrap()),
        ("open", |p| {
            fs::create_dir(p).unwrap();
            fs::set_permissions(p, fs::Permissions::from_mode(0o777)).unwrap();
            chown(p, Some(NOBODY), Some(NOBODY)).unwrap();
        }),
        ("link", |p| symlink("/tmp", p).unwrap()),
        ("file", |p| fs::write(p, "").unwrap()),
    ];
    for (what, plant) in plant {
        let mut job = Job::sh(User::Nobody, "echo ran");
        job.env.push(("PATH".into(), "/nowhere".into()));
        let cache = job.path("cache");
        fs::create_dir(&cache).unwrap();
        job.plan.node_cache = Some(cache.clone());
        let mut worker = job.worker();
        plant(&cache.join(&name));
        let done = job.done(&worker.output().unwrap());
        assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{what}: {}", done.stderr);
        assert!(done.stderr.contains("cannot be used"), "{what}: {}", done.stderr);
    }
}

#[test]
fn hostile_names_are_refused_and_nothing_escapes() {
    let test = "hostile_names_are_refused_and_nothing_escapes";
    if !squashfs_tools(test) {
        return;
    }
    let dir = tempfile::Builder::new().prefix("hostile-").tempdir_in(world().dir.path()).unwrap();
    let source = dir.path().join("source");
    fs::create_dir_all(source.join("aaaa")).unwrap();
    fs::write(source.join("aaaa/evil"), "evil").unwrap();
    symlink(dir.path().join("outside"), source.join("bbbb")).unwrap();
    fs::write(source.join("cccc"), "x").unwrap();
    fs::create_dir(dir.path().join("outside")).unwrap();
    let squashfs = dir.path().join("x.squashfs");
    // uncompressed tables, so that names can be changed in place
    let made = Command::new("mksquashfs")
        .args([&source, &squashfs])
        .args(["-noappend", "-quiet", "-no-progress", "-noI", "-noD", "-noF", "-noX", "-all-root"])
        .status()
        .unwrap();
    assert!(made.success());
    let good = fs::read(&squashfs).unwrap();
    let renamed = |from: &str, to: &str| {
        let at = good.windows(from.len()).rposition(|w| w == from.as_bytes()).unwrap();
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    for (what, bytes) in [
        ("a symlink and a directory of one name", renamed("aaaa", "bbbb")),
        ("two files of one name", renamed("cccc", "bbbb")),
        ("up and out", renamed("cccc", "../c")),
        ("a slash", renamed("cccc", "c/cc")),
        ("an absolute name", renamed("cccc", "/ccc")),
    ] {
        let mut job = Job::sh(User::Me, "echo ran");
        let path = job.path("bad.sif");
        let digest = sif_of(&bytes, None, &path);
        job.plan.job.image = Image::Sif { pin: None, digest, recipe: None, place: path };
        job.env.push(("PATH".into(), "/nowhere".into()));
        let done = job.run();
        assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{what}: {}", done.stderr);
        assert!(done.stderr.contains("cannot be unpacked"), "{what}: {}", done.stderr);
        assert_eq!(fs::read_dir(dir.path().join("outside")).unwrap().count(), 0, "{what}");
        // and no half-unpacked tree stays
        let uid = rustix::process::getuid().as_raw();
        let cache = job.path("tmp").join(format!("moorline-{uid}"));
        assert_eq!(fs::read_dir(cache).unwrap().count(), 0, "{what}");
    }
}

#[test]
fn every_way_to_the_root_file_system_runs_the_same() {
    let test = "every_way_to_the_root_file_system_runs_the_same";
    if !squashfs_tools(test) || !have("root", test, am_root()) {
        return;
    }
    let run = |job: &Job, expected: &str| {
        let done = job.run();
        assert_eq!(
            (done.code, done.stdout.as_str()),
            (0, "hello x\n"),
            "{expected}: {}",
            done.stderr
        );
        let receipt = done.receipt.unwrap();
        assert_eq!(receipt.rootfs.as_deref(), Some(expected), "{:?}", receipt.notes);
        assert_eq!(receipt.evidence.grade, Grade::Measured);
        receipt.notes.len()
    };
    let mounts = || fs::read_to_string("/proc/mounts").unwrap();
    if have("squashfuse", test, in_path("squashfuse") && File::open("/dev/fuse").is_ok()) {
        assert_eq!(run(&Job::new(User::Me, &["hello", "x"]), "squashfuse"), 1);
    }
    // without squashfuse: unpacked, with both notes
    let mut job = Job::new(User::Me, &["hello", "x"]);
    job.env.push(("PATH".into(), "/nowhere".into()));
    assert_eq!(run(&job, "unpacked"), 2);
    // by the kernel: every component is root's and closed
    let store =
        tempfile::Builder::new().prefix("moorline-test-store-").tempdir_in("/var/lib").unwrap();
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let sif = store.path().join("x.sif");
    fs::copy(&image().0, &sif).unwrap();
    let mut job = Job::new(User::Me, &["hello", "x"]);
    job.plan.job.image = Image::Sif { pin: None, digest: image().1, recipe: None, place: sif };
    job.plan.site_store = Some(store.path().to_owned());
    if have("loop", test, Path::new("/dev/loop-control").exists()) {
        assert_eq!(run(&job, "kernel"), 0);
    }
    // one component that others may write to: not by the kernel
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o777)).unwrap();
    job.env.push(("PATH".into(), "/nowhere".into()));
    assert_eq!(run(&job, "unpacked"), 2);
    assert!(!mounts().contains(&job.path("tmp").display().to_string()), "{}", mounts());
    assert!(!mounts().contains(&store.path().display().to_string()), "{}", mounts());
}

#[test]
fn an_explicit_runtime_is_not_replaced() {
    if !squashfs_tools("an_explicit_runtime_is_not_replaced") {
        return;
    }
    let mut job = Job::sh(User::Me, "echo ran");
    job.plan.job.runtime = RuntimeChoice::Singularity;
    job.env.push(("PATH".into(), "/nowhere".into()));
    let done = job.run();
    assert_eq!((done.code, done.stdout.as_str()), (213, ""));
    assert!(done.stderr.contains("singularity: not installed"), "{}", done.stderr);
    assert_eq!(done.receipt.unwrap().exit_code, 213);
    // and `auto` comes to our own
    let mut job = Job::sh(User::Me, "echo ran");
    job.plan.job.runtime = RuntimeChoice::Auto;
    job.env.push(("PATH".into(), "/nowhere".into()));
    assert_eq!(job.run().receipt.unwrap().runtime, "builtin");
}

#[test]
fn a_machine_without_user_namespaces_says_so() {
    let test = "a_machine_without_user_namespaces_says_so";
    if !squashfs_tools(test) || !have("root", test, am_root()) {
        return;
    }
    // a user namespace in which none can be made
    let job = Job::sh(User::Nobody, "echo ran");
    let worker = job.worker();
    let script = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"";
    let mut outer = Command::new("unshare");
    outer.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]);
    // inside the namespace there is no nobody to become
    let program = world().program();
    let words: Vec<_> = worker.get_args().skip_while(|a| *a != program.as_os_str()).collect();
    outer.args(words).env_clear().env("PATH", "/usr/bin:/bin").env("TMPDIR", job.path("tmp"));
    let done = job.done(&outer.output().unwrap());
    assert_eq!((done.code, done.stdout.as_str()), (213, ""), "{}", done.stderr);
    assert!(done.stderr.contains("user.max_user_namespaces is 0"), "{}", done.stderr);
    assert!(done.stderr.contains("sysctl -w user.max_user_namespaces="), "{}", done.stderr);
}

#[test]
fn without_isolation_the_demo_uses_the_images_own_loader() {
    if !squashfs_tools("without_isolation_the_demo_uses_the_images_own_loader") {
        return;
    }
    let job = Job::sh(User::Me, "");
    let command = ["/bin/sh", "-c", "echo here >made; exit 4"].map(String::from);
    let cache = job.path("tmp");
    let work = job.path("work");
    let (sif, digest) = image();
    let code = moorline::execute::run_through_own_loader(sif, *digest, &cache, &command, &work);
    assert_eq!(code.unwrap(), 4);
    assert_eq!(fs::read_to_string(job.path("work/made")).unwrap(), "here\n");
    let other = SifDigest::of(b"x");
    assert!(
        moorline::execute::run_through_own_loader(sif, other, &cache, &command, &work).is_err()
    );
}

// ---- the script ---------------------------------------------------------------------------------

/// A plan with fixed text, hostile where a user's text is.
fn golden_plan() -> Plan {
    let mut plan = Plan {
        schema: PLAN_SCHEMA,
        intent: IntentId::from_bytes([2; 16]),
        nonce: Nonce::from_bytes([3; 16]),
        job: JobSpec {
            id: JobId::from_parts(1_700_000_000_000, 7),
            name: Some("a $(name)".into()),
            image: Image::Sif {
                pin: None,
                digest: SifDigest::of(b"image"),
                recipe: None,
                place: "/store/it's here/x.sif".into(),
            },
            command: ["sh", "-c", "echo \"$A\" `id`; exit 3", "\n"].map(String::from).into(),
            mounts: vec![
                Mount::cvmfs(),
                "/data:/d:ro".parse().unwrap(),
                Mount { need: Need::Required, ..Mount::cvmfs() },
            ],
            env: vec!["A=$(touch /tmp/canary) '\"\\".parse().unwrap()],
            runtime: RuntimeChoice::Auto,
            options: vec!["--nv".into()],
            resources: Resources::default(),
            workdir: None,
            rerun_of: None,
        },
        workdir: "/jobs/x/work".into(),
        node_cache: None,
        site_store: None,
    };
    plan.job.mounts[2].target = "/req uired".into();
    plan
}

fn golden_script() -> String {
    let plan = golden_plan();
    let runtime = script::runtime_sh(&plan);
    script::script(&ScriptInput::new(&plan, b"plan", &runtime, Digest::of(b"binary")))
}

#[test]
fn script_goldens() {
    snapbox::assert_data_eq!(golden_script(), snapbox::file!["golden/script/job.sh"].raw());
    let runtime = script::runtime_sh(&golden_plan());
    snapbox::assert_data_eq!(runtime, snapbox::file!["golden/script/runtime.sh"].raw());
}

#[test]
fn the_script_is_clean_and_holds_nothing_of_the_users() {
    let text = golden_script();
    for foreign in ["canary", "a $(name)", "/data", "/store", "/jobs", "cvmfs", "--nv"] {
        assert!(!text.contains(foreign), "{foreign}");
    }
    let test = "the_script_is_clean_and_holds_nothing_of_the_users";
    if !have("shellcheck", test, in_path("shellcheck")) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let runtime = script::runtime_sh(&golden_plan());
    for (name, text) in [("job.sh", text), ("runtime.sh", runtime)] {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        let checked =
            Command::new("shellcheck").args(["--shell", "sh"]).arg(&path).output().unwrap();
        assert!(checked.status.success(), "{name}:\n{}", String::from_utf8_lossy(&checked.stdout));
    }
}

impl Job {
    /// Writes the script and its files, and the binary where it is looked for if `with_binary`.
    fn scripted(&self, with_binary: bool) -> Command {
        let control = self.path("control");
        let plan = self.plan.to_bytes().unwrap();
        let runtime = script::runtime_sh(&self.plan);
        let binary = fs::read(world().program()).unwrap();
        let input = ScriptInput::new(&self.plan, &plan, &runtime, Digest::of(&binary));
        fs::write(control.join("plan.json"), &plan).unwrap();
        fs::write(control.join("runtime.sh"), &runtime).unwrap();
        fs::write(control.join("job.sh"), script::script(&input)).unwrap();
        if with_binary {
            // JOBS_DIR/bin, seen from JOBS_DIR/ID/control
            let bin = world().dir.path().join("bin").join(Digest::of(&binary).hex());
            fs::create_dir_all(&bin).unwrap();
            let there = bin.join("moorline");
            if !there.exists() {
                let new =
                    bin.join(format!("new-{}", self.dir.path().file_name().unwrap().display()));
                fs::copy(world().program(), &new).unwrap();
                fs::rename(new, there).unwrap();
            }
        }
        self.give_away();
        let mut command = self.as_user(OsStr::new("sh"));
        command.arg(control.join("job.sh"));
        command
    }
}

#[test]
fn the_script_starts_the_worker() {
    if !squashfs_tools("the_script_starts_the_worker") {
        return;
    }
    for user in users() {
        let job = Job::sh(user, "echo \"in $PWD\"; exit 9");
        // by its own place, by argument, by variable
        for way in 0..3 {
            let mut command = job.scripted(true);
            match way {
                0 => {}
                1 => drop(command.arg(job.path("control"))),
                _ => drop(command.env("MOORLINE_CONTROL", job.path("control"))),
            }
            let done = job.done(&command.output().unwrap());
            assert_eq!((done.code, done.stdout.as_str()), (9, "in /work_dir\n"), "{}", done.stderr);
            assert!(done.receipt.unwrap().writer.starts_with("moorline "));
        }
        assert_eq!(job.receipts().len(), 3);
    }
}

#[test]
fn a_transferred_binary_is_found_and_a_changed_one_is_not() {
    if !squashfs_tools("a_transferred_binary_is_found_and_a_changed_one_is_not") {
        return;
    }
    let job = Job::sh(User::Me, "echo ran");
    // in a place of its own, without JOBS_DIR/bin
    let apart = tempfile::tempdir().unwrap();
    let moved = |command: &mut Command| {
        command.current_dir(apart.path());
        command.output().unwrap()
    };
    let away = apart.path().join("a/b");
    fs::create_dir_all(&away).unwrap();
    drop(job.scripted(false));
    for name in ["plan.json", "runtime.sh", "job.sh"] {
        fs::copy(job.path("control").join(name), away.join(name)).unwrap();
    }
    let command = || {
        let mut c = job.as_user(OsStr::new("sh"));
        c.arg(away.join("job.sh")).arg(&away);
        c
    };
    fs::copy(world().program(), apart.path().join("moorline")).unwrap();
    assert_eq!(job.done(&moved(&mut command())).stdout, "ran\n");
    // one byte more: not run, and nothing else is here
    let mut file = File::options().append(true).open(apart.path().join("moorline")).unwrap();
    file.write_all(b"x").unwrap();
    drop(file);
    if !in_path("apptainer") && !in_path("singularity") {
        let done = job.done(&moved(&mut command()));
        assert_eq!((done.code, done.stdout.as_str()), (213, ""), "{}", done.stderr);
    }
}

#[test]
fn without_the_binary_the_script_says_what_is_missing() {
    if !squashfs_tools("without_the_binary_the_script_says_what_is_missing") {
        return;
    }
    if in_path("apptainer") || in_path("singularity") {
        eprintln!("SKIPPED: without_the_binary_the_script_says_what_is_missing: a runtime is here");
        return;
    }
    let jobs = tempfile::Builder::new().prefix("jobs-").tempdir_in(world().dir.path()).unwrap();
    let job = Job::sh(User::Me, "echo ran");
    drop(job.scripted(false));
    let control = jobs.path().join("id/control");
    fs::create_dir_all(&control).unwrap();
    for name in ["plan.json", "runtime.sh", "job.sh"] {
        fs::copy(job.path("control").join(name), control.join(name)).unwrap();
    }
    let run = || job.as_user(OsStr::new("dash")).arg(control.join("job.sh")).output().unwrap();
    let receipts = || -> Vec<Receipt> {
        fs::read_dir(&control)
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("receipt-"))
            .map(|p| Receipt::parse(&fs::read(p).unwrap()).unwrap())
            .collect()
    };
    if !in_path("dash") {
        eprintln!("SKIPPED: without_the_binary_the_script_says_what_is_missing: dash is not here");
        return;
    }
    let output = run();
    assert_eq!(output.status.code(), Some(213), "{}", String::from_utf8_lossy(&output.stderr));
    let receipt = receipts().pop().unwrap();
    assert_eq!((receipt.writer.as_str(), receipt.exit_code), ("script", 213));
    assert_eq!((receipt.nonce, receipt.evidence.grade), (job.plan.nonce, Grade::None));
    assert!(why(&receipt).contains("container runtime"));
    // data that was changed is not read
    let mut file = File::options().append(true).open(control.join("runtime.sh")).unwrap();
    file.write_all(b"touch /tmp/moorline-canary\n").unwrap();
    drop(file);
    assert_eq!(run().status.code(), Some(211));
    assert!(!Path::new("/tmp/moorline-canary").exists());
}

/// A stand-in that writes down how it was called; the real apptainer is another suite's.
const RECORDER: &str = r#"#!/bin/sh
[ "$1" = --version ] && exit 0
for word; do printf '<%s>\n' "$word"; done
env | grep -E '^(APPTAINERENV_|XDG_RUNTIME)' | sort
exit 6
"#;

#[test]
fn the_scripts_words_reach_the_runtime_as_they_are() {
    if !squashfs_tools("the_scripts_words_reach_the_runtime_as_they_are") {
        return;
    }
    let hostile = "it's $(touch canary) `touch canary`; \"x\" \\ \n<END>";
    let mut job = Job::new(User::Me, &["sh", "-c", hostile, "", "-x"]);
    job.plan.job.runtime = RuntimeChoice::Apptainer;
    job.plan.job.env.push(format!("A={hostile}").parse().unwrap());
    job.plan.job.options = vec!["--opt=a b".into()];
    job = job.mount("/etc:/host etc:ro").mount("/nowhere/x:/x");
    let bin = job.path("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("apptainer"), RECORDER).unwrap();
    fs::set_permissions(bin.join("apptainer"), fs::Permissions::from_mode(0o755)).unwrap();
    job.env.push(("PATH".into(), format!("{}:/usr/bin:/bin", bin.display())));
    job.env.push(("CI_JOB_TOKEN".into(), "geheim".into()));

    let work = job.path("work").display().to_string();
    let sif = image().0.display().to_string();
    let common = format!(
        "<--bind>\n<{work}:/work_dir>\n<--pwd>\n</work_dir>\n<--no-home>\n<--bind>\n</etc:/host etc:ro>\n\
         <--opt=a b>\n<{sif}>\n<sh>\n<-c>\n<{hostile}>\n<>\n<-x>\nAPPTAINERENV_A={}\n",
        // `env | sort` takes the value's second line for one of its own
        hostile.split('\n').next().unwrap()
    );
    // the worker and the script without the worker say the same
    for (with_binary, clean, writer) in
        [(true, "", "moorline "), (false, "<--cleanenv>\n", "script")]
    {
        let jobs =
            tempfile::Builder::new().prefix("apart-").tempdir_in(world().dir.path()).unwrap();
        let mut command = job.scripted(with_binary);
        if !with_binary {
            let away = jobs.path().join("id/control");
            fs::create_dir_all(&away).unwrap();
            for name in ["plan.json", "runtime.sh", "job.sh"] {
                fs::copy(job.path("control").join(name), away.join(name)).unwrap();
            }
            command = job.as_user(OsStr::new("dash"));
            command.arg(away.join("job.sh"));
        }
        let output = command.output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(6), "{stderr}");
        let expected = format!("<-q>\n<exec>\n{clean}{common}XDG_RUNTIME_DIR=");
        // what hides the control directory in the machine's /tmp stands somewhere before the image
        let (hiding, rest): (Vec<&str>, Vec<&str>) =
            stdout.lines().partition(|l| l.contains("/empty:"));
        let stdout = rest.join("\n").replace("<--bind>\n<--bind>", "<--bind>");
        let stdout = stdout.replace("<--bind>\n<--opt", "<--opt");
        assert_eq!(hiding.len(), 1, "{hiding:?}");
        assert!(stdout.starts_with(&expected), "{stdout}\n---\n{expected}");
        assert!(stderr.contains("warning: /nowhere/x is not mounted at /x"), "{stderr}");
        assert!(!stdout.contains("geheim"));
        let control =
            if with_binary { job.path("control") } else { jobs.path().join("id/control") };
        let name = |e: &fs::DirEntry| e.file_name().to_string_lossy().into_owned();
        let entries: Vec<_> = fs::read_dir(&control).unwrap().map(|e| e.unwrap()).collect();
        assert!(!entries.iter().any(|e| name(e).starts_with("runtime-")), "scratch stays");
        let receipt = entries.iter().find(|e| name(e).starts_with("receipt-")).unwrap();
        let receipt = Receipt::parse(&fs::read(receipt.path()).unwrap()).unwrap();
        assert!(receipt.writer.starts_with(writer));
        assert_eq!(receipt.evidence.grade, Grade::Measured);
        assert_eq!((receipt.evidence.sif, receipt.exit_code), (Some(image().1), 6));
        assert!(matches!(receipt.start, Start::Started { .. }));
    }
    assert!(!job.path("work/canary").exists());
}
