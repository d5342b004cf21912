//! Whether a rename succeeded, also when its answer was lost. On a network file system the server may rename the file
//! and its answer may be lost. The client then asks again, and the server says that there is nothing to rename. So
//! Moorline looks at the target.
//!
//! Floor 0: all code that gives a file its name uses it.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tempfile::NamedTempFile;

/// A file whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(u64, u64);

impl Identity {
    /// Of an open file, or of a name that was looked at.
    #[must_use]
    pub fn of(meta: &Metadata) -> Self {
        Self(meta.dev(), meta.ino())
    }

    /// Whether the name is this file's.
    fn has(self, name: &Path) -> bool {
        fs::symlink_metadata(name).is_ok_and(|meta| Self::of(&meta) == self)
    }
}

/// The answer to a rename of `file` to `target`: an error is none when `target` is that file.
///
/// # Errors
/// The answer's, when it is not.
pub fn settled(answer: io::Result<()>, file: Option<Identity>, target: &Path) -> io::Result<()> {
    match answer {
        Err(_) if file.is_some_and(|file| file.has(target)) => Ok(()),
        answer => answer,
    }
}

/// Gives a temporary file its name, and looks there when that seems to fail.
///
/// # Errors
/// When it does not have the name.
pub fn persist(file: NamedTempFile, target: &Path) -> io::Result<()> {
    let identity = file.as_file().metadata().ok().map(|meta| Identity::of(&meta));
    // after a lost answer the error still holds the file, under a name that is gone
    settled(file.persist(target).map(drop).map_err(|e| e.error), identity, target)
}

/// Renames, and looks at the target when that seems to fail.
///
/// # Errors
/// When the file does not have the name.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let file = fs::symlink_metadata(from).ok().map(|meta| Identity::of(&meta));
    settled(fs::rename(from, to), file, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server renames and its answer is lost (simulated: an error is put in its place).
    #[test]
    fn a_rename_whose_answer_was_lost_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, "x").unwrap();
        let file = Some(Identity::of(&fs::metadata(&from).unwrap()));
        // the second try of the client finds nothing to rename
        let lost = || Err(io::ErrorKind::NotFound.into());
        assert!(settled(lost(), file, &to).is_err(), "it was not done");
        fs::write(&to, "another file").unwrap();
        assert!(settled(lost(), file, &to).is_err(), "what stands there is not it");
        fs::rename(&from, &to).unwrap();
        settled(lost(), file, &to).unwrap();
        assert!(settled(lost(), None, &to).is_err(), "nothing is known of it");
        assert!(rename(&from, &to).is_err());
    }
}
