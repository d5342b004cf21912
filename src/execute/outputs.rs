//! The files that a job left in its working directory.
//!
//! ```text
//! before the program   the names that are there      (names only: nothing is asked of a file)
//! after it             declared (--output GLOB)       path, size, SHA-256
//!                      others that were not there     path, size
//! ```
//!
//! The directory is opened once, before the program starts, and everything is reached from that handle without
//! following a link (`handles.rs`): a directory that somebody exchanges for a link meanwhile leads nowhere. Other file
//! systems are not entered.
//!
//! Hashing is bounded by `limits.output_bytes`, holes of sparse files included: a file that does not fit into what is
//! left is listed with its size, and the receipt says so. Not promised: that the program made a file
//! that is new; whoever else writes into the directory meanwhile is listed, too.

use std::collections::{HashSet, VecDeque};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use super::attend::still_wanted;
use super::container;
use super::signals;
use crate::files::{Folder, ForeignFile, handles, sha256};
use crate::oci::{Digest, Sha256Digest};
use crate::worker::{Declared, OUTPUT_BYTES, OUTPUT_NOTE, Output};

/// Files that nobody declared, in one receipt.
const MOST_OTHERS: usize = 1000;
/// Declared files, in one receipt.
const MOST_DECLARED: usize = 2_000;
/// Bytes that the list may take in a receipt, of which 1 MiB is read.
const MOST_BYTES: usize = 512 << 10;
/// What an entry takes beside its path.
const ENTRY_BYTES: usize = 200;
/// A directory with more entries is not remembered: `run` in a home directory must not become slow.
const MOST_KNOWN: usize = 10_000;
/// So many entries are looked at for declared files.
const MOST_LOOKED_AT: usize = 200_000;

/// Said where new files cannot be told from old ones.
const TOO_MANY: &str = "files that are new in the working directory are not listed: it could not be listed before, or \
                        had too many entries";

/// What a working directory held before the program began.
pub(super) struct Before {
    top: io::Result<Top>,
    /// `None` when these were too many, or could not be listed.
    known: Option<HashSet<PathBuf>>,
}

/// The directory itself.
struct Top {
    handle: OwnedFd,
    device: u64,
}

/// What it held afterwards.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) outputs: Vec<Output>,
    /// What could not be found out.
    pub(super) notes: Vec<String>,
}

impl Before {
    /// Remembers the names.
    pub(super) fn look(dir: &Path) -> Self {
        Self::up_to(dir, MOST_KNOWN)
    }

    fn up_to(dir: &Path, most: usize) -> Self {
        let mut known = HashSet::new();
        let top = Top::open(dir);
        let whole = top.as_ref().is_ok_and(|top| {
            top.walk(most, |path, _| {
                known.insert(path.to_owned());
            })
        });
        Self { top, known: whole.then_some(known) }
    }

    /// Lists what is there now. Declared files are hashed unless `told`: who is told to end has no time for it. At most
    /// `budget` bytes are hashed.
    pub(super) fn after(&self, declared: &[String], told: bool, budget: u64) -> Left {
        let mut left = self.list(declared, told, budget);
        left.notes.iter_mut().for_each(|note| note.insert_str(0, OUTPUT_NOTE));
        left
    }

    fn list(&self, declared: &[String], told: bool, budget: u64) -> Left {
        let mut left = Left::default();
        let top = match &self.top {
            Ok(top) => top,
            Err(error) => {
                left.notes.push(format!("the working directory: {error}"));
                return left;
            }
        };
        let mut patterns: Vec<(&String, Declared, bool)> = Vec::new();
        for text in declared {
            match Declared::read(text) {
                Ok(pattern) => patterns.push((text, pattern, false)),
                // `submit` refused it already
                Err(error) => left.notes.push(format!("the output {text:?}: {error}")),
            }
        }
        let most = match (&self.known, patterns.is_empty()) {
            (None, true) => {
                left.notes.push(TOO_MANY.to_owned());
                return left;
            }
            (Some(known), true) => known.len() + MOST_KNOWN,
            (_, false) => MOST_LOOKED_AT,
        };
        let (mut wanted, mut others, mut passed_over) = (Vec::new(), Vec::new(), 0_usize);
        let whole = top.walk(most, |path, kind| {
            if kind == FileType::Directory {
                return;
            }
            let mut is_declared = false;
            for (_, pattern, met) in &mut patterns {
                if pattern.has(path) {
                    (is_declared, *met) = (true, true);
                }
            }
            let is_new = || self.known.as_ref().is_some_and(|known| !known.contains(path));
            if is_declared {
                wanted.push(path.to_owned());
            } else if is_new() {
                if others.len() < MOST_OTHERS {
                    others.push(path.to_owned());
                } else {
                    passed_over += 1;
                }
            }
        });
        if !whole {
            left.notes.push(format!(
                "only {most} entries of the working directory were looked at for output files"
            ));
        }
        if self.known.is_none() {
            left.notes.push(TOO_MANY.to_owned());
        }
        if passed_over > 0 {
            left.notes.push(format!("{passed_over} more new files are not listed"));
        }
        for (text, _, _) in patterns.iter().filter(|(_, _, met)| !met) {
            left.notes.push(format!("no file is the declared output {text:?}"));
        }
        wanted.sort();
        others.sort();
        if wanted.len() > MOST_DECLARED {
            let more = wanted.split_off(MOST_DECLARED).len();
            left.notes.push(format!("{more} more declared files are not listed"));
        }
        top.measure(&wanted, told, budget, &mut left);
        left.outputs.extend(others.iter().filter_map(|path| top.sized(path)));
        left.shorten(MOST_BYTES);
        left
    }
}

impl Top {
    fn open(dir: &Path) -> io::Result<Self> {
        let handle = rustix::fs::open(dir, INSIDE, Mode::empty())?;
        let device = rustix::fs::fstat(&handle)?.st_dev;
        Ok(Self { handle, device })
    }

    /// A directory below it, on the same file system and without a link on the way.
    fn inside(&self, path: &Path) -> io::Result<OwnedFd> {
        let found = handles::open(self.handle.as_fd(), path)
            .map_err(|refused| io::Error::other(refused.to_string()))?;
        // a mount, perhaps one that would be made by looking into it
        if rustix::fs::fstat(&found)?.st_dev != self.device {
            return Err(io::Error::other("another file system is mounted there"));
        }
        // the handle itself cannot be read
        Ok(rustix::fs::openat(&found, ".", INSIDE, Mode::empty())?)
    }

    /// The directory of a path below it, and the path's last name.
    fn parent<'p>(&self, path: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
        let name = path.file_name().ok_or_else(|| io::Error::other("it has no name"))?;
        Ok((self.inside(path.parent().unwrap_or(Path::new("")))?, name))
    }

    fn measure(&self, wanted: &[PathBuf], told: bool, mut budget: u64, left: &mut Left) {
        let mut too_much = 0_usize;
        // hashing may take long, and who is told to end meanwhile still writes a receipt
        let mut why = (told && !wanted.is_empty()).then(|| "the job was told to end".to_owned());
        if why.is_none() && !wanted.is_empty() {
            why = container::hear().map(signals::keep).err().map(|error| error.to_string());
        }
        for path in wanted {
            let Some(mut output) = self.sized(path) else { continue };
            if why.is_none() {
                match self.hashed(path, &mut budget) {
                    Ok(Hashed::As(digest, size)) => {
                        (output.sha256, output.size) = (Some(digest), size);
                    }
                    Ok(Hashed::TooMuch(size)) => {
                        output.size = size;
                        too_much += 1;
                    }
                    Ok(Hashed::NoFile) => {}
                    Err(error) if still_wanted().is_err() => why = Some(error.to_string()),
                    Err(error) => {
                        left.notes.push(format!("the output {}: {error}", path.display()));
                    }
                }
            }
            left.outputs.push(output);
        }
        if let Some(why) = why {
            left.notes.push(format!("not all declared outputs were hashed: {why}"));
        }
        if too_much > 0 {
            left.notes.push(format!(
                "not all declared outputs were hashed: {too_much} did not fit into limits.{OUTPUT_BYTES}"
            ));
        }
    }

    /// `None` for one that is gone.
    fn sized(&self, path: &Path) -> Option<Output> {
        let (parent, name) = self.parent(path).ok()?;
        let size = u64::try_from(status(&parent, name).ok()?.st_size).unwrap_or(0);
        Some(Output { path: path.to_string_lossy().into_owned(), size, sha256: None })
    }

    /// The SHA-256 and length of a regular file, when it fits into what is left of the budget.
    fn hashed(&self, path: &Path, budget: &mut u64) -> io::Result<Hashed> {
        let (parent, name) = self.parent(path)?;
        if FileType::from_raw_mode(status(&parent, name)?.st_mode) != FileType::RegularFile {
            return Ok(Hashed::NoFile);
        }
        let folder = Folder::of(parent);
        let file = ForeignFile::anyones(u64::MAX).open_in(&folder, Path::new(name));
        let file = file.map_err(io::Error::from)?.into_file();
        let size = file.metadata()?.len();
        if size > *budget {
            return Ok(Hashed::TooMuch(size));
        }
        // one that grows meanwhile is not read for ever
        let mut bounded = Attentive(file).take(budget.saturating_add(1));
        let sum = sha256(&mut bounded)?;
        if sum.length > *budget {
            return Ok(Hashed::TooMuch(sum.length));
        }
        *budget -= sum.length;
        Ok(Hashed::As(Digest::from_bytes(sum.sha256), sum.length))
    }
}

/// What hashing came to.
enum Hashed {
    /// The digest and the length.
    As(Digest, u64),
    /// It has so many bytes, or more.
    TooMuch(u64),
    /// A link, pipe or device.
    NoFile,
}

impl Left {
    /// Keeps the first ones.
    fn shorten(&mut self, most: usize) {
        let mut bytes = 0;
        let fits = |output: &Output| {
            // control characters take six bytes each in JSON
            bytes += ENTRY_BYTES
                + output.path.chars().map(|c| if c < ' ' { 6 } else { 4 }).sum::<usize>();
            bytes <= most
        };
        let kept = self.outputs.iter().map(fits).take_while(|fits| *fits).count();
        let more = self.outputs.split_off(kept).len();
        if more > 0 {
            self.notes.push(format!("{more} more files are not listed: their names are too long"));
        }
    }
}

/// Reads until the worker is told to end.
struct Attentive(std::fs::File);

impl Read for Attentive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        still_wanted().map_err(|error| io::Error::other(error.to_string()))?;
        self.0.read(buffer)
    }
}

/// A directory that is read, and no link.
const INSIDE: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Top {
    /// Shows every entry below it, the upper ones first, by its path there. `false` when there are more than `most`. A
    /// directory that cannot be read is passed over, as are mounts.
    fn walk(&self, most: usize, mut show: impl FnMut(&Path, FileType)) -> bool {
        let mut seen = 0_usize;
        let mut todo: VecDeque<PathBuf> = VecDeque::from([PathBuf::new()]);
        while let Some(at) = todo.pop_front() {
            let Ok(opened) = self.inside(&at) else { continue };
            let Ok(dir) = Dir::read_from(&opened) else { continue };
            for entry in dir {
                let Ok(entry) = entry else { break };
                let name = entry.file_name().to_bytes();
                if name == b"." || name == b".." {
                    continue;
                }
                seen += 1;
                if seen > most {
                    return false;
                }
                let name = OsStr::from_bytes(name);
                let path = at.join(name);
                let mut kind = entry.file_type();
                if matches!(kind, FileType::Unknown | FileType::Directory) {
                    let Ok(found) = status(&opened, name) else { continue };
                    kind = FileType::from_raw_mode(found.st_mode);
                    if kind == FileType::Directory && found.st_dev == self.device {
                        todo.push_back(path.clone());
                    }
                }
                show(&path, kind);
            }
        }
        true
    }
}

fn status(dir: &OwnedFd, name: &OsStr) -> rustix::io::Result<Stat> {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: u64 = 1 << 20;

    fn put(dir: &Path, name: &str, text: &str) {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn shown(left: &Left) -> Vec<(&str, u64, Option<Digest>)> {
        left.outputs.iter().map(|o| (o.path.as_str(), o.size, o.sha256)).collect()
    }

    #[test]
    fn declared_files_are_hashed_and_new_ones_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        put(dir, "input.txt", "in");
        put(dir, "old/known.root", "old");
        let before = Before::look(dir);
        put(dir, "old/known.root", "written again");
        put(dir, "new.root", "root");
        put(dir, "deep/er/log", "lines");
        put(dir, "input.txt", "changed");
        std::os::unix::fs::symlink("/etc/passwd", dir.join("link.root")).unwrap();
        let left = before.after(&["*.root".into(), "old/*".into(), "lost".into()], false, PLENTY);
        let link = "/etc/passwd".len() as u64;
        assert_eq!(
            shown(&left),
            [
                ("link.root", link, None),
                ("new.root", 4, Some(Digest::of(b"root"))),
                ("old/known.root", 13, Some(Digest::of(b"written again"))),
                ("deep/er/log", 5, None),
            ]
        );
        assert_eq!(left.notes, ["output files: no file is the declared output \"lost\""]);
        // one that is told to end says the sizes
        let left = before.after(&["new.root".into()], true, PLENTY);
        assert_eq!(shown(&left)[0], ("new.root", 4, None));
        assert!(left.notes[0].contains("told to end"), "{:?}", left.notes);
    }

    #[test]
    fn a_large_directory_is_not_compared() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for n in 0..30 {
            put(dir, &format!("{n}"), "");
        }
        let before = Before::up_to(dir, 20);
        put(dir, "new", "x");
        let left = before.after(&["new".into()], false, PLENTY);
        assert_eq!(shown(&left), [("new", 1, Some(Digest::of(b"x")))], "what is declared is found");
        assert_eq!(left.notes.len(), 1, "{:?}", left.notes);
        assert_eq!(shown(&before.after(&[], false, PLENTY)), []);
        for n in 0..=MOST_OTHERS {
            put(dir, &format!("more/{n}"), "");
        }
        let before = Before { known: Some(HashSet::new()), ..before };
        let left = before.after(&[], false, PLENTY);
        assert_eq!(left.outputs.len(), MOST_OTHERS);
        assert!(left.notes.iter().any(|n| n.ends_with("more new files are not listed")));
        let mut left = Left { outputs: left.outputs, notes: vec![] };
        left.shorten(250);
        assert_eq!((left.outputs.len(), left.notes.len()), (1, 1));
    }

    #[test]
    fn hashing_ends_with_the_budget() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let before = Before::look(dir);
        put(dir, "a", "four");
        // terabytes of nothing, which are read in an hour
        let sparse = std::fs::File::create(dir.join("b")).unwrap();
        let size = 1 << 42;
        if sparse.set_len(size).is_err() {
            // not eprintln: what that prints in a passing test is not shown
            let why = "this file system has no files of that size";
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("SKIPPED: hashing_ends_with_the_budget: {why}: {size} bytes\n").as_bytes(),
            );
            return;
        }
        put(dir, "c", "four");
        put(dir, "d", "four");
        let left = before.after(&["*".into()], false, 9);
        let four = Some(Digest::of(b"four"));
        assert_eq!(
            shown(&left),
            [("a", 4, four), ("b", size, None), ("c", 4, four), ("d", 4, None)]
        );
        let note = "not all declared outputs were hashed: 2 did not fit into limits.output_bytes";
        assert_eq!(left.notes, [format!("{OUTPUT_NOTE}{note}")]);
    }

    #[test]
    fn a_directory_that_becomes_a_link_leads_nowhere() {
        let base = tempfile::tempdir().unwrap();
        let (work, secret) = (base.path().join("work"), base.path().join("secret"));
        put(&secret, "key", "secret");
        put(&work, "out/key", "own");
        let before = Before::look(&work);
        let top = before.top.as_ref().unwrap();
        let mut budget = PLENTY;
        let path = Path::new("out/key");
        assert!(matches!(top.hashed(path, &mut budget), Ok(Hashed::As(_, 3))));
        // between the list and the look at its files
        std::fs::remove_dir_all(work.join("out")).unwrap();
        std::os::unix::fs::symlink(&secret, work.join("out")).unwrap();
        let error = top.hashed(path, &mut budget).err().unwrap();
        assert!(error.to_string().contains("symbolic link"), "{error}");
        assert_eq!((top.sized(path), budget), (None, PLENTY - 3));
        // the working directory itself: what the program had is looked at
        std::fs::rename(&work, base.path().join("moved")).unwrap();
        std::os::unix::fs::symlink(&secret, &work).unwrap();
        put(&base.path().join("moved"), "new", "x");
        let left = before.after(&["*".into()], false, PLENTY);
        assert_eq!(shown(&left)[0], ("new", 1, Some(Digest::of(b"x"))));
        assert!(!shown(&left).iter().any(|(path, ..)| *path == "key"));
    }
}
