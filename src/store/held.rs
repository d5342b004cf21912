//! Directories that a process holds while it needs them: nobody removes them then.
//!
//! A hold is a shared lock (`flock`) on the directory itself. It ends with its process, however that ends, and
//! `systemd-tmpfiles` leaves a locked directory and all below it alone (`tmpfiles.d(5)`). Other cleaners do not look at
//! locks, so whoever must be sure looks at the directory afterwards. Only processes of the same machine see the lock of
//! a directory, also on NFS, so other machines are told apart by name.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::listing;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory that is held until this is dropped.
#[derive(Debug)]
pub struct Held(File);

impl Held {
    /// Holds a directory; `None` when somebody is just removing it. Where the file system has no locks
    /// the hold protects nothing.
    ///
    /// # Errors
    /// When it cannot be opened as a directory; a link is none.
    pub fn hold(dir: &Path) -> io::Result<Option<Self>> {
        let handle = open(dir)?;
        match handle.try_lock_shared() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            // without locks
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        // it may have been removed between the two
        Ok(is_at(&handle, dir).then_some(Self(handle)))
    }

    /// The directory itself.
    pub fn handle(&self) -> &File {
        &self.0
    }
}

/// Removes a directory with all that is in it, unless somebody holds it; says whether it did.
///
/// # Errors
/// When it cannot be opened or removed, or the file system has no locks.
pub fn remove_unheld(dir: &Path) -> io::Result<bool> {
    let handle = open(dir)?;
    match handle.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    listing::remove_tree(dir).map(|()| true)
}

fn open(dir: &Path) -> io::Result<File> {
    Ok(File::from(rustix::fs::open(dir, DIRECTORY, Mode::empty())?))
}

fn is_at(handle: &File, path: &Path) -> bool {
    let same =
        |a: std::fs::Metadata, b: std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    handle.metadata().and_then(|a| Ok(same(a, std::fs::symlink_metadata(path)?))).unwrap_or(false)
}

/// The name of this machine, as trees carry it.
pub fn machine() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // it stands between blanks
    name.chars().map(|c| if c.is_whitespace() || c.is_control() { '_' } else { c }).collect()
}

/// Whether an unpacked image is another machine's, whose holds are not known here: its `seal` says so.
pub fn is_elsewhere(tree: &Path) -> bool {
    let text = std::fs::read_to_string(tree.join("seal")).unwrap_or_default();
    text.split(' ').nth(2).is_some_and(|host| host != machine())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("held");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("file"), "x").unwrap();
        let (one, other) = (Held::hold(&path).unwrap(), Held::hold(&path).unwrap());
        assert!(one.is_some() && other.is_some(), "several may hold it");
        assert!(!remove_unheld(&path).unwrap());
        drop(one);
        assert!(!remove_unheld(&path).unwrap());
        drop(other);
        assert!(remove_unheld(&path).unwrap() && !path.exists());
        assert!(Held::hold(&path).is_err());
        std::os::unix::fs::symlink(dir.path(), &path).unwrap();
        assert!(
            Held::hold(&path).is_err() && remove_unheld(&path).is_err(),
            "links are not followed"
        );
    }
}
