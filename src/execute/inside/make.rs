//! Mount points: names are made by handle, part by part, and no link on the way is followed.
//!
//! Below a mount they lie in a directory that the job may have filled before; a link there could
//! lead to the machine's root, which is still in sight while the container's is put together.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::files::handles::{self, Refused};

/// The directory that holds an absolute path's last part, and that part.
fn parent(target: &Path) -> io::Result<(OwnedFd, &OsStr)> {
    let root = File::open("/")?;
    let above = target.parent().unwrap_or(Path::new(""));
    // the message names the link that is in the way
    let here = handles::open(root.as_fd(), above).map_err(|e| match e {
        Refused::System(_, errno) => errno.into(),
        Refused::Link(_) | Refused::Upwards => io::Error::other(e.to_string()),
    })?;
    Ok((here, target.file_name().ok_or(Errno::INVAL)?))
}

/// An empty directory, unless there is something of that name.
pub(super) fn directory(target: &Path) -> io::Result<()> {
    let (above, name) = parent(target)?;
    match rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// An empty file, unless there is something of that name.
pub(super) fn file(target: &Path) -> io::Result<()> {
    let (above, name) = parent(target)?;
    let new = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(&above, name, new, Mode::from_raw_mode(0o644)) {
        Ok(_) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// An empty directory or file, also in the place of something of another kind.
pub(super) fn instead(target: &Path, is_directory: bool) -> io::Result<()> {
    let (above, name) = parent(target)?;
    let there = rustix::fs::statat(&above, name, AtFlags::SYMLINK_NOFOLLOW)
        .map(|stat| FileType::from_raw_mode(stat.st_mode));
    let wanted = if is_directory { FileType::Directory } else { FileType::RegularFile };
    match there {
        Ok(found) if found == wanted => return Ok(()),
        // what holds something else is not removed
        Ok(FileType::Directory) => return Err(Errno::ISDIR.into()),
        Ok(_) => rustix::fs::unlinkat(&above, name, AtFlags::empty())?,
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    if is_directory { directory(target) } else { file(target) }
}

/// A symbolic link.
pub(super) fn link(target: &Path, to: &Path) -> io::Result<()> {
    let (above, name) = parent(target)?;
    Ok(rustix::fs::symlinkat(to, &above, name)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_link_on_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(base.join("outside")).unwrap();
        fs::create_dir(base.join("in")).unwrap();
        link(&base.join("in/link"), &base.join("outside")).unwrap();
        assert!(directory(&base.join("in/link/x")).is_err());
        assert!(file(&base.join("in/link/x")).is_err());
        assert_eq!(fs::read_dir(base.join("outside")).unwrap().count(), 0);

        directory(&base.join("in/new")).unwrap();
        file(&base.join("in/new/file")).unwrap();
        // what is there stays as it is
        fs::write(base.join("in/new/file"), "x").unwrap();
        file(&base.join("in/new/file")).unwrap();
        directory(&base.join("in/new/file")).unwrap();
        assert_eq!(fs::read(base.join("in/new/file")).unwrap(), b"x");
    }

    #[test]
    fn what_is_of_another_kind_gives_way() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        fs::write(base.join("file"), "x").unwrap();
        instead(&base.join("file"), false).unwrap();
        assert_eq!(fs::read(base.join("file")).unwrap(), b"x");
        instead(&base.join("file"), true).unwrap();
        assert!(base.join("file").is_dir());
        link(&base.join("link"), Path::new("/etc/passwd")).unwrap();
        instead(&base.join("link"), false).unwrap();
        assert_eq!(fs::read(base.join("link")).unwrap(), b"");
        instead(&base.join("new"), true).unwrap();
        let error = instead(&base.join("new"), false).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::ISDIR.raw_os_error()));
    }
}
