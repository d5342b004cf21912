//! Whether somebody else could exchange something on the way to a file or directory.
//!
//! The way from `/` is walked with handles, one component after the other, and what was opened is looked at.
//! A group may write where it is the caller's private one (`trust.rs`). A symbolic link on the way is followed when somebody who is trusted made it. As long as nobody else can
//! rename on that way, what is later opened by path is what was checked.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{FileError, Writers};

/// Links on the way, as the kernel counts them (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What is wrong with a way.
#[derive(Debug, thiserror::Error)]
pub enum WayError {
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] FileError),
    /// Somebody else could exchange what is there.
    #[error("{} is not safe: {why}", path.display())]
    Unsafe {
        /// The first such part.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Walks from `/` to the directory `path`, and names the first part that somebody could exchange who is none
/// of `trusted`. `make`: what is missing is made, 0700.
///
/// # Errors
/// [`WayError::Unsafe`] with that part.
pub fn walk(path: &Path, trusted: &[u32], make: bool) -> Result<OwnedFd, WayError> {
    let mut rest: Vec<OsString> = parts(path);
    let mut at = PathBuf::from("/");
    let io = |doing, path: &Path| {
        let path = path.to_owned();
        move |e: Errno| WayError::Io(FileError { doing, path, source: e.into() })
    };
    let root = || {
        rustix::fs::open("/", HANDLE | OFlags::DIRECTORY, Mode::empty())
            .map_err(io("cannot open", Path::new("/")))
    };
    let mut handle = root()?;
    let mut links = 0;
    while let Some(name) = rest.pop() {
        let here = at.join(&name);
        let open = || rustix::fs::openat(&handle, &name, HANDLE, Mode::empty());
        let next = match open() {
            Err(Errno::NOENT) if make => {
                match rustix::fs::mkdirat(&handle, &name, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(e) => return Err(io("cannot make", &here)(e)),
                }
                open().map_err(io("cannot open", &here))?
            }
            other => other.map_err(io("cannot open", &here))?,
        };
        let stat = rustix::fs::fstat(&next).map_err(io("cannot look at", &here))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            links += 1;
            let foreign = (!trusts(stat.st_uid, trusted))
                .then(|| format!("it is a symbolic link of uid {}", stat.st_uid));
            let endless = (links > MOST_LINKS).then(|| "it has too many symbolic links".to_owned());
            if let Some(why) = foreign.or(endless) {
                return Err(WayError::Unsafe { path: here, why });
            }
            let target = rustix::fs::readlinkat(&next, "", Vec::new());
            let target = target.map_err(io("cannot read", &here))?;
            let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
            if target.is_absolute() {
                at = PathBuf::from("/");
                handle = root()?;
            }
            rest.extend(parts(&target));
            continue;
        }
        if let Some(why) = replaceable(&stat, trusted) {
            return Err(WayError::Unsafe { path: here, why });
        }
        handle = next;
        if name == OsStr::new("..") {
            at.pop();
        } else {
            at = here;
        }
    }
    Ok(handle)
}

/// The components, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let part = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(part).collect()
}

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn trusts(uid: u32, trusted: &[u32]) -> bool {
    // inside a user namespace everybody outside of it, root included, looks like this
    const OVERFLOW: u32 = 65534;
    trusted.contains(&uid) || (uid == OVERFLOW && me() != OVERFLOW && in_user_namespace())
}

fn in_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"])
}

/// Why somebody else could rename what is in a directory.
fn replaceable(stat: &Stat, trusted: &[u32]) -> Option<String> {
    const STICKY: u32 = 0o1000;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Some("it is not a directory".into());
    }
    if !trusts(stat.st_uid, trusted) {
        return Some(format!("it belongs to uid {}", stat.st_uid));
    }
    let mode = stat.st_mode & 0o7777;
    // in a sticky directory such as /tmp only the owner of a name can take it away
    if mode & 0o022 == 0 || mode & STICKY != 0 {
        return None;
    }
    let alone = mode & 0o002 == 0 && Writers::of_caller().accepts_group(stat.st_gid);
    (!alone).then(|| format!("others may write into it (mode {mode:o})"))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn whoever_can_exchange_a_part_is_named_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let check = |path: &Path| walk(path, &[0, me()], false).map(drop);
        std::fs::create_dir_all(at("a/b/c")).unwrap();
        symlink("a/b", at("link")).unwrap();
        for good in ["a/b/c", "link/c", "link/../b"] {
            check(&at(good)).unwrap();
        }
        std::fs::set_permissions(at("a/b"), Permissions::from_mode(0o777)).unwrap();
        for bad in ["a/b/c", "link/c"] {
            let error = check(&at(bad)).unwrap_err().to_string();
            assert!(error.contains("/a/b is not safe: others may write"), "{error}");
        }
        std::fs::set_permissions(at("a/b"), Permissions::from_mode(0o1777)).unwrap();
        check(&at("a/b/c")).unwrap();
        assert!(matches!(check(&at("none")), Err(WayError::Io(_))));
        // who is trusted is the caller's to say; the temporary directory's owner is not, here
        let nobody = walk(&at("a"), &[12_345], false).unwrap_err();
        assert!(matches!(nobody, WayError::Unsafe { .. }), "{nobody}");
    }
}
