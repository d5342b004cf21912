//! `auto`: the first runtime that works, and why the others were not taken.

use moorline::job::RuntimeChoice;

use crate::support::*;

#[test]
fn auto_says_why_others_were_not_taken() {
    if !squashfs_tools("runtimes::auto_says_why_others_were_not_taken") {
        return;
    }
    let mut job = Job::new(User::Me, &["sh", "-c", "true"]);
    job.plan.job.runtime = RuntimeChoice::Auto;
    job.plan.runtimes =
        ["singularity", "podman", "builtin"].map(|name| name.parse().unwrap()).into();
    job.env.push(("PATH".into(), "/nowhere".into()));
    let done = job.run();
    assert_eq!(done.code, 0, "{}", done.stderr);
    let receipt = done.receipt.unwrap();
    assert_eq!(receipt.runtime.as_str(), "builtin");
    // podman takes no SIF, so it is passed over first
    let said: Vec<_> = receipt.notes.iter().filter(|note| note.starts_with("not taken")).collect();
    let podman = "not taken: podman: it takes an OCI archive, and auto has a SIF";
    assert_eq!(said, [podman, "not taken: singularity: not installed"]);
    job.plan.job.runtime = RuntimeChoice::Podman;
    let done = job.run();
    assert_eq!(done.code, 214, "{}", done.stderr);
    assert!(
        done.stderr.contains("podman runs an OCI archive, and the job has a SIF"),
        "{}",
        done.stderr
    );
}
