//! The process between worker and container: makes the namespaces, starts the container's first
//! process in them, and waits.
//!
//! A process enters a new pid namespace only by being born there, so this one stays outside. It is
//! this very program again, because only a process with one thread may make a user namespace.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use rustix::process::Signal;
use rustix::thread::UnshareFlags;

use super::failed::{Failed, at};
use super::inside::privileges;
use super::network;
use super::signals::Ears;
use super::talk::{Line, Talk};
use super::unshare::unshare;
use super::verbs::INSIDE;
use crate::worker::exit;

/// The main function of the process: `alone` means a network namespace of its own. Returns its exit
/// code.
pub(super) fn main(alone: bool) -> i32 {
    match go(alone) {
        Ok(code) => code,
        Err(Failed(why)) => {
            if let Ok(mut talk) = Talk::from_stdin() {
                let _ = talk.say(&Line::Refused { why });
            }
            exit::RUNTIME_FAILED
        }
    }
}

fn go(alone: bool) -> Result<i32, Failed> {
    // dies with the worker, and of nothing that is meant for the program
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(at("prctl"))?;
    let _ears = Ears::open(&[]).map_err(at("installing a signal handler"))?;
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let network = if alone { UnshareFlags::NEWNET } else { UnshareFlags::empty() };
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWPID | network)
        .map_err(at("making a user and a pid namespace"))?;
    privileges::map(&format!("0 {uid} 1"), &format!("0 {gid} 1"))?;
    if alone {
        network::loopback_up().map_err(at("switching the loopback device on"))?;
    }
    let mut child = Command::new("/proc/self/exe")
        .arg(INSIDE)
        .spawn()
        .map_err(at("starting this program again"))?;
    privileges::hide()?;
    // the container's first process alone talks to the worker, which hears its end
    if let Ok(null) = File::open("/dev/null") {
        rustix::stdio::dup2_stdin(&null).map_err(at("setting standard input"))?;
    }
    let status = child.wait().map_err(at("waiting for the container"))?;
    Ok(status.code().or_else(|| status.signal().map(|n| 128 + n)).unwrap_or(1))
}
