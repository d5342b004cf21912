//! The names in a directory, and removing one with all that is in it.
//!
//! The standard library's own iterator, which its `remove_dir_all` uses too, panics when the file system answers `close` with an error
//! (`unexpected error during closedir`), and network file systems do so. Found by `tests/cli/sweep/mod.rs`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

/// All names but `.` and `..`, in no order.
///
/// # Errors
/// When the directory cannot be opened or read.
pub fn names(dir: &Path) -> io::Result<Vec<OsString>> {
    let handle = rustix::fs::open(dir, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    read(Dir::new(handle)?)
}

fn read(dir: Dir) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in dir {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

/// Removes a file, a link, or a directory with all that is in it; links are not followed, whoever
/// exchanges something meanwhile.
///
/// # Errors
/// When something cannot be removed; the rest of it may be gone then.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    if !std::fs::symlink_metadata(path)?.is_dir() {
        return std::fs::remove_file(path);
    }
    empty(&rustix::fs::open(path, INSIDE, Mode::empty())?)?;
    std::fs::remove_dir(path)
}

const INSIDE: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn empty(dir: &OwnedFd) -> io::Result<()> {
    for name in read(Dir::read_from(dir)?)? {
        match rustix::fs::unlinkat(dir, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            // unlink(2): Linux says the first, POSIX the second
            Err(Errno::ISDIR | Errno::PERM) => {
                empty(&rustix::fs::openat(dir, &name, INSIDE, Mode::empty())?)?;
                rustix::fs::unlinkat(dir, &name, AtFlags::REMOVEDIR)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_listed() {
        let dir = tempfile::tempdir().unwrap();
        let mut expected: Vec<OsString> = (0..1000).map(|i| format!("{i:0100}").into()).collect();
        for name in &expected {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let mut found = names(dir.path()).unwrap();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        let missing = names(&dir.path().join("none")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(names(&dir.path().join(&expected[0])).is_err());
    }

    #[test]
    fn a_tree_goes_and_what_its_links_lead_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("tree/a/b")).unwrap();
        std::fs::create_dir(at("kept")).unwrap();
        for file in ["tree/a/b/file", "tree/file", "kept/file"] {
            std::fs::write(at(file), "x").unwrap();
        }
        std::os::unix::fs::symlink(at("kept"), at("tree/a/link")).unwrap();
        std::os::unix::fs::symlink(at("kept"), at("link")).unwrap();
        remove_tree(&at("link")).unwrap();
        remove_tree(&at("tree")).unwrap();
        let gone = remove_tree(&at("tree")).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
        assert_eq!(names(dir.path()).unwrap(), ["kept"]);
        assert!(at("kept/file").is_file());
    }
}
