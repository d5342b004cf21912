//! A directory below /tmp that every user can enter, for as long as the test program runs.
//!
//! A static is never dropped, so such a directory outlives its program. Each program holds a lock on its own, and
//! the next one removes those that nobody holds: a process id would say nothing in another pid namespace.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

/// A program that was started just now may not hold its lock yet.
const YOUNG: Duration = Duration::from_secs(60);

/// `/tmp/moorline-NAME-...`.
pub fn open_dir(name: &str) -> tempfile::TempDir {
    let prefix = format!("moorline-{name}-");
    for entry in fs::read_dir("/tmp").unwrap().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|file| file.starts_with(&prefix));
        let age = entry.metadata().and_then(|meta| meta.modified()).ok();
        let young = age.and_then(|at| at.elapsed().ok()).is_none_or(|age| age < YOUNG);
        if !ours || young {
            continue;
        }
        // another user's stays
        let Ok(dir) = File::open(entry.path()) else { continue };
        if flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let dir = tempfile::Builder::new().prefix(&prefix).tempdir_in("/tmp").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let held = File::open(dir.path()).unwrap();
    flock(&held, FlockOperation::NonBlockingLockShared).unwrap();
    // until the process ends
    std::mem::forget(held);
    dir
}
