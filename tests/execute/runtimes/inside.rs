//! Already inside a container, as payloads of a pilot are: every runtime is tried there, and one that does not work
//! says why.

use moorline::job::RuntimeChoice;

use super::case::Case;
use crate::support::*;

#[test]
fn every_runtime_is_tried() {
    for (_, runtime) in RuntimeChoice::ALL {
        let runtime = *runtime;
        let modes: &[_] = match runtime {
            RuntimeChoice::Udocker => {
                &[Some("--execmode=P1"), Some("--execmode=P2"), Some("--execmode=R1")]
            }
            _ => &[None],
        };
        for option in modes {
            let case = Case { runtime, user: User::Me, option: *option };
            let done = case.sh("echo it ran").run();
            eprintln!(
                "== {case:?}: {} {} {}\n{:?}\n{:#?}",
                done.code,
                done.stdout,
                done.stderr,
                done.receipt.as_ref().map(|r| r.runtime.clone()),
                done.receipt.map(|r| r.notes)
            );
        }
    }
}
