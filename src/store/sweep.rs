//! What killed processes left behind goes away when the store is opened next.
//!
//! A temporary file and a lease's own file carry their process in their name ([`Process`]): when that process is
//! certainly dead they are removed at once, and never while it lives. Where this cannot be known (another machine) they
//! are removed after a day without a change, by the server's time.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::process::Process;
use super::temporary::process_of;
use super::{Store, clock, lease};
use crate::listing;

/// Longer than a process writes nothing to a file that it still needs.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

impl Store {
    /// Removes leftovers; what cannot be removed is left for the next time.
    pub(super) fn sweep(&self) {
        let Some(here) = Process::current() else { return };
        let mut now = None;
        for dir in ["tmp", "leases"] {
            self.sweep_dir(&self.root.join(dir), &here, &mut now);
        }
        let _ = lease::sweep(&self.root.join("leases"), self.timing);
    }

    fn sweep_dir(&self, dir: &Path, here: &Process, now: &mut Option<SystemTime>) {
        for name in listing::names(dir).unwrap_or_default() {
            let path = dir.join(&name);
            let process = name.to_str().and_then(process_of);
            if process.as_ref() == Some(here) {
                continue;
            }
            let dead = process.is_some_and(|process| process.is_dead(here));
            let mut forgotten = || {
                let modified = fs::symlink_metadata(&path).and_then(|m| m.modified()).ok()?;
                if now.is_none() {
                    *now = clock::now(&self.root.join("tmp")).ok();
                }
                Some(clock::age((*now)?, modified) > FORGOTTEN)
            };
            if dead || forgotten().unwrap_or(false) {
                // a directory is nothing that this program puts here
                let _ = fs::remove_file(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::store::temporary_directory;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn leftovers_go_when_their_writer_is_dead_or_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let tmp = dir.path().join("tmp");
        let here = Process::current().unwrap().to_string();
        let (rest, start) = here.rsplit_once('.').unwrap();
        let dead = format!("{rest}.{}", start.parse::<u64>().unwrap() + 1);
        let write = |name: &str, age: Duration| {
            fs::write(tmp.join(name), "x").unwrap();
            let file = File::options().write(true).open(tmp.join(name)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        };
        let day = FORGOTTEN + Duration::from_secs(60);
        write(&format!("incoming-{dead}-aaaaaa"), Duration::ZERO);
        write("incoming-0123.1.2.3-young1", Duration::ZERO);
        write("incoming-0123.1.2.3-oldold", day);
        write("incoming-old", day);
        write(&format!("incoming-{here}-mine00"), day);
        let kept = store.incoming().unwrap();
        Store::open(dir.path()).unwrap();
        let mut left: Vec<_> = fs::read_dir(&tmp).unwrap().map(|e| e.unwrap().path()).collect();
        left.sort();
        let mut expected = vec![
            kept.path().to_owned(),
            tmp.join("incoming-0123.1.2.3-young1"),
            tmp.join(format!("incoming-{here}-mine00")),
        ];
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_directory_of_a_dead_process_goes_and_one_of_the_living_stays() {
        let parent = tempfile::tempdir().unwrap();
        let living = temporary_directory(parent.path()).unwrap();
        let here = Process::current().unwrap().to_string();
        let (rest, start) = here.rsplit_once('.').unwrap();
        let dead = format!(".new-{rest}.{}-x", start.parse::<u64>().unwrap() + 1);
        let dead = parent.path().join(dead);
        fs::create_dir_all(dead.join("root/bin")).unwrap();
        fs::write(dead.join("root/bin/sh"), "x").unwrap();
        let another = temporary_directory(parent.path()).unwrap();
        assert!(living.is_dir() && another.is_dir() && !dead.exists());
        assert_eq!(fs::metadata(&another).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
