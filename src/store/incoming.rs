//! A file that has no name yet: it is hashed while it is written and named when it is right.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

use super::{StoreError, Writeback};
use crate::files;
use crate::oci::{Digest, Hasher};

/// A file in `tmp/`; dropping it removes it.
pub struct Incoming {
    file: NamedTempFile,
    hasher: Hasher,
    length: u64,
}

impl Incoming {
    pub(super) fn new(tmp: &Path) -> Result<Self, StoreError> {
        let file = tempfile::Builder::new()
            .prefix(&super::temporary::temporary_prefix())
            .tempfile_in(tmp)
            .map_err(StoreError::io("cannot make a file in", tmp))?;
        Ok(Self { file, hasher: Hasher::default(), length: 0 })
    }

    /// Appends and hashes.
    ///
    /// # Errors
    /// When the disk is full, or the write fails otherwise.
    pub fn write(&mut self, data: &[u8]) -> Result<(), StoreError> {
        let path = self.file.path().to_owned();
        Write::write_all(self, data).map_err(StoreError::io("cannot write", &path))
    }

    /// The digest and length of what was written through [`Incoming::write`].
    pub fn measured(&self) -> (Digest, u64) {
        (self.hasher.clone().finish(), self.length)
    }

    /// The file itself, for writers that seek and hash by themselves (conversion).
    pub fn file_mut(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Lets the disk take the file while it grows.
    ///
    /// # Errors
    /// When the system has no handle left for it.
    pub fn write_back(&self) -> Result<Writeback, StoreError> {
        Writeback::of(self.file.as_file(), self.file.path())
    }

    /// Where the file is now.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Makes it read-only, syncs it, names it, and syncs the directory. What already has the name
    /// is replaced: under a digest's name it can only be the same bytes.
    pub(super) fn publish(self, path: &Path) -> Result<(), StoreError> {
        let file = self.file.as_file();
        file.set_permissions(Permissions::from_mode(0o444))
            .map_err(StoreError::io("cannot write", path))?;
        files::publish(self.file, path).map_err(StoreError::io("cannot name", path))
    }
}

impl Write for Incoming {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = self.file.as_file_mut().write(data)?;
        self.hasher.update(&data[..n]);
        self.length += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}
