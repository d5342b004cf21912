//! Temporary directories of real nodes: not there, full, without inodes, noexec; and no process left.
//!
//! Reported as "no container runtime works here, install apptainer" before (flux-core#3326).

use std::fs;
use std::path::Path;
use std::process::Command;

use moorline::job::Grade;

use crate::support::*;

/// A small file system on a directory while this lives.
struct Mount(std::path::PathBuf);

impl Mount {
    fn tmpfs(point: &Path, options: &str) -> Self {
        fs::create_dir_all(point).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(point);
        assert!(mount.status().unwrap().success());
        Self(point.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A job without squashfuse or a configured cache, with this `TMPDIR`.
fn job(user: User, tmpdir: &str) -> Job {
    let mut job = Job::sh(user, "echo ran");
    job.plan.node_cache = None;
    job.env.push(("PATH".into(), "/nowhere".into()));
    job.env.push(("TMPDIR".into(), tmpdir.into()));
    job
}

fn runs_with_a_note(job: &Job, said: &str) {
    let done = job.run();
    assert_eq!((done.code, done.stdout.as_str()), (0, "ran\n"), "{}", done.stderr);
    let receipt = done.receipt.unwrap();
    let noted = receipt.notes.iter().any(|note| note.contains(said));
    assert!(noted, "{said}: {:?}", receipt.notes);
    assert!(!done.stderr.contains("apptainer"), "{}", done.stderr);
}

#[test]
fn a_place_that_is_of_no_use_is_noted_and_another_taken() {
    let test = "a_place_that_is_of_no_use_is_noted_and_another_taken";
    if !squashfs_tools(test) {
        return;
    }
    for user in users() {
        let missing = job(user, "/nowhere/tmp");
        runs_with_a_note(&missing, "TMPDIR=/nowhere/tmp: it does not exist; /tmp is used");
        assert!(missing.run().stderr.contains("warning: TMPDIR=/nowhere/tmp"));
        runs_with_a_note(&job(user, "tmp"), "it is not absolute");
        runs_with_a_note(&job(user, "/etc/passwd"), "it is not a directory");
        runs_with_a_note(&job(user, "/dev/shm"), "every container can write below /dev/shm");
        runs_with_a_note(&job(user, "/proc"), "TMPDIR=/proc");
    }
    if !have("root", test, am_root()) {
        return;
    }
    let dir = tempfile::Builder::new().prefix("small-").tempdir_in(world().dir.path()).unwrap();
    for (name, options, said) in [
        ("full", "size=16k,mode=1777", "it is full"),
        ("names", "nr_inodes=1,mode=1777", "it has no inode left"),
        ("read-only", "ro,mode=1777", "Read-only file system"),
        ("closed", "mode=0700", "Permission denied"),
    ] {
        let mount = Mount::tmpfs(&dir.path().join(name), options);
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        for user in users() {
            // root may write everywhere
            if name != "closed" || user == User::Nobody {
                runs_with_a_note(&job(user, mount.0.to_str().unwrap()), said);
            }
        }
    }
    // programs cannot be started there: the image is unpacked elsewhere
    let mount = Mount::tmpfs(&dir.path().join("noexec"), "noexec,mode=1777");
    for user in users() {
        let mut job = job(user, mount.0.to_str().unwrap());
        runs_with_a_note(&job, "noexec");
        job.plan.job.terms.require = Some(Grade::Measured);
        runs_with_a_note(&job, "noexec");
    }
}

/// The worker of a job in a mount namespace that a script arranges first.
fn arranged(job: &Job, script: &str) -> Done {
    let worker = job.worker();
    let mut outer = Command::new("unshare");
    outer.args(["--mount", "--propagation", "private", "sh", "-ec", script, "sh"]);
    outer.arg(world().dir.path()).arg(worker.get_program()).args(worker.get_args());
    outer.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    outer.envs(worker.get_envs().filter_map(|(k, v)| Some((k, v?))).filter(|(k, _)| *k != "PATH"));
    job.done(&outer.output().unwrap())
}

#[test]
fn where_everything_is_full_that_is_said() {
    let test = "where_everything_is_full_that_is_said";
    if !squashfs_tools(test) || !have("root", test, am_root()) {
        return;
    }
    // the tests' own directory, which lies in /tmp, stays
    let script =
        "world=$1; shift; mkdir -p /run/moorline-kept; mount --bind \"$world\" /run/moorline-kept
        mount -t tmpfs -o size=4k,mode=1777 tmpfs /tmp; mkdir \"$world\"
        mount --bind /run/moorline-kept \"$world\"
        mount -t tmpfs -o size=4k,mode=1777 tmpfs /var/tmp
        exec \"$@\"";
    for user in users() {
        let done = arranged(&job(user, "/nowhere"), script);
        assert_eq!((done.code, done.stdout.as_str()), (217, ""), "{}", done.stderr);
        assert!(done.stderr.contains("/tmp: it is full"), "{}", done.stderr);
        assert!(done.stderr.contains("TMPDIR=/nowhere: it does not exist"), "{}", done.stderr);
        assert!(done.stderr.contains("free space in one of them"), "{}", done.stderr);
        let receipt = done.receipt.unwrap();
        assert!(why(&receipt).contains("it is full") && receipt.exit_code == 217);
    }
    let _ = fs::remove_dir("/run/moorline-kept");
}

#[test]
fn a_limit_on_processes_is_called_that() {
    let test = "a_limit_on_processes_is_called_that";
    if !squashfs_tools(test) || !have("root", test, am_root()) {
        return;
    }
    // root is not limited
    let job = Job::sh(User::Nobody, "echo ran");
    let worker = job.worker();
    let words: Vec<_> = worker.get_args().map(std::ffi::OsStr::to_owned).collect();
    let at = words.iter().position(|word| word == "--").unwrap() + 1;
    let mut limited = Command::new(worker.get_program());
    limited.args(&words[..at]).args(["prlimit", "--nproc=1"]);
    limited.args(&words[at..]).env_clear();
    limited.envs(worker.get_envs().filter_map(|(k, v)| Some((k, v?)))).env("PATH", "/usr/bin:/bin");
    let done = job.done(&limited.output().unwrap());
    assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{}", done.stderr);
    assert!(
        done.stderr.contains("limit on processes is reached (ulimit -u is 1"),
        "{}",
        done.stderr
    );
    assert!(!done.stderr.contains("no container runtime"), "{}", done.stderr);
}
