//! The script on the worker.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use moorline::job::{
    Grade, IntentId, JobId, JobSpec, Mount, Need, Nonce, Resources, RuntimeChoice,
};
use moorline::oci::{Digest, Sha256Digest, SifDigest};
use moorline::pin::Image;
use moorline::worker::script::{self, ScriptInput};
use moorline::worker::{Plan, Receipt, Start};

use crate::support::*;

/// A plan with fixed text, hostile where a user's text is.
fn golden_plan() -> Plan {
    let job = JobSpec {
        id: JobId::from_parts(1_700_000_000_000, 7),
        name: Some("a $(name)".into()),
        image: Image::Sif {
            pin: None,
            manifest: None,
            digest: SifDigest::of(b"image"),
            recipe: None,
            tree: None,
        },
        delivery: moorline::job::Delivery::Shared { place: "/store/it's here/x.sif".into() },
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
        terms: moorline::job::Terms::default(),
    };
    let ids = (IntentId::from_bytes([2; 16]), Nonce::from_bytes([3; 16]));
    let mut plan = Plan::plain(ids, job, "/jobs/x/work".into());
    plan.job.mounts[2].target = "/req uired".into();
    plan
}

fn golden_script() -> String {
    let plan = golden_plan();
    script::script(&ScriptInput::new(&plan, b"plan", Digest::of(b"binary")))
}

#[test]
fn script_goldens() {
    snapbox::assert_data_eq!(golden_script(), snapbox::file!["../golden/script/job.sh"].raw());
}

#[test]
fn the_script_is_clean_and_holds_nothing_of_the_users() {
    let text = golden_script();
    for foreign in ["canary", "a $(name)", "/data", "/store", "/jobs", "cvmfs", "--nv"] {
        assert!(!text.contains(foreign), "{foreign}");
    }
    let name = "the_script_is_clean_and_holds_nothing_of_the_users";
    if !have("shellcheck", name, in_path("shellcheck")) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("job.sh");
    fs::write(&path, text).unwrap();
    let checked = Command::new("shellcheck").args(["--shell", "sh"]).arg(&path).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

impl Job {
    /// Writes the script and its files, and the binary where it is looked for if `with_binary`.
    fn scripted(&self, with_binary: bool) -> Command {
        let control = self.path("control");
        let plan = self.plan.to_bytes().unwrap();
        let binary = fs::read(world().program()).unwrap();
        let input = ScriptInput::new(&self.plan, &plan, Digest::of(&binary));
        fs::write(control.join("plan.json"), &plan).unwrap();
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

/// A control directory of its own, without `JOBS_DIR/bin`, and the script in it.
struct Apart {
    jobs: tempfile::TempDir,
    job: Job,
}

impl Apart {
    fn new(job: Job) -> Self {
        let jobs =
            tempfile::Builder::new().prefix("apart-").tempdir_in(world().dir.path()).unwrap();
        drop(job.scripted(false));
        let apart = Self { jobs, job };
        fs::create_dir_all(apart.control()).unwrap();
        for name in ["plan.json", "job.sh"] {
            fs::copy(apart.job.path("control").join(name), apart.control().join(name)).unwrap();
        }
        apart
    }

    fn control(&self) -> std::path::PathBuf {
        self.jobs.path().join("id/control")
    }

    /// Where the worker's program is looked for, below `JOBS_DIR`.
    fn bin(&self) -> std::path::PathBuf {
        let binary = fs::read(world().program()).unwrap();
        self.jobs.path().join("bin").join(Digest::of(&binary).hex())
    }

    /// Runs the script in the jobs directory, with this PATH.
    fn run(&self, path: &str) -> Done {
        let mut command = self.job.as_user(OsStr::new("sh"));
        command.arg(self.control().join("job.sh")).current_dir(self.jobs.path()).env("PATH", path);
        self.job.done(&command.output().unwrap())
    }

    /// The receipts of this run, which go.
    fn receipt(&self) -> Receipt {
        let mut found: Vec<Receipt> = Vec::new();
        for entry in fs::read_dir(self.control()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("receipt-") {
                found.push(Receipt::parse(&fs::read(&path).unwrap()).unwrap());
                fs::remove_file(path).unwrap();
            }
        }
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    /// Nothing was started, and why stands in both places.
    #[track_caller]
    fn refuses(&self, path: &str, words: &str) {
        let done = self.run(path);
        assert_eq!((done.code, done.stdout.as_str()), (213, ""), "{}", done.stderr);
        assert!(done.stderr.contains(words), "{words}: {}", done.stderr);
        let receipt = self.receipt();
        assert_eq!((receipt.writer.as_str(), receipt.exit_code), ("script", 213));
        assert_eq!((receipt.nonce, receipt.evidence.grade), (self.job.plan.nonce, Grade::None));
        assert_eq!(receipt.expected, Some(image().1));
        assert!(why(&receipt).contains(words), "{}", why(&receipt));
    }
}

const USUAL: &str = "/usr/bin:/bin";

#[test]
fn without_the_worker_the_script_says_what_is_missing() {
    if !squashfs_tools("without_the_worker_the_script_says_what_is_missing") {
        return;
    }
    let apart = Apart::new(Job::sh(User::Me, "echo ran"));
    apart.refuses(USUAL, "neither installed on this node");
    // in another directory than the program's, a runtime that could have run it is left alone
    let fake = apart.jobs.path().join("fake");
    fs::create_dir(&fake).unwrap();
    program(&fake.join("apptainer"), "#!/bin/sh\ntouch \"${0%/*}/started\"\n");
    program(&fake.join("moorline-worker"), "#!/bin/sh\ntouch \"${0%/*}/started\"\n");
    apart.refuses(&format!("{}:{USUAL}", fake.display()), "neither installed on this node");
    assert!(!fake.join("started").exists());
    // what has the name has other bytes
    fs::create_dir_all(apart.bin()).unwrap();
    let there = apart.bin().join("moorline");
    program(&there, "#!/bin/sh\ntouch started\n");
    apart.refuses(USUAL, "has other bytes than the job was submitted with");
    fs::copy(world().program(), &there).unwrap();
    fs::OpenOptions::new().append(true).open(&there).unwrap().write_all(b"x").unwrap();
    apart.refuses(USUAL, "has other bytes than the job was submitted with");
    fs::copy(world().program(), &there).unwrap();
    fs::set_permissions(&there, fs::Permissions::from_mode(0o444)).unwrap();
    apart.refuses(USUAL, "may not be executed here");
    fs::set_permissions(&there, fs::Permissions::from_mode(0o555)).unwrap();
    assert_eq!(apart.run(USUAL).stdout, "ran\n");
    assert!(apart.receipt().writer.starts_with("moorline "));
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A program that does not start on this node: simulated by one whose bytes are no program's.
#[test]
fn a_worker_for_another_processor_is_told() {
    let job = Job::sh(User::Me, "echo ran");
    let apart = Apart::new(job);
    let other = b"\x7fELF\x02\x01\x01 of another processor";
    let plan = apart.job.plan.to_bytes().unwrap();
    let input = ScriptInput::new(&apart.job.plan, &plan, Digest::of(other));
    fs::write(apart.control().join("job.sh"), script::script(&input)).unwrap();
    let bin = apart.jobs.path().join("bin").join(Digest::of(other).hex());
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("moorline"), other).unwrap();
    fs::set_permissions(bin.join("moorline"), fs::Permissions::from_mode(0o755)).unwrap();
    apart.refuses(USUAL, "it is for another processor or a younger C library");
}

/// A transferred one is found; an installed one with the same bytes comes first, because profiles of `AppArmor`
/// belong to a path.
#[test]
fn an_installed_worker_with_the_same_bytes_comes_first() {
    if !squashfs_tools("an_installed_worker_with_the_same_bytes_comes_first") {
        return;
    }
    let apart = Apart::new(Job::sh(User::Me, "echo ran"));
    fs::copy(world().program(), apart.jobs.path().join("moorline")).unwrap();
    assert_eq!(apart.run(USUAL).stdout, "ran\n");
    apart.receipt();
    let installed = apart.jobs.path().join("installed");
    fs::create_dir(&installed).unwrap();
    fs::copy(world().program(), installed.join("moorline-worker")).unwrap();
    fs::create_dir_all(apart.bin()).unwrap();
    // would refuse the job if it were looked at first
    program(&apart.bin().join("moorline"), "#!/bin/sh\n");
    fs::write(apart.jobs.path().join("moorline"), "other bytes").unwrap();
    assert_eq!(apart.run(&format!("{}:{USUAL}", installed.display())).stdout, "ran\n");
    apart.receipt();
    // another version that is installed is passed over
    fs::copy(world().program(), apart.bin().join("moorline")).unwrap();
    program(&installed.join("moorline-worker"), "#!/bin/sh\n");
    assert_eq!(apart.run(&format!("{}:{USUAL}", installed.display())).stdout, "ran\n");
}

/// A stand-in that writes down how it was called; the real apptainer is another suite's.
const RECORDER: &str = r#"#!/bin/sh
[ "$1" = --version ] && echo apptainer version 1.4.5 && exit 0
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
    job =
        job.mount("type=bind,source=/etc,\"target=/o:d,\"\"d\"\"\",readonly").mount(r"/etc:/a\:b");
    let bin = job.path("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("apptainer"), RECORDER).unwrap();
    fs::set_permissions(bin.join("apptainer"), fs::Permissions::from_mode(0o755)).unwrap();
    job.env.push(("PATH".into(), format!("{}:/usr/bin:/bin", bin.display())));
    job.env.push(("CI_JOB_TOKEN".into(), "geheim".into()));

    let work = job.path("work").display().to_string();
    let sif = image().0.display().to_string();
    let privileges = if am_root() { "<--no-privs>\n" } else { "" };
    let common = format!(
        "<--bind>\n<{work}:/work_dir>\n<--pwd>\n</work_dir>\n<--no-home>\n<--home>\n</work_dir>\n{privileges}<--bind>\n</etc:/host etc:ro>\n\
         <--mount>\n<type=bind,source=/etc,\"destination=/o:d,\"\"d\"\"\",ro>\n\
         <--mount>\n<type=bind,source=/etc,destination=/a:b>\n\
         <--opt=a b>\n<--pwd=/work_dir>\n<{sif}>\n<sh>\n<-c>\n<{hostile}>\n<>\n<-x>\nAPPTAINERENV_A={}\nAPPTAINERENV_MOORLINE_JOB_ID=",
        // `env | sort` takes the value's second line for one of its own
        hostile.split('\n').next().unwrap()
    );
    let mut command = job.scripted(true);
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{stderr}");
    let expected = format!("<-q>\n<exec>\n{common}");
    // what hides the control directory and the node's cache in the machine's /tmp stands somewhere before
    // the image
    let (hiding, rest): (Vec<&str>, Vec<&str>) = stdout.lines().partition(|l| l.contains("/empty"));
    let mut stdout = rest.join("\n");
    while stdout.contains("<--bind>\n<--bind>") {
        stdout = stdout.replace("<--bind>\n<--bind>", "<--bind>");
    }
    let stdout = stdout.replace("<--bind>\n<--opt", "<--opt");
    assert!(hiding.iter().any(|line| line.ends_with("/control:ro>")), "{hiding:?}");
    let trees = format!(":/tmp/moorline-{}:ro>", rustix::process::getuid().as_raw());
    assert!(hiding.iter().any(|line| line.ends_with(&trees)), "{hiding:?}");
    assert!(stdout.starts_with(&expected), "{stdout}\n---\n{expected}");
    assert!(stderr.contains("warning: /nowhere/x is not mounted at /x"), "{stderr}");
    assert!(!stdout.contains("geheim"));
    let entries = fs::read_dir(job.path("control")).unwrap();
    let mut names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    assert!(!names.any(|name| name.starts_with("runtime-")), "scratch stays");
    let receipt = job.receipts().pop().unwrap();
    assert_eq!(receipt.evidence.grade, Grade::Measured);
    assert_eq!((receipt.evidence.sif(), receipt.exit_code), (Some(image().1), 6));
    assert!(matches!(receipt.start, Start::Started { .. }));
    assert!(!job.path("work/canary").exists());
}

/// What an engine's own configuration, or a user's, may leave of it.
const ODD_PATHS: [&str; 3] = ["", "/nowhere", ":"];

#[test]
fn the_script_needs_no_path() {
    if !squashfs_tools("the_script_needs_no_path") {
        return;
    }
    for path in ODD_PATHS {
        let apart = Apart::new(Job::sh(User::Me, "echo \"ran with $PATH\""));
        let mut command = apart.job.as_user(OsStr::new("/bin/sh"));
        command
            .arg(apart.control().join("job.sh"))
            .current_dir(apart.jobs.path())
            .env("PATH", path);
        let mut run = || apart.job.done(&command.output().unwrap());
        // why it did not start is said in one sentence, and in a receipt
        let done = run();
        assert_eq!(done.code, 213, "{path:?}: {}", done.stderr);
        assert!(
            done.stderr.starts_with("moorline: the worker is neither"),
            "{path:?}: {}",
            done.stderr
        );
        assert_eq!(done.stderr.lines().count(), 1, "{path:?}: {}", done.stderr);
        assert_eq!(apart.receipt().writer, "script");
        fs::create_dir_all(apart.bin()).unwrap();
        fs::copy(world().program(), apart.bin().join("moorline")).unwrap();
        let done = run();
        let expected = "ran with /usr/bin:/bin:/opt/tools\n";
        assert_eq!((done.code, done.stdout.as_str()), (0, expected), "{path:?}: {}", done.stderr);
        assert!(apart.receipt().writer.starts_with("moorline "));
        let names = fs::read_dir(apart.control()).unwrap().map(|e| e.unwrap().file_name());
        let left: Vec<_> = names.filter(|n| n.to_string_lossy().contains("receipt-")).collect();
        assert!(left.is_empty(), "{path:?}: {left:?}");
    }
}
