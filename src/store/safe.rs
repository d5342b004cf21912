//! Checks that nobody else can have put something into the store: the directories above it, its own directories, its
//! files.
//!
//! `files::walk` checks the directories above. A file of the store must also have only one name: a second hard link
//! could lie where somebody else may write.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::StoreError;
use crate::files::{self, WayError};

/// This user.
pub(super) fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Makes `path` with its parents, 0700, or checks that what is there is a directory of this user that
/// nobody else can write or replace. Takes reading from others where they had it.
pub(super) fn private_dir(path: &Path) -> Result<(), StoreError> {
    walk(path, &[0, me()], true)?;
    private_child(path)
}

/// As [`private_dir`] for a directory in one that was checked.
pub(super) fn private_child(path: &Path) -> Result<(), StoreError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(StoreError::io("cannot make", path)(e)),
    }
    let found = fs::symlink_metadata(path).map_err(StoreError::io("cannot look at", path))?;
    let wrong = |why: String| Err(StoreError::Unsafe { path: path.to_owned(), why });
    // the root itself may be a link, and `walk` has looked at where it leads
    let found = if found.is_symlink() {
        fs::metadata(path).map_err(StoreError::io("cannot look at", path))?
    } else {
        found
    };
    if !found.is_dir() {
        return wrong("it is not a directory".into());
    }
    if found.uid() != me() {
        return wrong(format!("it belongs to uid {}", found.uid()));
    }
    if found.mode() & 0o022 != 0 {
        return wrong(format!("others may write into it (mode {:o})", found.mode() & 0o7777));
    }
    if found.mode() & 0o055 != 0 {
        let mode = fs::Permissions::from_mode(found.mode() & 0o7700);
        fs::set_permissions(path, mode).map_err(StoreError::io("cannot protect", path))?;
    }
    Ok(())
}

/// A file of the store, when it is there and this user's own.
pub(super) fn file(path: &Path) -> Result<Option<Metadata>, StoreError> {
    file_of(path, &[me()])
}

/// A file of the store, when it is there and belongs to one of `owners`.
pub(super) fn file_of(path: &Path, owners: &[u32]) -> Result<Option<Metadata>, StoreError> {
    let found = there(fs::symlink_metadata(path));
    let Some(meta) = found.map_err(StoreError::io("cannot look at", path))? else {
        return Ok(None);
    };
    match unsound(&meta, owners) {
        None => Ok(Some(meta)),
        Some(why) => Err(StoreError::Foreign { path: path.to_owned(), why }),
    }
}

/// Opens a file for reading when it is there and belongs to one of `owners`. What is looked at is the
/// handle, so nobody can put another file in its place between the look and the reading.
pub(super) fn open(path: &Path, owners: &[u32]) -> Result<Option<File>, StoreError> {
    // a pipe that was planted would be waited for
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let foreign = |why| Err(StoreError::Foreign { path: path.to_owned(), why });
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::STALE) => return Ok(None),
        Err(Errno::LOOP) => return foreign("it is a symbolic link".into()),
        Err(e) => return Err(StoreError::io("cannot open", path)(e.into())),
    };
    match there(file.metadata()).map_err(StoreError::io("cannot look at", path))? {
        Some(meta) => unsound(&meta, owners).map_or(Ok(Some(file)), foreign),
        None => Ok(None),
    }
}

/// What was read, if the file was there to the end: what a file server calls stale was removed by another
/// machine.
pub(super) fn there<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(e) if e.kind() == io::ErrorKind::NotFound || is_stale(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

fn is_stale(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::STALE)
}

/// What is wrong with a file.
pub(super) fn unsound(meta: &Metadata, owners: &[u32]) -> Option<String> {
    if meta.is_symlink() {
        return Some("it is a symbolic link".into());
    }
    if !meta.is_file() {
        return Some("it is not a regular file".into());
    }
    if !owners.contains(&meta.uid()) {
        return Some(format!("it belongs to uid {}", meta.uid()));
    }
    if meta.mode() & 0o022 != 0 {
        return Some(format!("others may write it (mode {:o})", meta.mode() & 0o7777));
    }
    if meta.nlink() > 1 {
        return Some(format!("it has {} names (hard links)", meta.nlink()));
    }
    None
}

/// Walks from `/` to `path`, and says the first component that somebody else could replace.
pub(super) fn walk(path: &Path, trusted: &[u32], make: bool) -> Result<OwnedFd, StoreError> {
    files::walk(path, trusted, make).map_err(|error| match error {
        WayError::Io(error) => error.into(),
        WayError::Unsafe { path, why } => StoreError::Unsafe { path, why },
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::CWD;

    use super::*;

    #[test]
    fn the_way_is_made_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/store");
        private_dir(&path).unwrap();
        for dir in [dir.path().join("a"), dir.path().join("a/b"), path] {
            assert_eq!(fs::metadata(dir).unwrap().mode() & 0o7777, 0o700);
        }
    }

    #[test]
    fn a_directory_above_that_others_can_write_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        private_dir(&open.join("store")).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let error = private_dir(&open.join("store")).unwrap_err().to_string();
        assert!(error.contains("/open is not safe: others may write"), "{error}");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
        private_dir(&open.join("store")).unwrap();
    }

    #[test]
    fn own_links_on_the_way_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        symlink("real", dir.path().join("relative")).unwrap();
        symlink(dir.path().join("relative"), dir.path().join("absolute")).unwrap();
        symlink("round", dir.path().join("round")).unwrap();
        private_dir(&dir.path().join("absolute/../absolute/store")).unwrap();
        assert!(dir.path().join("real/store").is_dir());
        let error = private_dir(&dir.path().join("round/store")).unwrap_err().to_string();
        assert!(error.contains("too many"), "{error}");
    }

    /// The answers are put in the place of a server's.
    #[test]
    fn what_a_server_has_removed_meanwhile_is_not_there() {
        let lost = |error: Errno| there::<()>(Err(error.into()));
        assert_eq!((lost(Errno::STALE).unwrap(), lost(Errno::NOENT).unwrap()), (None, None));
        assert!(lost(Errno::IO).is_err());
        assert_eq!(there(Ok(1)).unwrap(), Some(1));
    }

    #[test]
    fn what_is_opened_is_this_users_own() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "x").unwrap();
        fs::set_permissions(at("file"), fs::Permissions::from_mode(0o444)).unwrap();
        assert!(open(&at("file"), &[me()]).unwrap().is_some());
        assert!(open(&at("none"), &[me()]).unwrap().is_none());
        assert!(open(&at("file"), &[me() + 1]).unwrap_err().to_string().contains("belongs to uid"));
        symlink("file", at("link")).unwrap();
        rustix::fs::mkfifoat(CWD, at("pipe"), Mode::RWXU).unwrap();
        for (name, why) in [("link", "symbolic link"), ("pipe", "not a regular file")] {
            let error = open(&at(name), &[me()]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(why), "{error}");
        }
    }

    #[test]
    fn links_and_open_files_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "x").unwrap();
        fs::set_permissions(at("file"), fs::Permissions::from_mode(0o444)).unwrap();
        assert!(file(&at("file")).unwrap().is_some());
        assert!(file(&at("none")).unwrap().is_none());
        symlink("file", at("link")).unwrap();
        fs::create_dir(at("dir")).unwrap();
        for (name, why) in [("link", "symbolic link"), ("dir", "not a regular file")] {
            let error = file(&at(name)).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(why), "{error}");
        }
        fs::hard_link(at("file"), at("second")).unwrap();
        assert!(file(&at("file")).unwrap_err().to_string().contains("2 names"));
        fs::remove_file(at("second")).unwrap();
        fs::set_permissions(at("file"), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(file(&at("file")).unwrap_err().to_string().contains("others may write"));
    }
}
