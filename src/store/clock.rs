//! The file server's time. Ages of files are never taken from this machine's clock, which may
//! differ from the server's by more than a lease lasts.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

/// What time the server of a directory has: that of a file without a name, just made there.
pub(super) fn now(dir: &Path) -> io::Result<SystemTime> {
    let probe = tempfile::tempfile_in(dir)?;
    touch(&probe)?;
    probe.metadata()?.modified()
}

/// How old a file is by that time; a file from the future is new.
pub(super) fn age(now: SystemTime, modified: SystemTime) -> Duration {
    now.duration_since(modified).unwrap_or_default()
}

fn now_mtime() -> Timestamps {
    let keep = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    Timestamps { last_access: keep, last_modification: now }
}

/// Sets the modification time to the server's now.
pub(super) fn touch(file: &File) -> io::Result<()> {
    Ok(rustix::fs::futimens(file, &now_mtime())?)
}

/// As [`touch`], by name; a link is not followed.
pub(super) fn touch_path(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::utimensat(CWD, path, &now_mtime(), AtFlags::SYMLINK_NOFOLLOW)?)
}
