//! Mount points: names are made by handle, part by part, and no link on the way is followed.
//!
//! Below a mount they lie in a directory that the job may have filled before; a link there could
//! lead to the machine's root, which is still in sight while the container's is put together.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

const STEP: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The directory that holds an absolute path's last part, and that part.
fn parent(target: &Path) -> Result<(OwnedFd, &OsStr), Errno> {
    let mut here = rustix::fs::openat(CWD, "/", STEP | OFlags::DIRECTORY, Mode::empty())?;
    let above = target.parent().unwrap_or(Path::new(""));
    for part in above.components().filter(|part| *part != Component::RootDir) {
        here =
            rustix::fs::openat(&here, part.as_os_str(), STEP | OFlags::DIRECTORY, Mode::empty())?;
    }
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
}
