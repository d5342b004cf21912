//! Looks for ways to a directory that no mount table shows: an overlay over it, a second mount of the
//! same server, sshfs.
//!
//! ```text
//! HIDDEN/.moorline-marker-HEX      a file that only this attempt knows, for as long as it looks
//!
//! below each place that could be such a way, a mount or a bound directory:
//!   PLACE/.moorline-marker-HEX                  the place is the directory itself
//!   PLACE/jobs/.moorline-marker-HEX             ... or shows something above it, under the names
//!   PLACE/moorline/jobs/.moorline-marker-HEX        that it has there
//!   PLACE/*/jobs/... PLACE/*/*/jobs/...         two directories deep
//! ```
//!
//! Links are not followed: in the container they lead elsewhere. The search has a limit in time,
//! depth and number; a way with other names that lies deeper is not found.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use crate::files::handles;

/// How the files' names begin.
const PREFIX: &str = ".moorline-marker-";
/// One that is older was left behind by a worker that was killed.
const OLD: Duration = Duration::from_secs(24 * 3600);
/// How deep directories are looked into.
const DEPTH: usize = 2;
/// How many directories one search looks into.
const DIRECTORIES: usize = 4096;
/// How many names of one directory.
const NAMES: usize = 4096;
/// How long one search may take; below the asker's limit, so that it is an answer.
const TIME: Duration = Duration::from_secs(1);

/// A marker that was put into a directory; it goes with this.
#[derive(Debug)]
pub(super) struct Marker {
    directory: PathBuf,
    /// The file's name.
    pub(super) name: OsString,
}

impl Marker {
    /// Puts one there.
    ///
    /// # Errors
    /// When the directory cannot be written: then no job of this user can either.
    pub(super) fn put(directory: &Path) -> io::Result<Self> {
        sweep(directory);
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
        let name: OsString = format!("{PREFIX}{:032x}", u128::from_be_bytes(random)).into();
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(directory.join(&name))?;
        Ok(Self { directory: directory.to_owned(), name })
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        // the next attempt but a day sweeps it away
        let _ = fs::remove_file(self.directory.join(&self.name));
    }
}

/// Removes what killed workers left.
fn sweep(directory: &Path) {
    let names = crate::listing::names(directory).unwrap_or_default();
    for name in names.iter().filter(|n| n.as_bytes().starts_with(PREFIX.as_bytes())) {
        let path = directory.join(name);
        let age = fs::symlink_metadata(&path).and_then(|m| m.modified()).map(|t| t.elapsed());
        if matches!(age, Ok(Ok(age)) if age > OLD) {
            let _ = fs::remove_file(path);
        }
    }
}

/// One search; travels to the process that does it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Search {
    /// Where.
    pub(super) place: OsString,
    /// Not looked into: other mounts, which are searched by themselves.
    pub(super) skip: Vec<OsString>,
    /// What for.
    pub(super) wanted: Vec<Wanted>,
}

/// One marker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wanted {
    /// The file's name.
    pub(super) marker: OsString,
    /// The ends of its directory's names, `jobs`, `moorline/jobs` and so on.
    pub(super) tails: Vec<OsString>,
    /// Where it is known to be: hidden, so no hit.
    pub(super) known: Vec<OsString>,
}

/// The ends of a path that may show up elsewhere, the longest first.
pub(super) fn tails(path: &Path) -> Vec<OsString> {
    let names: Vec<&OsStr> = path.iter().filter(|name| *name != "/").collect();
    (0..names.len()).map(|from| names[from..].iter().collect::<PathBuf>().into()).collect()
}

/// Searches.
pub(super) fn search(search: &Search) -> Answer {
    let deadline = Instant::now() + TIME;
    let skip: BTreeSet<&OsStr> = search.skip.iter().map(OsString::as_os_str).collect();
    let known: BTreeSet<&OsStr> =
        search.wanted.iter().flat_map(|w| w.known.iter().map(OsString::as_os_str)).collect();
    let mut todo = VecDeque::from([(PathBuf::from(&search.place), 0)]);
    let (mut seen, mut whole) = (0, true);
    while let Some((directory, depth)) = todo.pop_front() {
        seen += 1;
        if seen > DIRECTORIES || Instant::now() > deadline {
            return Answer::Nothing { whole: false };
        }
        if known.contains(directory.as_os_str()) {
            continue;
        }
        let Some(listed) = List::of(&directory) else { continue };
        whole &= listed.whole;
        for (number, wanted) in search.wanted.iter().enumerate() {
            if let Some(path) = find(&directory, &listed, wanted) {
                return Answer::Hit { marker: number, path: path.into() };
            }
        }
        if depth < DEPTH {
            let below = listed.directories.iter().map(|name| directory.join(name));
            let below = below.filter(|path| !skip.contains(path.as_os_str()));
            todo.extend(below.map(|path| (path, depth + 1)));
        }
    }
    Answer::Nothing { whole }
}

/// Where the marker is, when it is in this directory or below it under one of its directory's names.
fn find(directory: &Path, listed: &List, wanted: &Wanted) -> Option<PathBuf> {
    if listed.names.contains(&wanted.marker) {
        return Some(directory.to_owned());
    }
    let root = fs::File::open("/").ok()?;
    wanted
        .tails
        .iter()
        .filter(|tail| {
            let first = Path::new(tail).iter().next();
            // what was not listed is asked for
            !listed.whole || first.is_some_and(|name| listed.names.contains(name))
        })
        .map(|tail| directory.join(tail))
        .filter(|path| !wanted.known.iter().any(|known| known.as_os_str() == path.as_os_str()))
        .find(|path| handles::open(root.as_fd(), &path.join(&wanted.marker)).is_ok())
}

/// What is in a directory, up to a limit.
struct List {
    names: BTreeSet<OsString>,
    directories: Vec<OsString>,
    whole: bool,
}

impl List {
    fn of(path: &Path) -> Option<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty()).ok()?;
        let mut list = Self { names: BTreeSet::new(), directories: Vec::new(), whole: true };
        for entry in Dir::read_from(&handle).ok()? {
            let Ok(entry) = entry else {
                list.whole = false;
                break;
            };
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            if list.names.len() == NAMES {
                list.whole = false;
                break;
            }
            let directory = match entry.file_type() {
                FileType::Unknown => rustix::fs::statat(&handle, name, AtFlags::SYMLINK_NOFOLLOW)
                    .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory),
                kind => kind == FileType::Directory,
            };
            if directory {
                list.directories.push(name.to_owned());
            }
            list.names.insert(name.to_owned());
        }
        Some(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_under_the_names_of_their_directory() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        let hidden = base.join("home/me/state/jobs");
        fs::create_dir_all(&hidden).unwrap();
        let marker = Marker::put(&hidden).unwrap();
        let look = |place: &Path, skip: &[&Path], known: &[&Path]| {
            let all = |paths: &[&Path]| paths.iter().map(OsString::from).collect();
            search(&Search {
                place: place.into(),
                skip: all(skip),
                wanted: vec![Wanted {
                    marker: marker.name.clone(),
                    tails: tails(Path::new("/srv/vol/me/state/jobs")),
                    known: all(known),
                }],
            })
        };
        let hit = Answer::Hit { marker: 0, path: hidden.clone().into() };
        let nothing = Answer::Nothing { whole: true };
        // by name from above, two deep, in it; the names above differ
        for place in [base.join("home/me/state"), base.clone(), hidden.clone(), base.join("home")] {
            assert_eq!(look(&place, &[], &[]), hit, "{}", place.display());
        }
        assert_eq!(look(&base, &[], &[&hidden]), nothing, "known is no hit");
        assert_eq!(look(&base, &[&base.join("home")], &[]), nothing, "another mount");
        // a link leads elsewhere in the container
        fs::create_dir(base.join("other")).unwrap();
        std::os::unix::fs::symlink(base.join("home/me"), base.join("other/me")).unwrap();
        assert_eq!(look(&base.join("other"), &[], &[]), nothing);
        drop(marker);
        assert_eq!(fs::read_dir(&hidden).unwrap().count(), 0, "the file goes");
    }

    #[test]
    fn what_a_killed_worker_left_goes_after_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, age: u64| {
            let file = fs::File::create(dir.path().join(name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
        };
        make(".moorline-marker-old", 90_000);
        make(".moorline-marker-new", 60);
        make("theirs", 90_000);
        sweep(dir.path());
        let mut left = crate::listing::names(dir.path()).unwrap();
        left.sort();
        assert_eq!(left, [".moorline-marker-new", "theirs"]);
    }
}
