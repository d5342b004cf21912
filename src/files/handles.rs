//! Opens paths without following any link, for whoever mounts at them or compares them.
//!
//! A directory that a job may write to can hold a link where the next job expects a directory:
//!
//! ```text
//! /work_dir/data -> /dev/shm        --mount X:/work_dir/data:ro must not become X at /dev/shm
//! ```
//!
//! `openat2` (Linux 5.6) does it in one call. Where that is missing or refused the path is walked by
//! hand, a component at a time; that also finds out which component is in the way.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Why a path was not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A symbolic link stands there.
    Link(PathBuf),
    /// The path has a `..`.
    Upwards,
    /// The kernel's word, for this part of the path.
    System(PathBuf, Errno),
}

impl Refused {
    /// Whether the caller has no way to the path: nothing is there, or it may not enter.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        matches!(self, Self::System(_, Errno::ACCESS | Errno::NOENT | Errno::NOTDIR))
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Link(path) => {
                write!(f, "{} is a symbolic link, and links are not followed there", path.display())
            }
            Self::Upwards => f.write_str("the path has a .."),
            Self::System(path, errno) => {
                write!(f, "{}: {}", path.display(), io::Error::from(*errno))
            }
        }
    }
}

/// A handle (`O_PATH`) of `path` below `root`; a leading `/` means `root`. A mount at the path is
/// crossed. The file system at the end of the path is not asked for anything.
///
/// # Errors
/// When a link or `..` stands in the path, or the system refuses.
pub fn open(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Refused> {
    let parts = parts(path)?;
    let relative: PathBuf = if parts.is_empty() { ".".into() } else { parts.iter().collect() };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::openat2(root, &relative, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
        .or_else(|_| by_hand(root, &parts))
}

/// The names on the way; `..` never stands in a path that was resolved.
fn parts(path: &Path) -> Result<Vec<&OsStr>, Refused> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(Ok(name)),
            Component::ParentDir => Some(Err(Refused::Upwards)),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// The same as `openat2` with `RESOLVE_NO_SYMLINKS`.
fn by_hand(root: BorrowedFd<'_>, parts: &[&OsStr]) -> Result<OwnedFd, Refused> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut walked = PathBuf::from("/");
    let refused = |walked: &Path, errno| Refused::System(walked.to_owned(), errno);
    let mut here =
        rustix::fs::openat(root, ".", flags, Mode::empty()).map_err(|e| refused(&walked, e))?;
    for (at, name) in parts.iter().enumerate() {
        walked.push(name);
        let last = at + 1 == parts.len();
        // the flag makes the kernel mount what is mounted on demand, as it does on the way of a path
        let flags = if last { flags } else { flags | OFlags::DIRECTORY };
        match rustix::fs::openat(&here, *name, flags, Mode::empty()) {
            // asks the file system only when it is a link
            Ok(found) if last && rustix::fs::readlinkat(&found, "", Vec::new()).is_ok() => {
                return Err(Refused::Link(walked));
            }
            Ok(found) => here = found,
            Err(errno) if errno == Errno::NOTDIR && is_link(here.as_fd(), name) => {
                return Err(Refused::Link(walked));
            }
            Err(errno) => return Err(refused(&walked, errno)),
        }
    }
    Ok(here)
}

fn is_link(directory: BorrowedFd<'_>, name: &OsStr) -> bool {
    rustix::fs::statat(directory, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

/// The id of the mount that a handle lies on; `proc` is this process's own directory in `/proc`.
///
/// `statx` tells it too, since Linux 5.8, but it asks the file system as well, which may be dead. This
/// file is there since Linux 3.15.
///
/// # Errors
/// When the kernel names none.
pub fn mount_id(proc: &Path, handle: BorrowedFd<'_>) -> io::Result<u32> {
    let text = std::fs::read_to_string(proc.join("fdinfo").join(handle.as_raw_fd().to_string()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
        .ok_or_else(|| io::Error::other("/proc/self/fdinfo names no mount"))
}

/// The path by which a call that takes no handle gets at one.
pub fn as_path(proc: &Path, handle: BorrowedFd<'_>) -> PathBuf {
    proc.join("fd").join(handle.as_raw_fd().to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_never_followed_in_either_way() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path();
        std::fs::create_dir_all(base.join("a/b")).unwrap();
        std::fs::write(base.join("a/f"), "").unwrap();
        symlink("a", base.join("l")).unwrap();
        symlink("/proc/self/root", base.join("a/root")).unwrap();
        let root = std::fs::File::open(base).unwrap();
        let hand = |path: &str| by_hand(root.as_fd(), &parts(Path::new(path)).unwrap()).map(drop);
        let both = |path: &str| {
            let one = open(root.as_fd(), Path::new(path)).map(drop);
            assert_eq!(one, hand(path), "{path}");
            one
        };
        for good in ["", "/", "a", "/a/b", "a//b/.", "a/f"] {
            both(good).unwrap();
        }
        for (path, link) in
            [("l", "/l"), ("/l/b", "/l"), ("a/root", "/a/root"), ("a/root/x", "/a/root")]
        {
            assert_eq!(both(path), Err(Refused::Link(link.into())), "{path}");
        }
        assert_eq!(both("a/x"), Err(Refused::System("/a/x".into(), Errno::NOENT)));
        assert_eq!(both("a/f/x"), Err(Refused::System("/a/f".into(), Errno::NOTDIR)));
        assert!(both("a/x").unwrap_err().is_out_of_reach());
        assert_eq!(open(root.as_fd(), Path::new("a/../../x")).unwrap_err(), Refused::Upwards);
    }

    #[test]
    fn a_path_that_is_too_long_for_one_call_is_walked() {
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::File::open(dir.path()).unwrap();
        let name = "n".repeat(200);
        let mut here = root.try_clone().map(OwnedFd::from).unwrap();
        let mut path = PathBuf::new();
        for _ in 0..30 {
            rustix::fs::mkdirat(&here, &name, Mode::RWXU).unwrap();
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            here = rustix::fs::openat(&here, &name, flags, Mode::empty()).unwrap();
            path.push(&name);
        }
        let found = open(root.as_fd(), &path).unwrap();
        let inode = |fd: &OwnedFd| rustix::fs::fstat(fd).unwrap().st_ino;
        assert_eq!(inode(&found), inode(&here));
    }

    #[test]
    fn mounts_have_ids() {
        let proc = Path::new("/proc/self");
        let dir = std::fs::File::open("/proc").unwrap();
        let id = mount_id(proc, dir.as_fd()).unwrap();
        let table = crate::mountinfo::Table::own().unwrap();
        assert_eq!(table.by_id(id).unwrap().point, Path::new("/proc"));
    }
}
