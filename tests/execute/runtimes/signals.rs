//! Signals reach the program, and nothing of it is left.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::case::cases;
use crate::program::alive_in;
use crate::support::*;

#[test]
fn a_signal_leaves_nothing_behind() {
    for case in cases("runtimes::a_signal_leaves_nothing_behind") {
        for signal in ["TERM", "KILL"] {
            let mut job = case.sh(
                "trap 'echo tidied; exit 3' TERM; (while :; do sleep 0.05; done) & touch ready; while :; do sleep 0.01; done",
            );
            job.plan.job.terms.grace = Some(20);
            let mut child =
                job.worker().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            until(|| {
                // its message says more than a deadline that passed
                job.path("work/ready").exists() || child.try_wait().unwrap().is_some()
            });
            let pid = child.id().to_string();
            let sent = Command::new("kill").arg(format!("-{signal}")).arg(pid).status();
            assert!(sent.unwrap().success());
            until(|| child.try_wait().unwrap().is_some());
            let done = job.done(&child.wait_with_output().unwrap());
            if signal == "TERM" && case.is_udocker() {
                // udocker passes no signal on
                assert_eq!(
                    (done.code, done.stdout.as_str()),
                    (143, ""),
                    "{case:?}: {}",
                    done.stderr
                );
            } else if signal == "TERM" {
                let found = (done.code, done.stdout.as_str());
                assert_eq!(found, (143, "tidied\n"), "{case:?}: {}", done.stderr);
                assert_eq!(done.receipt.unwrap().exit_code, 143);
            }
            until(|| !alive_in(&job.path("work")) && !stands_in(&job.path("work")));
            if case.is_oci() {
                let name = job.plan.job.id.to_string();
                // other tests have jobs of the same id: their containers have other attempts' names
                let attempt = job.receipts().pop().map(|receipt| receipt.attempt);
                if let Some(attempt) = attempt {
                    let name = format!("moorline-{name}-{}", &attempt[..12]);
                    assert!(!case.containers(&job).contains(&name), "{case:?}");
                }
            }
        }
    }
}

/// Whether a process has this directory as its own: without a namespace that is how a job's is known.
fn stands_in(dir: &Path) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter_map(|process| fs::read_link(process.path().join("cwd")).ok())
        .any(|cwd| cwd == dir)
}
