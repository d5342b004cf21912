//! How the jobs of `run`, which no engine knows, are told to live: a lock in their control directory.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// The engine's kind in the ledger: none, a process of `moorline run`.
pub const KIND: &str = "run";

/// Locked for as long as a `run` lives.
const LOCK: &str = "running";

/// Says that this process lives, for as long as the file is open.
///
/// # Errors
/// When the lock cannot be made.
pub fn hold(control: &Path) -> io::Result<File> {
    let file = File::create_new(control.join(LOCK))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Whether the `run` with this control directory lives; what cannot be found out counts as living.
pub fn lives(control: &Path) -> bool {
    match File::open(control.join(LOCK)) {
        Ok(file) => flock(&file, FlockOperation::NonBlockingLockShared).is_err(),
        Err(e) => e.kind() != io::ErrorKind::NotFound,
    }
}
