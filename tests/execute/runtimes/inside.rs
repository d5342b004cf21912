//! Already inside a container, as payloads of a pilot are: every runtime is tried there, and one that does not work
//! says why. `MOORLINE_TEST_INSIDE` names the container (`tests/env/containers.sh`), in which the image's programs are
//! those of Debian sid.
//!
//! | container | what starts jobs |
//! |---|---|
//! | `root` | root without capabilities: no user namespaces; udocker's P2 |
//! | `user` | an ordinary user without `/dev/fuse`: builtin, charliecloud, udocker's P2 |

use moorline::job::RuntimeChoice;
use moorline::worker::Start;

use super::case::{Case, udocker};
use crate::support::*;

/// How a job ends: its program ran, or the words of the refusal.
enum End {
    Ran,
    Refused(&'static str),
}

/// What is expected of each runtime.
fn expected(root: bool) -> Vec<(RuntimeChoice, Option<&'static str>, End)> {
    use End::{Ran, Refused};
    const STARTS: &str = "it starts nothing in the container around this worker: ";
    const CAPABILITY: &str = "--add-caps CAP_SETFCAP";
    let needs_users = || if root { Refused(CAPABILITY) } else { Ran };
    let mut all = vec![
        (RuntimeChoice::Apptainer, None, Refused(STARTS)),
        (RuntimeChoice::Singularity, None, Refused(STARTS)),
        (RuntimeChoice::Builtin, None, needs_users()),
        (RuntimeChoice::Charliecloud, None, needs_users()),
        (RuntimeChoice::Podman, None, Refused(if root { "read-only" } else { "no_new_privs" })),
        (RuntimeChoice::Docker, None, Refused("would not find the job's files")),
        (RuntimeChoice::Auto, None, needs_users()),
    ];
    if udocker().is_some() {
        all.push((RuntimeChoice::Udocker, Some("--execmode=P2"), Ran));
    }
    all
}

#[test]
fn every_runtime_is_tried() {
    const TEST: &str = "runtimes::inside::every_runtime_is_tried";
    let inside = std::env::var("MOORLINE_TEST_INSIDE").ok();
    if !have("inside", TEST, inside.is_some()) || !squashfs_tools(TEST) {
        return;
    }
    for (runtime, option, end) in expected(inside.as_deref() == Some("root")) {
        let case = Case { runtime, user: User::Me, option };
        let done = case.sh("echo it ran; exit 7").run();
        let receipt = done.receipt.unwrap();
        match end {
            End::Ran => {
                let found = (done.code, done.stdout.as_str());
                assert_eq!(found, (7, "it ran\n"), "{case:?}: {}", done.stderr);
                assert!(matches!(receipt.start, Start::Started { .. }), "{case:?}");
            }
            End::Refused(words) => {
                let found = (done.code, done.stdout.as_str());
                assert_eq!(found, (213, ""), "{case:?}: {}", done.stderr);
                assert!(done.stderr.contains(words), "{case:?}: {}", done.stderr);
                // the reason is one for people, and it is kept
                assert!(!why(&receipt).is_empty() && !done.stderr.contains("panicked"), "{case:?}");
            }
        }
        if runtime == RuntimeChoice::Auto && done.code == 7 {
            assert_eq!(receipt.runtime.as_str(), "builtin");
            let passed = receipt.notes.iter().find(|note| note.starts_with("not taken: apptainer"));
            assert!(passed.is_some_and(|note| note.contains("/dev/fuse")), "{:?}", receipt.notes);
        }
    }
}
