//! Which writers of a ledger were merged into it, and by whom one merge at a time is made.
//!
//! ```text
//! LEDGER/merged      0600, a line for each: WRITER\n      durable before the writer's first file is there
//! ```
//!
//! What such a writer says of conversions is not believed (`conversions.rs`): its ledger was somebody else's, or lay
//! where somebody else could write. The file is only appended to, under a lock.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::dir::sync_dir;
use super::error::LedgerError;
use super::record::WriterId;
use crate::files::ForeignFile;

const NAME: &str = "merged";
/// Characters of a writer.
const WRITER: usize = 32;
/// Larger files are none of ours.
const MOST: u64 = 64 << 20;

/// The writers that were merged; a ledger without the file has none.
///
/// # Errors
/// When the file cannot be read or holds something else: then nobody knows whose word the records are.
pub(super) fn writers(dir: &Path) -> Result<BTreeSet<WriterId>, LedgerError> {
    let path = dir.join(NAME);
    let text = match ForeignFile::own(MOST).text(&path) {
        Ok(text) => text,
        Err(error) if error.is_missing() => return Ok(BTreeSet::new()),
        Err(error) => return Err(LedgerError::io("read", &path)(error.into())),
    };
    // a line that was cut short was never acknowledged, and its writer has no file
    let whole = text.lines().filter(|line| line.len() >= WRITER);
    whole.map(str::parse).collect::<Result<_, String>>().map_err(|why| {
        LedgerError::io("read", &path)(std::io::Error::new(std::io::ErrorKind::InvalidData, why))
    })
}

/// The file, held by the one who merges.
#[derive(Debug)]
pub(super) struct Held {
    file: File,
    path: PathBuf,
}

impl Held {
    /// Takes the lock.
    ///
    /// # Errors
    /// When somebody else merges into this ledger just now, or the file system has no locks.
    pub(super) fn take(dir: &Path) -> Result<Self, LedgerError> {
        let path = dir.join(NAME);
        let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(flags);
        let file = options.open(&path).map_err(LedgerError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, path }),
            Err(TryLockError::WouldBlock) => Err(LedgerError::Merging(dir.to_owned())),
            Err(TryLockError::Error(error)) => Err(LedgerError::io("lock", &path)(error)),
        }
    }

    /// Adds writers; durable when this returns.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub(super) fn add(
        &mut self,
        dir: &Path,
        writers: impl Iterator<Item = WriterId>,
    ) -> Result<(), LedgerError> {
        // behind what a killed one left of a line
        let mut text = String::from("\n");
        for writer in writers {
            text.push_str(&writer.to_string());
            text.push('\n');
        }
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_all());
        written.map_err(LedgerError::io("write", &self.path))?;
        sync_dir(dir)
    }
}
