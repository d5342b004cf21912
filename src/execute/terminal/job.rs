//! Stopping the whole job, as the kernel does for Ctrl-Z.

use rustix::process::{Signal, getpgid, getpgrp, getsid};

/// Stops this process group until somebody continues it; returns after that. `false` when nobody
/// could: a group without a parent in its session is orphaned, and the kernel does not stop it for a
/// key either.
pub(super) fn stop() -> bool {
    if !has_job_control() {
        return false;
    }
    rustix::process::kill_current_process_group(Signal::STOP).is_ok()
}

/// Whether a parent of this group is in this session but in another group: a shell that waits.
fn has_job_control() -> bool {
    let (group, session) = (getpgrp(), getsid(None).ok());
    let mut parent = rustix::process::getppid();
    while let Some(pid) = parent {
        let Ok(of_parent) = getpgid(Some(pid)) else { return false };
        if of_parent != group {
            return session.is_some() && getsid(Some(pid)).ok() == session;
        }
        parent = parent_of(pid.as_raw_nonzero().get());
    }
    false
}

fn parent_of(pid: i32) -> Option<rustix::process::Pid> {
    // proc(5): pid (name) state ppid; the name may hold anything
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
    rustix::process::Pid::from_raw(parent)
}
