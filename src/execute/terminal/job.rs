//! Stopping the whole job, as the kernel does for Ctrl-Z.

use std::fs;

use rustix::process::Signal;

/// Stops this process group until somebody continues it; returns after that. `false` when nobody
/// could: a group without a parent in its session is orphaned, and the kernel does not stop it for a
/// key either.
pub(super) fn stop() -> bool {
    has_job_control() && rustix::process::kill_current_process_group(Signal::STOP).is_ok()
}

/// The number of this process's group; 0 when its leader is outside of this pid namespace, for which
/// rustix has no type.
pub(super) fn group() -> Option<i32> {
    Kin::of("self").map(|kin| kin.group)
}

/// Parent, group and session of a process; each is 0 when it is outside of this pid namespace.
struct Kin {
    parent: i32,
    group: i32,
    session: i32,
}

impl Kin {
    fn of(process: &str) -> Option<Self> {
        // proc(5): pid (name) state ppid pgrp session; the name may hold anything
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1).map(str::parse);
        let mut next = || fields.next()?.ok();
        Some(Self { parent: next()?, group: next()?, session: next()? })
    }
}

/// Whether a parent of this group is in this session but in another group: a shell that waits.
fn has_job_control() -> bool {
    let Some(own) = Kin::of("self") else { return false };
    let mut parent = own.parent;
    while parent != 0 {
        let Some(kin) = Kin::of(&parent.to_string()) else { return false };
        if kin.group != own.group {
            return kin.session == own.session;
        }
        parent = kin.parent;
    }
    // the end of this namespace: a group that is led from outside has its shell there
    own.group == 0
}
