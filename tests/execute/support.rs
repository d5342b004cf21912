//! Images, jobs, and what this machine has.

#[path = "../support/open_dir.rs"]
mod open_dir;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use self::open_dir::open_dir;

use moorline::job::{Delivery, IntentId, JobId, JobSpec, Mount, Nonce, RuntimeChoice};
use moorline::oci::{Digest, Sha256Digest, SifDigest, TreeRoot};
use moorline::pin::Image;
use moorline::sif::hash_tree::Builder;
use moorline::sif::{Arch, DataType, Identity, SifWriter};
use moorline::worker::{Plan, Receipt, Start};

/// Who runs a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    Me,
    Nobody,
}

pub const NOBODY: u32 = 65534;

pub fn am_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says loudly that a test did not run.
#[expect(clippy::print_stderr, reason = "people must see what was not tested")]
pub fn skipped(test: &str, why: &str) {
    eprintln!("SKIPPED: {test}: {why}");
}

/// Whether a part of the tests can run; loud when not, and fatal when it is demanded.
pub fn have(part: &str, test: &str, there: bool) -> bool {
    if !there {
        let required = std::env::var("MOORLINE_TESTS_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|p| p == part), "{test}: {part} is required and not here");
        skipped(test, &format!("{part} is not here"));
    }
    there
}

pub fn in_path(program: &str) -> bool {
    moorline::execute::find_program(program).is_some()
}

/// Users to run a test as: always this one, and an ordinary one when this is root.
pub fn users() -> Vec<User> {
    if am_root() { vec![User::Me, User::Nobody] } else { vec![User::Me] }
}

/// A directory that every user can reach, with the program in it.
pub struct World {
    pub dir: tempfile::TempDir,
}

impl World {
    pub fn program(&self) -> PathBuf {
        self.dir.path().join("moorline")
    }
}

/// One copy of the program for all tests: `target/` may be below a home directory.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let dir = open_dir("execute");
        let world = World { dir };
        fs::copy(env!("CARGO_BIN_EXE_moorline"), world.program()).unwrap();
        fs::set_permissions(world.program(), fs::Permissions::from_mode(0o755)).unwrap();
        world
    })
}

/// Copies a program and the libraries that it needs to the same paths below `root`.
pub fn install(root: &Path, program: &str) {
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
pub fn tree() -> &'static Path {
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
            "/bin/stty",
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
pub fn make_sif(tree: &Path, config: Option<&str>, to: &Path) -> SifDigest {
    sif_of(&squashfs_of(tree, to), config, to)
}

/// The same with a hash tree, and its root.
pub fn make_sealed_sif(tree: &Path, config: &str, to: &Path) -> (SifDigest, TreeRoot) {
    let squashfs = squashfs_of(tree, to);
    let arch = Arch::of(&"linux/amd64".parse().unwrap()).unwrap();
    let mut out = std::io::Cursor::new(Vec::new());
    let identity = Identity { uuid: [1; 16], time: 1_700_000_000, arch };
    let mut sif = SifWriter::begin(&mut out, identity).unwrap();
    sif.object(DataType::Json, "oci-config.json", config.as_bytes()).unwrap();
    sif.partition().unwrap();
    sif.inner().write_all(&squashfs).unwrap();
    let ended = sif.finish_with_tree(squashfs.len() as u64).unwrap();
    let mut builder = Builder::new(ended.partition);
    builder.update(&out.get_ref()[..usize::try_from(ended.end).unwrap()]);
    let built = builder.finish();
    out.seek(SeekFrom::Start(ended.tree)).unwrap();
    out.write_all(&built.bytes).unwrap();
    let bytes = out.into_inner();
    fs::write(to, &bytes).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o444)).unwrap();
    (SifDigest::of(&bytes), built.root)
}

fn squashfs_of(tree: &Path, to: &Path) -> Vec<u8> {
    let squashfs = to.with_extension("squashfs");
    let done = Command::new("mksquashfs")
        .args([tree, &squashfs])
        .args(["-noappend", "-no-progress", "-quiet", "-all-root", "-processors", "1"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let bytes = fs::read(&squashfs).unwrap();
    fs::remove_file(&squashfs).unwrap();
    bytes
}

pub fn sif_of(squashfs: &[u8], config: Option<&str>, to: &Path) -> SifDigest {
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
pub fn image() -> &'static (PathBuf, SifDigest) {
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
pub struct Job {
    pub dir: tempfile::TempDir,
    pub plan: Plan,
    pub user: User,
    pub env: Vec<(String, String)>,
}

pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub receipt: Option<Receipt>,
}

impl Job {
    pub fn new(user: User, command: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("job-").tempdir_in(world().dir.path()).unwrap();
        for name in ["work", "control", "tmp"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let (place, digest) = image().clone();
        let image = Image::Sif { pin: None, manifest: None, digest, recipe: None, tree: None };
        let command = command.iter().map(|w| (*w).to_owned()).collect();
        let id = JobId::from_parts(1_700_000_000_000, 7);
        let job = JobSpec {
            mounts: vec![Mount { source: "/nowhere/cvmfs".into(), ..Mount::cvmfs() }],
            runtime: RuntimeChoice::Builtin,
            ..JobSpec::plain(id, image, Delivery::Shared { place }, command)
        };
        let ids = (IntentId::from_bytes([2; 16]), Nonce::from_bytes([3; 16]));
        let node_cache = Some(dir.path().join("tmp"));
        let plan = Plan { node_cache, ..Plan::plain(ids, job, dir.path().join("work")) };
        let job = Self { dir, plan, user, env: vec![] };
        job.give_away();
        job
    }

    /// Another image.
    pub fn set_image(&mut self, digest: SifDigest, place: PathBuf) {
        self.plan.job.image =
            Image::Sif { pin: None, manifest: None, digest, recipe: None, tree: None };
        self.plan.job.delivery = Delivery::Shared { place };
    }

    /// Another image, with the root of its hash tree.
    pub fn set_sealed(&mut self, (digest, root): (SifDigest, TreeRoot), place: PathBuf) {
        self.set_image(digest, place);
        if let Image::Sif { tree, .. } = &mut self.plan.job.image {
            *tree = Some(root);
        }
    }

    /// A shell script as the command.
    pub fn sh(user: User, script: &str) -> Self {
        Self::new(user, &["sh", "-c", script])
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn mount(mut self, text: &str) -> Self {
        self.plan.job.mounts.push(text.parse().unwrap());
        self
    }

    /// Everything below belongs to the user who runs the worker.
    pub fn give_away(&self) {
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
    pub fn as_user(&self, program: &OsStr) -> Command {
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

    pub fn worker(&self) -> Command {
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

    pub fn run(&self) -> Done {
        self.done(&self.worker().output().unwrap())
    }

    pub fn done(&self, output: &Output) -> Done {
        use std::os::unix::process::ExitStatusExt;
        Done {
            code: output.status.code().unwrap_or_else(|| -output.status.signal().unwrap()),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            receipt: self.receipts().pop(),
        }
    }

    /// The receipts, the latest last.
    pub fn receipts(&self) -> Vec<Receipt> {
        let mut all: Vec<Receipt> = fs::read_dir(self.path("control"))
            .unwrap()
            .map(|e| e.unwrap())
            .filter(|e| e.file_name().to_string_lossy().starts_with("receipt-"))
            .map(|e| Receipt::parse(&fs::read(e.path()).unwrap()).unwrap())
            .collect();
        all.sort_by_key(|r| r.ended_at);
        all
    }
}

/// Waits until `what` holds.
pub fn until(mut what: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !what() {
        assert!(Instant::now() < deadline, "it did not happen within 30 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether this process can serve an image to its container.
pub fn can_serve() -> bool {
    File::options().read(true).write(true).open("/dev/fuse").is_ok()
}

pub fn squashfs_tools(test: &str) -> bool {
    have("squashfs-tools", test, in_path("mksquashfs"))
}

pub fn why(receipt: &Receipt) -> &str {
    match &receipt.start {
        Start::Refused { why } => why,
        Start::Started { .. } => panic!("it was started"),
    }
}
