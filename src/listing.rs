//! The names in a directory.
//!
//! The standard library's own iterator panics when the file system answers `close` with an error
//! (`unexpected error during closedir`), and network file systems do so. Found by `tests/sweep.rs`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Dir, Mode, OFlags};

/// All names but `.` and `..`, in no order.
///
/// # Errors
/// When the directory cannot be opened or read.
pub fn names(dir: &Path) -> io::Result<Vec<OsString>> {
    let handle = rustix::fs::open(dir, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::new(handle)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
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
}
