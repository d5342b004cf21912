//! Finds the directory that is in the way when a path may not be used. "Permission denied" often concerns a directory
//! above the file, and not the file itself.
//!
//! `su` and `sudo` keep `HOME`, `XDG_RUNTIME_DIR` and the working directory of another user, so ordinary users meet
//! this every day.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

/// The first directory on the way to `path` that this process may not enter.
#[must_use]
pub fn barred(path: &Path) -> Option<PathBuf> {
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    above
        .into_iter()
        .map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir })
        .find_map(|dir| {
            let entered = accessat(CWD, dir, Access::EXEC_OK, AtFlags::EACCESS);
            (entered == Err(Errno::ACCESS)).then(|| dir.to_owned())
        })
}

/// The same error, naming the directory in the way when there is one.
#[must_use]
pub fn explained(path: &Path, error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    match barred(path) {
        Some(dir) => {
            let dir = dir.display();
            io::Error::new(error.kind(), format!("{error}: the directory {dir} may not be entered"))
        }
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Root enters everything; that it is named for others is in `tests/cli/barred.rs`.
    #[test]
    fn what_is_open_is_not_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().join("gone/file"), dir.path().join("file"), "relative".into()] {
            assert_eq!(barred(&path), None, "{}", path.display());
        }
        let denied = || io::Error::from_raw_os_error(13);
        assert_eq!(explained(dir.path(), denied()).to_string(), denied().to_string());
    }
}
