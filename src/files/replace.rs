//! A file under a name: the old bytes or the new ones, never half of them.
//!
//! ```text
//! temporary file in the same directory (O_EXCL, 0600)  write  mode  fsync  rename  fsync(directory)
//! ```
//!
//! The mode is set as given, whatever the umask. A link that has the name is replaced, and what it leads
//! to stays as it is. A process that is killed leaves at most a temporary file that begins with
//! `.moorline-`.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::naming;

const PREFIX: &str = ".moorline-";

/// Writes a file, or replaces it, and makes that durable.
///
/// # Errors
/// When the directory or the disk does not take it; then the old file stays.
pub fn replace(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    publish(written(path, mode, bytes)?, path)
}

/// Writes a file that is not there yet, and makes that durable.
///
/// # Errors
/// `AlreadyExists` when something has the name; else as [`replace`].
pub fn create(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    publish_new(written(path, mode, bytes)?, path)
}

/// As [`replace`], for what can be lost: nothing is synced, so a crash of the machine may undo it. A reader
/// still never sees half of it.
///
/// # Errors
/// As [`replace`].
pub fn jot(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    naming::persist(written(path, mode, bytes)?, path)
}

/// Gives a written temporary file its name and makes both durable. The file lies in the name's directory
/// and has its mode already.
///
/// # Errors
/// When it does not have the name, or the disk does not take it.
pub fn publish(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    naming::persist(file, path)?;
    sync_folder(folder(path))
}

/// As [`publish`], when nothing has the name.
///
/// # Errors
/// `AlreadyExists` when something has it; else as [`publish`].
pub fn publish_new(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    sync_folder(folder(path))
}

/// Makes the names in a directory durable.
///
/// # Errors
/// When the disk fails. Some network file systems cannot sync a directory and keep names in order
/// themselves; that is no error.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let cannot = |error: &io::Error| {
        Errno::from_io_error(error).is_some_and(|e| e == Errno::INVAL || e == Errno::NOTSUP)
    };
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if cannot(&error) => Ok(()),
        other => other,
    }
}

fn written(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix(PREFIX).tempfile_in(folder(path))?;
    file.write_all(bytes)?;
    // after the bytes: nobody reads half a file
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    Ok(file)
}

/// The directory that a file stands in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn new_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let now = || (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().mode() & 0o7777);
        replace(&path, 0o644, b"one").unwrap();
        assert_eq!(now(), (b"one".to_vec(), 0o644));
        replace(&path, 0o400, b"two").unwrap();
        assert_eq!(now(), (b"two".to_vec(), 0o400));
        jot(&path, 0o666, b"three").unwrap();
        assert_eq!(now(), (b"three".to_vec(), 0o666), "the umask changes nothing");
        assert_eq!(create(&path, 0o600, b"x").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(now().0, b"three");
        create(&dir.path().join("other"), 0o600, b"x").unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file stays");
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("in it"), "x").unwrap();
        // a file does not replace a directory
        assert!(replace(&path, 0o644, b"x").is_err());
        assert!(replace(&dir.path().join("none/file"), 0o644, b"x").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_replaced_and_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let (link, target) = (dir.path().join("link"), dir.path().join("target"));
        fs::write(&target, "kept").unwrap();
        symlink(&target, &link).unwrap();
        assert!(create(&link, 0o644, b"new").is_err());
        replace(&link, 0o644, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
        assert_eq!(fs::read(&target).unwrap(), b"kept");
    }

    #[test]
    fn a_name_without_a_folder_lies_in_the_current_one() {
        assert_eq!(folder(Path::new("moorline.lock")), Path::new("."));
        assert_eq!(folder(Path::new("a/b")), Path::new("a"));
    }
}
