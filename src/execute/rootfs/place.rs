//! Where this user's jobs share unpacked images on a node, and whether they may.
//!
//! ```text
//! CACHE/moorline-UID/        0700, ours; CACHE is plan.node_cache, else the scratch's place
//! ```
//!
//! A tree is shared only where the configuration says so (`delivery.shared_trees`), and when no container that we start sees it: the directory is made before a
//! container is, and hidden from it. So it is never below `/dev/shm`, which every container has. Where
//! another user was faster with the name, or the directory cannot be used for another reason, the
//! image is unpacked for the one job, in its own scratch, and the reason is noted.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

use crate::execute::{ExecuteError, scratch};

/// Where jobs without a configured cache and `TMPDIR` share.
const USUAL: &str = "/tmp";

/// The directory in which this job may share trees, or why it has none.
///
/// # Errors
/// The reason, for a note.
pub(in crate::execute) fn shared(base: &Path) -> Result<PathBuf, String> {
    let dir = private_directory(base).map_err(|error| error.to_string())?;
    if scratch::is_shared_memory(&dir) {
        return Err(format!("every container can write to {}", dir.display()));
    }
    if scratch::forbids_programs(&dir) {
        return Err(format!("{} is mounted noexec", dir.display()));
    }
    Ok(dir)
}

/// Every directory that has, or may get while a job runs, trees that other jobs share. Made here, so
/// that each can be hidden from a container which is started now. One that is not ours holds none of
/// our trees.
pub(in crate::execute) fn to_hide(base: Option<&Path>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for base in base.into_iter().chain([Path::new(USUAL)]) {
        if let Ok(dir) = private_directory(base)
            && !found.contains(&dir)
        {
            found.push(dir);
        }
    }
    found
}

/// Makes or joins `BASE/moorline-UID`, which must be a directory of ours with mode 0700.
///
/// # Errors
/// [`ExecuteError::Untrusted`] for anything else at that place.
fn private_directory(base: &Path) -> Result<PathBuf, ExecuteError> {
    let uid = rustix::process::geteuid().as_raw();
    let path = base.join(format!("moorline-{uid}"));
    let make = || rustix::fs::mkdir(&path, Mode::RWXU);
    let made = match make() {
        // by default it is below the store, which somebody who never converted does not have
        Err(rustix::io::Errno::NOENT) => {
            let mut missing = fs::DirBuilder::new();
            missing
                .recursive(true)
                .mode(0o700)
                .create(base)
                .map_err(ExecuteError::io(format!("making {}", base.display())))?;
            make()
        }
        other => other,
    };
    match made {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(e) => return Err(ExecuteError::io(format!("making {}", path.display()))(e.into())),
    }
    let m = fs::symlink_metadata(&path).map_err(ExecuteError::io(path.display().to_string()))?;
    check_private(&path, &m)?;
    Ok(path)
}

/// Whether a directory is there, and ours alone.
pub(in crate::execute) fn is_private(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| check_private(path, &m).is_ok())
}

/// Whether a directory is ours alone.
pub(super) fn check_private(path: &Path, m: &fs::Metadata) -> Result<(), ExecuteError> {
    let why = if !m.is_dir() {
        "it is not a directory".to_owned()
    } else if m.uid() != rustix::process::geteuid().as_raw() {
        format!("it belongs to uid {}", m.uid())
    } else if m.mode() & 0o077 != 0 {
        format!("its mode is {:o}, not 700", m.mode() & 0o7777)
    } else {
        return Ok(());
    };
    Err(ExecuteError::Untrusted { path: path.to_owned(), why })
}

/// Whether an error says that there is no room.
pub(super) fn is_full(error: &ExecuteError) -> bool {
    use crate::failure::{Kind, io_kind};
    matches!(error, ExecuteError::Io { source, .. } if io_kind(source, Kind::NoRuntime) == Kind::NoSpace)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_a_private_directory_of_ours_is_shared() {
        let base = tempfile::tempdir_in("/tmp").unwrap();
        let dir = shared(base.path()).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);
        assert!(to_hide(Some(base.path())).contains(&dir));
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(shared(base.path()).unwrap_err().contains("mode is 777"));
        assert!(!to_hide(Some(base.path())).contains(&dir));
        fs::remove_dir(&dir).unwrap();
        std::os::unix::fs::symlink("/tmp", &dir).unwrap();
        assert!(shared(base.path()).unwrap_err().contains("not a directory"));
        let shm = tempfile::tempdir_in("/dev/shm").unwrap();
        assert!(shared(shm.path()).unwrap_err().contains("every container"));
    }
}
