//! A part of a file, and how a file is opened.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A part of a file.
#[derive(Debug)]
pub struct Piece {
    /// The file, open.
    pub file: File,
    /// The part's first byte.
    pub at: u64,
    /// Its length.
    pub size: u64,
}

impl Piece {
    /// Its bytes.
    ///
    /// # Errors
    /// When the file cannot be positioned.
    pub fn read(mut self) -> io::Result<impl Read> {
        self.file.seek(SeekFrom::Start(self.at))?;
        Ok(self.file.take(self.size))
    }
}

/// Opens a regular file; does not wait for the other end of a named pipe.
pub(super) fn regular(path: &Path) -> io::Result<File> {
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits();
    let flags = i32::try_from(nonblock).unwrap_or(0);
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(file)
}
