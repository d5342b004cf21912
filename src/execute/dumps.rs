//! Keeps other processes of the same user out of the worker: it holds what a receipt is made of, and
//! the socket that its container's first process talks on.

use rustix::process::DumpableBehavior;

use crate::procstatus::ProcStatus;

/// This process leaves no core and cannot be attached to. A debugger that was there first stays.
pub(super) fn refuse() {
    if !ProcStatus::own().is_traced() {
        // a kernel that refuses leaves things as they are for every program of this user
        let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
