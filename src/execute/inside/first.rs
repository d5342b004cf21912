//! The main function of the container's first process.

use std::os::fd::AsFd;

use rustix::process::Signal;

use super::Inside;
use super::arrange::{self, own_mounts};
use super::privileges;
use crate::execute::failed::{Failed, at};
use crate::execute::rootfs;
use crate::execute::session::{Fence, lead};
use crate::execute::talk::{Line, Talk};
use crate::worker::exit;

/// The main function of the process; returns its exit code.
pub(in crate::execute) fn main() -> i32 {
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
    if let Err(refused) = root(&inside, &mut talk) {
        let _ = talk.say(&refused);
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

/// A mount namespace; in it the image, where it is served. What the worker is told when there is none.
fn root(inside: &Inside, talk: &mut Talk) -> Result<(), Line> {
    let refused = |Failed(why)| Line::Refused { why };
    own_mounts().map_err(at("making a mount namespace")).map_err(refused)?;
    if !inside.served {
        return Ok(());
    }
    let device = rootfs::attach(inside.image_at()).map_err(|Failed(why)| Line::Unserved { why })?;
    // only the server has it then: when that is gone, the kernel answers with errors
    talk.give(device.as_fd()).map_err(at("telling the worker")).map_err(refused)
}
