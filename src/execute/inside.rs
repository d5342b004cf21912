//! The container's own first process: carries out the layout, gives up every privilege, leads the
//! program's session, and reaps.
//!
//! It is this very program, started by `between.rs` as process 1 of a new pid namespace and as root of
//! a new user namespace that maps to the caller, so that it may mount:
//!
//! ```text
//! worker --> between: user, pid and perhaps network namespace --> inside (pid 1)
//!   a session of its own; the program's terminal, if it has one
//!   unshare mounts, everything a slave of the machine's mounts (automounts arrive, nothing leaves)
//!   the image by FUSE, where this program serves it (rootfs/server); its handle goes to the worker
//!   start the starter (pid 2), which waits
//!   tmpfs skeleton, pivot_root, steps (mounts by handle: attach.rs), hide, detach the machine's root
//!   empty the bounding set, drop all capabilities, no_new_privs
//!   starter: a second user namespace with the caller's own uid and gid: the program owns no mount;
//!            the same privileges given up; the program
//!   pass signals on, reap orphans, end with the program: the kernel ends the rest
//! ```

mod arrange;
mod attach;
mod make;
pub(super) mod privileges;

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::process::Signal;
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

pub(super) use arrange::own_mounts;

use super::hiding::Hidden;
use super::rootfs::server;
use super::session::{Failed, Fence, at, lead};
use super::starter::{Start, Word};
use super::talk::{Line, Talk};
use crate::runtime::builtin::Step;
use crate::runtime::path_json;
use crate::worker::exit;

/// What is to be done inside.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Inside {
    /// An empty directory of the machine.
    #[serde(with = "path_json")]
    pub(super) root: PathBuf,
    /// See [`crate::runtime::builtin`].
    pub(super) steps: Vec<Step>,
    /// What is covered after them.
    #[serde(default)]
    pub(super) hide: Vec<Hidden>,
    /// Where the image is mounted that this program serves; an empty directory of the machine.
    #[serde(default)]
    pub(super) serve: Option<Word>,
    /// Mounts of the machine that are known to be out of reach, by their place in the container.
    #[serde(default)]
    pub(super) passed_over: Vec<OsString>,
    /// The caller is root of the machine.
    pub(super) uid: u32,
    /// The program's terminal, a path of the machine.
    pub(super) terminal: Option<Word>,
    /// What is started then.
    pub(super) start: Start,
}

/// The main function of the process; returns its exit code.
pub(super) fn main() -> i32 {
    let die = || rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let _ = die();
    let Ok(mut talk) = Talk::from_stdin() else { return exit::RUNTIME_FAILED };
    let (stdin, inside): (_, Inside) = match talk.take() {
        Ok(told) => told,
        Err(error) => {
            let _ = talk.say(&Line::Refused { why: format!("hearing the worker: {error}") });
            return exit::RUNTIME_FAILED;
        }
    };
    let served = own_mounts().map_err(at("making a mount namespace")).and_then(|()| {
        let Some(point) = &inside.serve else { return Ok(()) };
        let device = server::attach(point.path())?;
        // only the server has it then: when that is gone, the kernel answers with errors
        talk.give(device.as_fd()).map_err(at("telling the worker"))
    });
    if let Err(Failed(why)) = served {
        let _ = talk.say(&Line::Refused { why });
        return exit::RUNTIME_FAILED;
    }
    let before = || {
        // this end of the socket is the worker's business alone
        let null = std::fs::File::open("/dev/null").map_err(at("opening /dev/null"))?;
        rustix::stdio::dup2_stdin(null.as_fd()).map_err(at("setting standard input"))
    };
    let arrange = || {
        arrange::arrange(&inside)?;
        privileges::give_up()?;
        // giving up a capability forgets it
        die().map_err(at("prctl"))
    };
    lead(talk, (stdin, &inside.start), Fence::Namespace, before, arrange)
}

/// Makes a namespace of the calling thread's own.
pub(super) fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // deprecated for CLONE_FILES, which can take handles away from other threads: never used here
    #[expect(deprecated, reason = "safe for these flags; the replacement is unsafe for all")]
    rustix::thread::unshare(flags)
}
