//! No core dump of a process that may hold a secret.
//!
//! Two locks: the process says that it may not be dumped, which also keeps others of the same user
//! from reading its memory and environment, and ends by itself when another program is started; and
//! the limit for core files is 0 for verbs that start no job. Jobs keep the user's limit: their cores
//! are theirs.
//!
//! A user who started this process under a debugger sees all of it anyway. The first lock would only keep the user's
//! `strace` from naming files, so it stays open then.

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

use crate::procstatus::ProcStatus;

/// Both locks, or the first alone for a verb that starts jobs.
pub fn off(starts_jobs: bool) {
    // a kernel that refuses leaves things as they are for every program of this user
    if !ProcStatus::own().is_traced()
        && let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable)
    {
        tracing::debug!(%error, "this process can be dumped");
    }
    if starts_jobs {
        return;
    }
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum }) {
        tracing::debug!(%error, "the limit for core files stays");
    }
}
