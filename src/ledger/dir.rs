//! The ledger's directories: private, one's own, and durable.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use super::error::LedgerError;

/// Makes a directory, 0700, and its parents; says whether it was not there.
pub(super) fn private_dir(dir: &Path) -> Result<bool, LedgerError> {
    if dir.is_dir() {
        return Ok(false);
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(LedgerError::io("create", dir))?;
    if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
        sync_dir(parent)?;
    }
    Ok(true)
}

/// Refuses a directory in which somebody else could write history.
pub(super) fn check(dir: &Path) -> Result<(), LedgerError> {
    let meta = fs::metadata(dir).map_err(LedgerError::io("read", dir))?;
    if !meta.is_dir() {
        return Err(LedgerError::NotADirectory(dir.to_owned()));
    }
    let me = rustix::process::geteuid().as_raw();
    let wrong = |why| Err(LedgerError::Unsafe { path: dir.to_owned(), why });
    if meta.uid() != me {
        return wrong(format!("it belongs to user {}, not to {me}", meta.uid()));
    }
    if meta.mode() & 0o022 != 0 {
        return wrong(format!("others may write in it (mode {:04o})", meta.mode() & 0o7777));
    }
    Ok(())
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), LedgerError> {
    crate::files::sync_folder(dir).map_err(LedgerError::io("sync", dir))
}

/// Whether an error says that the file system cannot lock.
pub(super) fn cannot_lock(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::NOLCK, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL]
        .iter()
        .any(|e| error.raw_os_error() == Some(e.raw_os_error()))
}
