//! A directory below /tmp that every user can enter, for as long as the test program runs.
//!
//! A static is never dropped, so such a directory outlives its program: its name holds the process id, and the
//! next program removes what dead ones left.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// `/tmp/moorline-NAME-PID-...`.
pub fn open_dir(name: &str) -> tempfile::TempDir {
    let prefix = format!("moorline-{name}-");
    for entry in fs::read_dir("/tmp").unwrap().flatten() {
        let file = entry.file_name();
        let rest = file.to_str().and_then(|file| file.strip_prefix(&prefix));
        let pid = rest.and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid);
        let dead = pid.is_some_and(|pid| {
            pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()
        });
        if dead {
            // another user's stays
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let prefix = format!("{prefix}{}-", std::process::id());
    let dir = tempfile::Builder::new().prefix(&prefix).tempdir_in("/tmp").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}
