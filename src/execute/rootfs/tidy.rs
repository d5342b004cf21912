//! Unpacked images do not grow for ever: what no job used for long goes when another one is unpacked,
//! and never a tree that a job holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use crate::listing;
use crate::store::{Held, is_elsewhere, remove_unheld};

/// The file that makes a directory a tree.
pub(super) const SEAL: &str = "seal";
/// As many trees stay.
const MOST: usize = 20;
/// What no job used for this long goes.
const UNUSED: Duration = Duration::from_secs(30 * 86400);
/// What is no tree (being unpacked on another machine, or an older program's) goes after this.
const FORGOTTEN: Duration = Duration::from_secs(7 * 86400);

/// Why it is tidied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Another tree comes.
    Usual,
    /// It found no room: every tree that nobody holds goes.
    Room,
}

/// Notes that a tree is used now.
pub(super) fn used(held: &Held) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let keep = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    // only the order in which trees go follows from it
    let _ = rustix::fs::futimens(
        held.handle(),
        &Timestamps { last_access: keep, last_modification: now },
    );
}

/// Takes a damaged tree's seal, so that nobody uses it any more, and removes it unless a job still runs
/// from it.
pub(super) fn give_up(entry: &Path) {
    let _ = fs::remove_file(entry.join(SEAL));
    let _ = remove_unheld(entry);
}

/// Removes what has to go; how many trees those were.
pub(super) fn tidy(cache: &Path, need: Need) -> usize {
    let now = SystemTime::now();
    let age = |path: &Path| {
        let modified = fs::symlink_metadata(path).and_then(|meta| meta.modified()).ok()?;
        Some(now.duration_since(modified).unwrap_or_default())
    };
    let (mut trees, mut rest): (Vec<(Duration, PathBuf)>, Vec<PathBuf>) = (Vec::new(), Vec::new());
    for name in listing::names(cache).unwrap_or_default() {
        let path = cache.join(&name);
        match age(&path) {
            Some(age) if path.join(SEAL).is_file() && !is_hidden(&path) => trees.push((age, path)),
            // the node's SIFs (execute/node)
            _ if path.ends_with("images") => {}
            _ if path.is_dir() && !path.is_symlink() => rest.push(path),
            _ => {}
        }
    }
    // who runs from another machine's is not known here
    let (theirs, mut trees): (Vec<_>, Vec<_>) =
        trees.into_iter().partition(|(_, path)| is_elsewhere(path));
    trees.sort();
    let mut removed = 0;
    for (at, (age, path)) in trees.iter().enumerate() {
        // with the one that comes
        if need == Need::Room || *age > UNUSED || at + 1 >= MOST {
            removed += usize::from(remove_unheld(path).unwrap_or(false));
        }
    }
    for (_, path) in theirs.iter().filter(|(age, _)| *age > UNUSED) {
        let _ = remove_unheld(path);
    }
    for path in rest {
        // a tree of ours that lost its seal is of no use; whoever made anything else may still be at it
        let lost = path.file_name().is_some_and(|n| n.as_encoded_bytes().contains(&b'-'));
        if (lost && !is_hidden(&path)) || age(&path).is_some_and(|age| age > FORGOTTEN) {
            let _ = remove_unheld(&path);
        }
    }
    removed
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn tree(cache: &Path, name: &str, days: u64, sealed: bool) -> PathBuf {
        let path = cache.join(name);
        fs::create_dir_all(path.join("root/bin")).unwrap();
        if sealed {
            fs::write(path.join(SEAL), "").unwrap();
        }
        let time = SystemTime::now() - Duration::from_secs(days * 86400);
        File::open(&path).unwrap().set_modified(time).unwrap();
        path
    }

    #[test]
    fn what_nobody_uses_goes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str, days, sealed| tree(dir.path(), name, days, sealed);
        let (young, old) = (at("aa-1", 1, true), at("bb-1", 31, true));
        let held = at("cc-1", 31, true);
        let hold = Held::hold(&held).unwrap().unwrap();
        let elsewhere = at("gg-1", 29, true);
        fs::write(elsewhere.join(SEAL), "2 sha256:00 another.host 1 00\n").unwrap();
        let time = SystemTime::now() - Duration::from_secs(29 * 86400);
        File::open(&elsewhere).unwrap().set_modified(time).unwrap();
        let (lost, others) = (at("dd-1", 0, false), at("eeee", 1, false));
        let (older, unpacking) = (at("ffff", 8, false), at(".new-x-1", 1, true));
        assert_eq!(tidy(dir.path(), Need::Usual), 1);
        let there = [&young, &held, &others, &unpacking].map(|path| path.exists());
        assert_eq!(there, [true; 4]);
        assert_eq!([&old, &lost, &older].map(|path| path.exists()), [false; 3]);
        assert_eq!(tidy(dir.path(), Need::Room), 1);
        assert!(!young.exists() && held.exists() && unpacking.exists() && elsewhere.exists());
        drop(hold);
        for at in 0..MOST + 3 {
            tree(dir.path(), &format!("{at:02}-1"), at as u64, true);
        }
        // the held one is among the oldest; one place is for the one that comes
        assert_eq!(tidy(dir.path(), Need::Usual), 5);
        assert!(dir.path().join("18-1").exists() && !dir.path().join("19-1").exists());
    }
}
