//! Machines that lack something.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use moorline::job::RuntimeChoice;
use moorline::oci::{Sha256Digest, SifDigest};

use crate::support::*;

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
    // inside the namespace there is no nobody to become, and none of its files is anybody's there
    assert!(
        Command::new("chown").args(["-R", "0:0"]).arg(job.path(".")).status().unwrap().success()
    );
    let program = world().program();
    let words: Vec<_> = worker.get_args().skip_while(|a| *a != program.as_os_str()).collect();
    outer.args(words).env_clear().env("PATH", "/usr/bin:/bin").env("TMPDIR", job.path("tmp"));
    let done = job.done(&outer.output().unwrap());
    assert_eq!((done.code, done.stdout.as_str()), (213, ""), "{}", done.stderr);
    assert!(done.stderr.contains("user.max_user_namespaces is 0"), "{}", done.stderr);
    assert!(done.stderr.contains("sysctl -w user.max_user_namespaces="), "{}", done.stderr);
}

#[test]
fn an_old_kernel_is_told() {
    let test = "an_old_kernel_is_told";
    if !squashfs_tools(test) || !have("setarch", test, in_path("setarch")) {
        return;
    }
    // the kernel says that it is a 2.6; the rest of it is this machine's
    let job = Job::sh(User::Me, "echo ran");
    let worker = job.worker();
    let mut outer = Command::new("setarch");
    outer.args([std::env::consts::ARCH, "--uname-2.6"]).arg(worker.get_program());
    outer.args(worker.get_args()).env_clear().env("PATH", "/usr/bin:/bin");
    let done = job.done(&outer.env("TMPDIR", job.path("tmp")).output().unwrap());
    assert_eq!((done.code, done.stdout.as_str()), (213, ""), "{}", done.stderr);
    assert!(done.stderr.contains("not supported here"), "{}", done.stderr);
    assert!(done.stderr.contains("install apptainer"), "{}", done.stderr);
}

#[test]
fn without_isolation_the_demo_uses_the_images_own_loader() {
    if !squashfs_tools("without_isolation_the_demo_uses_the_images_own_loader") {
        return;
    }
    let job = Job::sh(User::Me, "");
    let command = ["/bin/sh", "-c", "echo here >made; echo out; exit 4"].map(String::from);
    let cache = job.path("tmp");
    let work = job.path("work");
    let (sif, digest) = image();
    let run = |digest| {
        let stream = |name| File::create(job.path(name)).unwrap();
        let streams = (stream("stdout"), stream("stderr"));
        moorline::execute::run_through_own_loader(sif, digest, &cache, &command, &work, streams)
    };
    assert_eq!(run(*digest).unwrap(), 4);
    assert_eq!(fs::read_to_string(job.path("work/made")).unwrap(), "here\n");
    assert_eq!(fs::read_to_string(job.path("stdout")).unwrap(), "out\n");
    assert!(run(SifDigest::of(b"x")).is_err());
}

#[test]
fn where_parts_of_proc_are_hidden_the_machines_own_is_bound() {
    let test = "where_parts_of_proc_are_hidden_the_machines_own_is_bound";
    if !squashfs_tools(test) || !have("root", test, am_root()) {
        return;
    }
    // as in docker: something is mounted over a part of /proc, so the kernel gives no new one
    let script = format!(
        "[ $$ -lt 9 ] && echo few; cat /proc/self/status >/dev/null; ls -d /proc/{}",
        std::process::id()
    );
    let job = Job::sh(User::Nobody, &script);
    let worker = job.worker();
    // (another /proc elsewhere on the machine, as chroots have, would do for the kernel: gone, too)
    let script = r#"mount --make-rprivate / && mount -t tmpfs x /proc/sys &&
        while read -r _ point kind _; do
            [ "$kind" != proc ] || [ "$point" = /proc ] || umount -l "$point"
        done </proc/mounts && exec "$@""#;
    let mut outer = Command::new("unshare");
    outer.args(["--mount", "sh", "-c", script, "sh"]);
    outer.arg(worker.get_program()).args(worker.get_args());
    outer.env_clear().env("PATH", "/usr/bin:/bin:/sbin").env("TMPDIR", job.path("tmp"));
    let done = job.done(&outer.output().unwrap());
    // this test's own process is to be seen in it
    let expected = format!("few\n/proc/{}\n", std::process::id());
    assert_eq!((done.code, done.stdout), (0, expected), "{}", done.stderr);
}

#[test]
fn an_open_umask_opens_nothing() {
    let test = "an_open_umask_opens_nothing";
    if !squashfs_tools(test) {
        return;
    }
    let job = Job::sh(
        User::Me,
        "touch /work_dir/ready; while ! [ -e /work_dir/go ]; do sleep 0.01; done",
    );
    let worker = job.worker();
    let mut open = Command::new("sh");
    open.args(["-c", "umask 000 && exec \"$@\"", "sh"]);
    open.arg(worker.get_program()).args(worker.get_args());
    open.env_clear().env("PATH", "/nowhere:/usr/bin:/bin").env("TMPDIR", job.path("tmp"));
    let mut child = open.spawn().unwrap();
    until(|| job.path("work/ready").exists());
    for entry in fs::read_dir(job.path("tmp")).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o700);
    }
    fs::write(job.path("work/go"), "").unwrap();
    assert!(child.wait().unwrap().success());
    for entry in fs::read_dir(job.path("control")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("receipt-") {
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o7777, 0o400);
        }
    }
}
