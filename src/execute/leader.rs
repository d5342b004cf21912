//! The leader above a runtime that is a program of its own.

use std::fs;

use super::failed::at;
use super::session::{self, Fence};
use super::starter::Start;
use super::talk::{Line, Talk};
use crate::worker::exit;

/// The main function of the leader; returns its exit code.
pub(super) fn lead() -> i32 {
    let Ok(mut talk) = Talk::from_stdin() else { return exit::RUNTIME_FAILED };
    let (stdin, start): (_, Start) = match talk.take() {
        Ok(told) => told,
        Err(error) => {
            let _ = talk.say(&Line::Refused { why: format!("hearing the worker: {error}") });
            return exit::RUNTIME_FAILED;
        }
    };
    let before = || {
        // this end of the socket is the worker's business alone
        let null = fs::File::open("/dev/null").map_err(at("opening /dev/null"))?;
        rustix::stdio::dup2_stdin(&null).map_err(at("setting standard input"))
    };
    session::lead(talk, (stdin, &start), Fence::Reaper, before, || Ok(()))
}
