//! Among the mounts of real machines (`tests/env/mount-zoo.py`): podman#8778, systemd#9844,
//! bubblewrap#118. One mount that a user cannot reach, that is covered, dead, or whose name is no text
//! must not stop any job.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::*;

/// Set by the zoo for what runs in it.
fn zoo() -> Option<String> {
    std::env::var("MOORLINE_TEST_ZOO").ok()
}

#[test]
fn the_suite_runs_among_other_peoples_mounts() {
    let test = "the_suite_runs_among_other_peoples_mounts";
    if zoo().is_some() || !squashfs_tools(test) || !have("root", test, am_root()) {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/env/mount-zoo.py");
    let output = Command::new("timeout")
        .args(["--kill-after=10", "900", "python3", script])
        .arg(std::env::current_exe().unwrap())
        // mounts that a test makes of its own are not the zoo's
        .args(["--nocapture", "--test-threads=2"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    for line in said.lines().filter(|l| l.starts_with("SKIPPED: mount-zoo")) {
        let (piece, why) = line["SKIPPED: ".len()..].split_once(": ").unwrap();
        skipped(piece, why);
    }
    assert!(output.status.success(), "{text}{said}");
    // a suite that ran nothing proves nothing
    assert!(text.contains("zoo::what_is_bound_with_the_zoo"), "{text}");
}

#[test]
fn what_is_bound_with_the_zoo() {
    let Some(zoo) = zoo() else { return };
    for user in users() {
        // the whole of it, read-only
        let script = "echo ran; cat /proc/self/mountinfo";
        let done = Job::sh(user, script).mount(&format!("{zoo}:/zoo:ro")).run();
        assert_eq!(done.code, 0, "{user:?} {}", done.stderr);
        let receipt = done.receipt.unwrap();
        let passed = &receipt.conditions.passed_over;
        let why = |target: &str| passed.iter().find(|n| n.target == target).map(|n| n.why.as_str());
        assert_eq!(
            why("/zoo/closed/mount"),
            Some("Permission denied (os error 13)"),
            "{user:?} {passed:?}"
        );
        assert_eq!(why("/zoo/covered/by/parent"), Some("another mount covers it"), "{passed:?}");
        assert_eq!(why("/zoo/auto/deep"), None, "it is seen");
        if user == User::Nobody && passed.iter().any(|n| n.target.starts_with("/sys/")) {
            assert!(why("/sys/kernel/debug/tracing").is_some(), "{passed:?}");
        }
        // everything that can be reached has the flags
        let mut seen = 0;
        for line in done.stdout.lines().skip(1) {
            let words: Vec<&str> = line.split(' ').collect();
            let (point, options) = (words[4], words[5]);
            let known = passed.iter().any(|n| n.target == point || point.contains('\\'));
            if point.starts_with("/zoo") && !known {
                seen += 1;
                for flag in ["ro", "nosuid", "nodev"] {
                    assert!(options.split(',').any(|o| o == flag), "{line}");
                }
            }
        }
        assert!(seen > 10, "{}", done.stdout);

        // nothing may lack below a mount that is required read-only
        let done = Job::sh(user, "true").mount(&format!("{zoo}:/zoo:ro:required")).run();
        assert_eq!(done.code, 212, "{}", done.stderr);
        assert!(done.stderr.contains("cannot be reached"), "{}", done.stderr);

        // names that are no text, and a path of 3,000 characters
        let done = Job::sh(user, "ls /names; cat /proc/self/mountinfo")
            .mount(&format!("{zoo}/names:/names"))
            .mount(&format!("{zoo}/long:/long"))
            .run();
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert!(done.stdout.contains("with blank") && done.stdout.contains("/long/nnn"));
    }
}

#[test]
fn a_dead_mount_that_is_asked_for_does_not_hold_the_job_up_for_ever() {
    let Some(zoo) = zoo() else { return };
    let test = "a_dead_mount_that_is_asked_for_does_not_hold_the_job_up_for_ever";
    let (user, name) = (User::Nobody, "nobody");
    let dead = format!("{zoo}/home/{name}/dead");
    if !have(
        "fuse",
        test,
        std::path::Path::new(&dead).parent().is_some_and(std::path::Path::is_dir),
    ) {
        return;
    }
    let began = std::time::Instant::now();
    let done = Job::sh(user, "echo ran").mount(&format!("{dead}:/dead")).run();
    assert_eq!((done.code, done.stdout.as_str()), (0, "ran\n"), "{}", done.stderr);
    assert!(done.stderr.contains("did not answer within"), "{}", done.stderr);
    assert!(began.elapsed() < Duration::from_secs(120));
}
