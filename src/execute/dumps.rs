//! Keeps other processes of the same user out of the worker: it holds what a receipt is made of, and
//! the socket that its container's first process talks on.

use std::fs;

use rustix::process::DumpableBehavior;

/// This process leaves no core and cannot be attached to. A debugger that was there first stays.
pub(super) fn refuse() {
    // proc(5): the tracer's process id, or 0
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    if tracer.is_none_or(|pid| pid.trim() == "0") {
        // a kernel that refuses leaves things as they are for every program of this user
        let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
