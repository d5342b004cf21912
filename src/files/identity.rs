//! What a file is, as far as its metadata tell: another file, or another time of change, is another identity.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

/// Which file it is and when it was changed. Nobody but root sets the time of a change, and writing through a mapping
/// may leave it as it was: bytes that must be right are checked besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    /// Of a file whose metadata were asked for by its handle.
    #[must_use]
    pub fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Whether its last change is that long ago. The next change has another time then, whatever the steps of the
    /// file system's clock are.
    #[must_use]
    pub fn is_older_than(&self, age: Duration, now: SystemTime) -> bool {
        let changed = u64::try_from(self.changed.0).map(Duration::from_secs);
        let changed = changed.ok().and_then(|at| SystemTime::UNIX_EPOCH.checked_add(at));
        changed.and_then(|at| now.duration_since(at).ok()).is_some_and(|past| past > age)
    }
}

/// One word, the same for the same identity alone.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, inode, size, modified, changed } = self;
        let ((ms, mn), (cs, cn)) = (modified, changed);
        write!(f, "{device}:{inode}:{size}:{ms}.{mn:09}:{cs}.{cn:09}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let of = || Identity::of(&std::fs::metadata(&path).unwrap());
        std::fs::write(&path, "a").unwrap();
        let before = of();
        assert_eq!(before.to_string(), of().to_string());
        std::fs::write(&path, "ab").unwrap();
        assert!(of() != before && of().to_string() != before.to_string());
        std::fs::write(dir.path().join("y"), "ab").unwrap();
        let now = of();
        std::fs::rename(dir.path().join("y"), &path).unwrap();
        assert_ne!(of(), now, "another file of the same length");
        let (day, later) =
            (Duration::from_secs(86_400), SystemTime::now() + Duration::from_secs(90_000));
        assert!(now.is_older_than(day, later) && !now.is_older_than(day, SystemTime::now()));
        assert!(!now.is_older_than(day, SystemTime::UNIX_EPOCH), "a clock that is far off");
    }
}
