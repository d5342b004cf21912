//! The `moorline run` that started this worker, if one did.

use std::sync::OnceLock;

use rustix::process::Pid;

static CALLER: OnceLock<Pid> = OnceLock::new();

/// Who passes signals on to this process.
pub(super) fn get() -> Option<Pid> {
    CALLER.get().copied()
}

/// Said once, before anything else.
pub(super) fn set(pid: Pid) {
    let _ = CALLER.set(pid);
}
