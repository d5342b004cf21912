//! Runtimes that take the image's tree in a directory refuse what they cannot keep.

use moorline::job::Grade;

use super::case::{Case, cases};

/// A value of several lines would stand on the command line, and a tree that others reach is not *measured*.
#[test]
fn what_takes_a_directory_refuses_what_it_cannot_keep() {
    let all = cases("runtimes::what_takes_a_directory_refuses_what_it_cannot_keep");
    for case in all.into_iter().filter(|case| !case.takes_lines()) {
        let mut job = case.sh("echo it ran");
        job.plan.job.env.push("J=a\nsecret".parse().unwrap());
        let done = job.run();
        assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{case:?}: {}", done.stderr);
        assert!(done.stderr.contains("several lines"), "{}", done.stderr);
        assert!(!done.stderr.contains("secret"), "{}", done.stderr);
        let mut job = case.sh("echo it ran");
        job.plan.job.terms.require = Some(Grade::Measured);
        let done = job.run();
        assert_eq!((done.code, done.stdout.as_str()), (211, ""), "{case:?}: {}", done.stderr);
    }
}

/// What udocker cannot do as it was asked is not done in another way.
#[test]
fn udocker_refuses() {
    let cases = cases("runtimes::udocker_refuses");
    let Some(case) = cases.into_iter().find(|case| case.is_udocker()) else { return };
    for (option, why) in [
        ("--execmode=S1", "take --runtime apptainer"),
        ("--execmode=F1", "needs libfakechroot and patchelf of its engines"),
        ("--execmode=F3", "rewrites every program of the image"),
        ("--location=/", "the image is the job's"),
    ] {
        let job = Case { option: Some(option), ..case }.sh("echo it ran");
        let done = job.run();
        assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{option}: {}", done.stderr);
        assert!(done.stderr.contains(why), "{}", done.stderr);
    }
    let done = case.job(&["sh", "-c", "echo it ran", ""]).run();
    assert_eq!((done.code, done.stdout.as_str()), (214, ""), "{}", done.stderr);
    // R1 keeps both outputs apart, and adds nothing to them
    let done = Case { option: Some("--execmode=R1"), ..case }.sh("echo out; echo err >&2").run();
    assert_eq!((done.code, done.stdout.as_str()), (0, "out\n"), "{}", done.stderr);
    assert!(done.stderr.lines().any(|line| line == "err"), "{}", done.stderr);
}
