//! The files that a job left in its working directory.
//!
//! ```text
//! before the program   the names that are there      (names only: nothing is asked of a file)
//! after it             declared (--output GLOB)       path, size, SHA-256
//!                      others that were not there     path, size
//! ```
//!
//! Links are not followed, and other file systems are not entered. Not promised: that the program made a file
//! that is new; whoever else writes into the directory meanwhile is listed, too.

use std::collections::{HashSet, VecDeque};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use super::attend::still_wanted;
use super::container;
use super::signals;
use crate::files::{ForeignFile, sha256};
use crate::oci::{Digest, Sha256Digest};
use crate::worker::Output;

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

/// `*` stays within one name; a leading dot is written.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// What a working directory held before the program began.
pub(super) struct Before {
    dir: PathBuf,
    /// `None` when these were too many, or could not be listed.
    known: Option<HashSet<PathBuf>>,
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
        let whole = walk(dir, most, |path, _| {
            known.insert(path.to_owned());
        });
        Self { dir: dir.to_owned(), known: matches!(whole, Ok(true)).then_some(known) }
    }

    /// Lists what is there now. Declared files are hashed unless `told`: who is told to end has no time for it.
    pub(super) fn after(&self, declared: &[String], told: bool) -> Left {
        let mut left = Left::default();
        let mut patterns: Vec<(&String, Pattern, bool)> = Vec::new();
        for text in declared {
            match Pattern::new(text) {
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
        let whole = walk(&self.dir, most, |path, kind| {
            if kind == FileType::Directory {
                return;
            }
            let mut is_declared = false;
            for (_, pattern, met) in &mut patterns {
                if pattern.matches_path_with(path, MATCHING) {
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
        match whole {
            Ok(true) => {}
            Ok(false) => left.notes.push(format!(
                "only {most} entries of the working directory were looked at for output files"
            )),
            Err(error) => left.notes.push(format!("the working directory: {error}")),
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
        self.measure(&wanted, told, &mut left);
        left.outputs.extend(others.iter().filter_map(|path| self.sized(path)));
        left.shorten(MOST_BYTES);
        left
    }

    fn measure(&self, wanted: &[PathBuf], told: bool, left: &mut Left) {
        // hashing may take long, and who is told to end meanwhile still writes a receipt
        let mut why = (told && !wanted.is_empty()).then(|| "the job was told to end".to_owned());
        if why.is_none() && !wanted.is_empty() {
            why = container::hear().map(signals::keep).err().map(|error| error.to_string());
        }
        for path in wanted {
            let Some(mut output) = self.sized(path) else { continue };
            if why.is_none() {
                match hashed(&self.dir.join(path)) {
                    Ok(Some((digest, size))) => {
                        (output.sha256, output.size) = (Some(digest), size);
                    }
                    Ok(None) => {}
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
    }

    /// `None` for one that is gone.
    fn sized(&self, path: &Path) -> Option<Output> {
        let size = std::fs::symlink_metadata(self.dir.join(path)).ok()?.len();
        Some(Output { path: path.to_string_lossy().into_owned(), size, sha256: None })
    }
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

/// The SHA-256 and length of a regular file; `None` for a link, pipe or device.
fn hashed(path: &Path) -> io::Result<Option<(Digest, u64)>> {
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Ok(None);
    }
    let file = ForeignFile::anyones(u64::MAX).open(path).map_err(io::Error::from)?.into_file();
    let sum = sha256(&mut Attentive(file))?;
    Ok(Some((Digest::from_bytes(sum.sha256), sum.length)))
}

/// Reads until the worker is told to end.
struct Attentive(std::fs::File);

impl Read for Attentive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        still_wanted().map_err(|error| io::Error::other(error.to_string()))?;
        self.0.read(buffer)
    }
}

/// Shows every entry below a directory, the upper ones first, by its path there. `false` when there are more than
/// `most`. A directory that cannot be read is passed over, as are mounts.
fn walk(root: &Path, most: usize, mut show: impl FnMut(&Path, FileType)) -> io::Result<bool> {
    const INSIDE: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    let top = rustix::fs::open(root, INSIDE, Mode::empty())?;
    let device = rustix::fs::fstat(&top)?.st_dev;
    let mut seen = 0_usize;
    let mut todo: VecDeque<PathBuf> = VecDeque::from([PathBuf::new()]);
    while let Some(at) = todo.pop_front() {
        let opened = if at.as_os_str().is_empty() {
            rustix::io::dup(&top)
        } else {
            rustix::fs::open(root.join(&at), INSIDE, Mode::empty())
        };
        let Ok(opened) = opened else { continue };
        let Ok(dir) = Dir::read_from(&opened) else { continue };
        for entry in dir {
            let Ok(entry) = entry else { break };
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            seen += 1;
            if seen > most {
                return Ok(false);
            }
            let name = OsStr::from_bytes(name);
            let path = at.join(name);
            let mut kind = entry.file_type();
            if matches!(kind, FileType::Unknown | FileType::Directory) {
                let Ok(found) = status(&opened, name) else { continue };
                kind = FileType::from_raw_mode(found.st_mode);
                // a mount, perhaps one that would be made by looking into it
                if kind == FileType::Directory && found.st_dev == device {
                    todo.push_back(path.clone());
                }
            }
            show(&path, kind);
        }
    }
    Ok(true)
}

fn status(dir: &OwnedFd, name: &OsStr) -> rustix::io::Result<Stat> {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let left = before.after(&["*.root".into(), "old/*".into(), "lost".into()], false);
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
        assert_eq!(left.notes, ["no file is the declared output \"lost\""]);
        // one that is told to end says the sizes
        let left = before.after(&["new.root".into()], true);
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
        let left = before.after(&["new".into()], false);
        assert_eq!(shown(&left), [("new", 1, Some(Digest::of(b"x")))], "what is declared is found");
        assert_eq!(left.notes.len(), 1, "{:?}", left.notes);
        assert_eq!(shown(&before.after(&[], false)), []);
        for n in 0..=MOST_OTHERS {
            put(dir, &format!("more/{n}"), "");
        }
        let before = Before { known: Some(HashSet::new()), ..before };
        let left = before.after(&[], false);
        assert_eq!(left.outputs.len(), MOST_OTHERS);
        assert!(left.notes.iter().any(|n| n.ends_with("more new files are not listed")));
        let mut left = Left { outputs: left.outputs, notes: vec![] };
        left.shorten(250);
        assert_eq!((left.outputs.len(), left.notes.len()), (1, 1));
    }
}
