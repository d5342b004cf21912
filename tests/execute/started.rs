//! Whether a runtime that is a program of its own started the job's program, and what `auto` does where it did not. The
//! runtimes here are simulated: shell scripts that end as real ones do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use moorline::job::RuntimeChoice;
use moorline::worker::Start;

use crate::support::*;

/// A job with programs in its `PATH` that are called like runtimes: what each says to `--version`, and does else.
fn simulated(runtime: RuntimeChoice, programs: &[(&str, &str, &str)], command: &[&str]) -> Job {
    let mut job = Job::new(User::Me, command);
    job.plan.job.runtime = runtime;
    let bin = job.path("bin");
    fs::create_dir(&bin).unwrap();
    for (name, version, does) in programs {
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in --version) echo '{version}'; echo '{version}' >&2;; *) {does};; esac\n"
        );
        fs::write(bin.join(name), script).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    job.env.push(("PATH".into(), format!("{}:/usr/bin:/bin:/usr/sbin", bin.display())));
    job
}

const APPTAINER: &str = "apptainer version 1.4.5";
const FAILS: &str = "echo 'FATAL: container creation failed' >&2; exit 255";

/// To execute the runtime is not to start the program.
#[test]
fn a_runtime_that_fails_started_nothing() {
    if !squashfs_tools("started::a_runtime_that_fails_started_nothing") {
        return;
    }
    for (runtime, name, version, does) in [
        (RuntimeChoice::Apptainer, "apptainer", APPTAINER, FAILS),
        (RuntimeChoice::Apptainer, "apptainer", APPTAINER, "exit 1"),
        (RuntimeChoice::Singularity, "singularity", "singularity-ce version 4.1.0", FAILS),
        (RuntimeChoice::Charliecloud, "ch-run", "0.31", "exit 1"),
        (RuntimeChoice::Charliecloud, "ch-run", "0.37", "exit 31"),
        (RuntimeChoice::Charliecloud, "ch-run", "0.37", "kill -9 $$"),
    ] {
        let done = simulated(runtime, &[(name, version, does)], &["sh", "-c", "echo it ran"]).run();
        assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{name}, {does}: {}", done.stderr);
        let receipt = done.receipt.unwrap();
        let Start::Refused { why } = &receipt.start else { panic!("{:?}", receipt.start) };
        assert!(why.contains("no program of the image was seen to start"), "{why}");
    }
}

/// A code that the runtime never gives by itself is the program's.
#[test]
fn another_code_is_the_programs_own() {
    if !squashfs_tools("started::another_code_is_the_programs_own") {
        return;
    }
    for code in [0, 7, 126] {
        let does = format!("exit {code}");
        let programs = [("apptainer", APPTAINER, does.as_str())];
        let done = simulated(RuntimeChoice::Apptainer, &programs, &["true"]).run();
        assert_eq!(done.code, code, "{}", done.stderr);
        let start = done.receipt.unwrap().start;
        assert!(matches!(start, Start::Started { .. }), "{code}: {start:?}");
    }
}

/// A program may end with 255: it was seen. Its container is made by `chroot`.
#[test]
fn a_program_that_was_seen_keeps_its_code() {
    const TEST: &str = "started::a_program_that_was_seen_keeps_its_code";
    if !squashfs_tools(TEST) {
        return;
    }
    let enter = if am_root() { "chroot" } else { "unshare --user --map-root-user chroot" };
    let tried = Command::new("sh").arg("-c").arg(format!("{enter} / true")).status();
    if !tried.is_ok_and(|status| status.success()) {
        skipped(TEST, "no user namespace can be made");
        return;
    }
    // until somebody has seen it
    let does = format!("exec {enter} '{}' /bin/sh -c 'sleep 1; exit 255'", tree().display());
    let programs = [("apptainer", APPTAINER, does.as_str())];
    let done = simulated(RuntimeChoice::Apptainer, &programs, &["true"]).run();
    assert_eq!(done.code, 255, "{}", done.stderr);
    let start = done.receipt.unwrap().start;
    assert!(matches!(start, Start::Started { .. }), "{start:?}");
}

/// Ubuntu 24.04 lets apptainer make no user namespace: it says its version and starts nothing.
#[test]
fn auto_takes_the_next_one_where_the_first_starts_nothing() {
    if !squashfs_tools("started::auto_takes_the_next_one_where_the_first_starts_nothing") {
        return;
    }
    let programs = [("apptainer", APPTAINER, FAILS)];
    let mut job = simulated(RuntimeChoice::Auto, &programs, &["sh", "-c", "echo it ran; exit 3"]);
    job.plan.runtimes = ["apptainer", "builtin"].map(|name| name.parse().unwrap()).into();
    let done = job.run();
    assert_eq!((done.code, done.stdout.as_str()), (3, "it ran\n"), "{}", done.stderr);
    assert!(done.stderr.contains("builtin is taken"), "{}", done.stderr);
    let receipt = done.receipt.unwrap();
    assert_eq!(receipt.runtime.as_str(), "builtin");
    assert_eq!(receipt.conditions.program, None);
    let passed = "not taken: apptainer: apptainer ended with 255";
    assert!(receipt.notes.iter().any(|note| note.starts_with(passed)), "{:?}", receipt.notes);
    // nothing is left to take
    job.plan.runtimes = vec!["apptainer".parse().unwrap()];
    let done = job.run();
    assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{}", done.stderr);
}

/// A runtime that starts other things here failed for this job's own sake: the next one is not tried.
#[test]
fn auto_stays_with_one_that_works() {
    if !squashfs_tools("started::auto_stays_with_one_that_works") {
        return;
    }
    let does = "case \"$*\" in */bin/sh*) exit 0;; *) exit 255;; esac";
    let programs = [("apptainer", APPTAINER, does)];
    let mut job = simulated(RuntimeChoice::Auto, &programs, &["echo", "it ran"]);
    job.plan.runtimes = ["apptainer", "builtin"].map(|name| name.parse().unwrap()).into();
    let done = job.run();
    assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{}", done.stderr);
    assert_eq!(done.receipt.unwrap().runtime.as_str(), "apptainer");
}

#[test]
fn a_program_that_only_has_the_name_is_no_runtime() {
    if !squashfs_tools("started::a_program_that_only_has_the_name_is_no_runtime") {
        return;
    }
    let programs = [("apptainer", "something else 1", "echo it ran")];
    let done = simulated(RuntimeChoice::Apptainer, &programs, &["true"]).run();
    assert_eq!((done.code, done.stdout.as_str()), (213, ""), "{}", done.stderr);
    assert!(done.stderr.contains("neither apptainer nor singularity"), "{}", done.stderr);
}

/// What one cannot give is no reason to fail where another one can.
#[test]
fn auto_passes_over_what_cannot_give_it() {
    if !squashfs_tools("started::auto_passes_over_what_cannot_give_it") {
        return;
    }
    let programs = [("ch-run", "0.31", "echo it ran")];
    let mut job = simulated(RuntimeChoice::Auto, &programs, &["sh", "-c", "echo \"$A\""]);
    job.plan.job.env.push("A=b\nc".parse().unwrap());
    job.plan.runtimes =
        ["podman", "charliecloud", "builtin"].map(|name| name.parse().unwrap()).into();
    let done = job.run();
    assert_eq!((done.code, done.stdout.as_str()), (0, "b\nc\n"), "{}", done.stderr);
    let notes = done.receipt.unwrap().notes;
    for passed in [
        "not taken: podman: it takes an OCI archive, and auto has a SIF",
        "not taken: charliecloud: it takes no value of several lines, as that of \"A\"",
    ] {
        assert!(notes.iter().any(|note| note == passed), "{passed}: {notes:?}");
    }
    job.plan.runtimes = ["podman", "docker"].map(|name| name.parse().unwrap()).into();
    let done = job.run();
    assert_eq!(done.code, 213, "{}", done.stderr);
    assert!(done.stderr.contains("--runtime podman"), "{}", done.stderr);
}
