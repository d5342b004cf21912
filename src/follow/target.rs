//! A file's place below a directory that the user named. No link below that directory is followed, so nothing is
//! written outside of it.
//!
//! ```text
//! DIR             links on the way are followed: the user named it
//! DIR/a/b         made where it is missing; a link, or what is no directory, is refused
//! DIR/a/b/NAME    written as a temporary file beside it, renamed when it is whole
//! ```
//!
//! The directory is opened once, and the file gets its name through that handle (`/proc/self/fd`): a directory that
//! somebody exchanges for a link meanwhile leads nowhere.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use crate::files::{self, Folder, ForeignError, ForeignFile, Sum, handles};
use crate::store;

/// The handles of this process, as paths.
const PROC: &str = "/proc/self";
/// A directory that is passed through, and no link.
const INSIDE: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing.
    Nothing,
    /// A file with these bytes.
    File(Sum),
    /// Something else: a link, a directory, a file of another size.
    Other,
}

/// What stands below `dir`; a file with `size` bytes, when that is given, is hashed.
///
/// # Errors
/// When it cannot be looked at.
pub(super) fn there(dir: &Path, below: &Path, size: Option<u64>) -> io::Result<There> {
    let (Some(above), Some(name)) = (below.parent(), below.file_name()) else {
        return Ok(There::Other);
    };
    let root = match Folder::open(dir) {
        Ok(root) => root,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(There::Nothing),
        Err(error) => return Err(error),
    };
    let folder = match handles::open(root.as_fd(), above) {
        Ok(folder) => folder,
        Err(handles::Refused::System(_, Errno::NOENT)) => return Ok(There::Nothing),
        Err(refused) => return Err(io::Error::other(refused.to_string())),
    };
    in_folder(folder, name, size)
}

fn in_folder(folder: OwnedFd, name: &OsStr, size: Option<u64>) -> io::Result<There> {
    let opened = ForeignFile::anyones(u64::MAX).open_in(&Folder::of(folder), Path::new(name));
    match opened {
        Ok(opened) if size.is_some_and(|size| opened.meta().len() != size) => Ok(There::Other),
        Ok(opened) => Ok(There::File(files::sha256(&mut opened.into_file())?)),
        Err(error) if error.is_missing() => Ok(There::Nothing),
        Err(ForeignError::Io(error)) => Err(error),
        Err(_) => Ok(There::Other),
    }
}

/// A place for a file.
#[derive(Debug)]
pub(super) struct Target {
    folder: OwnedFd,
    name: OsString,
}

impl Target {
    /// Makes the directories that are missing.
    ///
    /// # Errors
    /// When one cannot be made, or something else than a directory is in the way.
    pub(super) fn make(dir: &Path, below: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut here = rustix::fs::open(dir, INSIDE.difference(OFlags::NOFOLLOW), Mode::empty())?;
        let mut walked = dir.to_owned();
        for part in below.parent().unwrap_or(Path::new("")) {
            walked.push(part);
            match rustix::fs::mkdirat(&here, part, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(in_the_way(&walked, errno)),
            }
            here = rustix::fs::openat(&here, part, INSIDE, Mode::empty())
                .map_err(|errno| in_the_way(&walked, errno))?;
        }
        Ok(Self { folder: here, name: below.file_name().unwrap_or_default().to_owned() })
    }

    fn folder(&self) -> PathBuf {
        handles::as_path(Path::new(PROC), self.folder.as_fd())
    }

    /// A temporary file beside it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn begin(&self) -> io::Result<NamedTempFile> {
        store::temporary_beside(&self.folder())
    }

    /// What has the name already.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub(super) fn there(&self, size: u64) -> io::Result<There> {
        in_folder(self.folder.try_clone()?, &self.name, Some(size))
    }

    /// Gives a whole file the name, durably; with `force` also when something has it.
    ///
    /// # Errors
    /// `AlreadyExists` without `force`, and when the system refuses.
    pub(super) fn publish(&self, file: NamedTempFile, force: bool) -> io::Result<()> {
        let path = self.folder().join(&self.name);
        if force { files::publish(file, &path) } else { files::publish_new(file, &path) }
    }
}

/// Why a directory on the way was not entered.
fn in_the_way(path: &Path, errno: Errno) -> io::Error {
    let path = path.display();
    match errno {
        Errno::NOTDIR | Errno::LOOP => io::Error::other(format!(
            "{path} is no directory, or a symbolic link, and links are not followed there"
        )),
        errno => {
            let error = io::Error::from(errno);
            io::Error::new(error.kind(), format!("{path}: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::*;

    fn put(dir: &Path, below: &str, text: &str, force: bool) -> io::Result<()> {
        let target = Target::make(dir, Path::new(below))?;
        let mut file = target.begin()?;
        file.write_all(text.as_bytes())?;
        target.publish(file, force)
    }

    #[test]
    fn nothing_is_written_outside_and_nothing_is_overwritten_unasked() {
        let base = tempfile::tempdir().unwrap();
        let (dir, out) = (base.path().join("new/dir"), base.path().join("outside"));
        fs::create_dir(&out).unwrap();
        put(&dir, "a/b/file", "one", false).unwrap();
        assert_eq!(fs::read(dir.join("a/b/file")).unwrap(), b"one");
        let again = put(&dir, "a/b/file", "two", false).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        put(&dir, "a/b/file", "two", true).unwrap();
        assert_eq!(fs::read(dir.join("a/b/file")).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.join("a/b")).unwrap().count(), 1, "no temporary file stays");
        // links below the directory, in the middle and at the end
        symlink(&out, dir.join("link")).unwrap();
        symlink(out.join("file"), dir.join("a/end")).unwrap();
        for below in ["link/file", "link/deeper/file", "a/b/file/under"] {
            let error = put(&dir, below, "x", true).unwrap_err().to_string();
            assert!(error.contains("links are not followed there"), "{below}: {error}");
        }
        assert_eq!(
            put(&dir, "a/end", "x", false).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        put(&dir, "a/end", "x", true).unwrap();
        assert!(fs::symlink_metadata(dir.join("a/end")).unwrap().is_file(), "the link is replaced");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
        // the directory itself may be a link: the user named it
        symlink(&dir, base.path().join("named")).unwrap();
        put(&base.path().join("named"), "c", "x", false).unwrap();
        assert!(dir.join("c").is_file());
    }

    #[test]
    fn what_is_there_is_told_apart() {
        let base = tempfile::tempdir().unwrap();
        let look = |below: &str, size| there(base.path(), Path::new(below), size).unwrap();
        assert_eq!(look("none/file", None), There::Nothing);
        fs::write(base.path().join("file"), "four").unwrap();
        assert!(matches!(look("file", Some(4)), There::File(sum) if sum.length == 4));
        assert_eq!(look("file", Some(5)), There::Other);
        symlink("file", base.path().join("link")).unwrap();
        assert_eq!(look("link", None), There::Other);
        assert_eq!(there(&base.path().join("none"), Path::new("x"), None).unwrap(), There::Nothing);
    }
}
