//! A program in `PATH`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// The first file of this name in the directories of `path` that this user may execute.
///
/// Relative directories are passed over: they would be the current one, where a cloned repository lies.
/// A file that this user cannot execute is passed over, as execvp(3) does. `program` is a name; with a
/// slash in it nothing is found.
#[must_use]
pub fn in_path(path: &OsStr, program: &str) -> Option<PathBuf> {
    if program.is_empty() || program.contains('/') {
        return None;
    }
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file())
        && access(file, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_that_can_be_executed() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, mode: u32| {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            file
        };
        make("first/tool", 0o644);
        fs::create_dir_all(dir.path().join("second/tool")).unwrap();
        let found = make("third/tool", 0o755);
        make("fourth/tool", 0o755);
        let folders = ["first", "none", "second", "third", "fourth"];
        let path = std::env::join_paths(folders.map(|name| dir.path().join(name))).unwrap();
        assert_eq!(in_path(&path, "tool"), Some(found));
        for name in ["other", "", "third/tool", "../third/tool"] {
            assert_eq!(in_path(&path, name), None, "{name:?}");
        }
    }

    #[test]
    fn the_current_directory_is_never_searched() {
        // tests run in the package's directory
        assert!(Path::new("tests/run").is_file());
        for path in ["tests", "", ".", ":", "./tests"] {
            assert_eq!(in_path(OsStr::new(path), "run"), None, "{path:?}");
        }
    }
}
