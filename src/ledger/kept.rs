//! Which indexes of the store this user's conversions wrote.
//!
//! ```text
//! LEDGER/kept.idx      0600, a line for each: KIND RECIPE SEAL\n      KIND: packs, layers
//! ```
//!
//! An index decides which bytes a conversion copies, and whether a layer is read at all, so whoever can write
//! one can decide what is in a SIF. Its seal tells damage and not forgery. That it stands here is the proof: this
//! directory is hidden from jobs, the store may be reached by one. It is no part of the history: a line that is
//! lost costs a conversion's time.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::dir::{check, private_dir};
use super::error::LedgerError;
use crate::files::{self, ForeignFile};

const NAME: &str = "kept.idx";
/// A file that is larger loses its older half.
const MUCH: u64 = 1 << 20;
/// Larger files are none of ours.
const MOST: u64 = 64 << 20;

/// The indexes that were read from a ledger's directory.
#[derive(Debug, Default)]
pub struct Kept {
    path: PathBuf,
    /// How long the file was.
    length: u64,
    lines: HashSet<String>,
}

impl Kept {
    /// Reads them; what cannot be read says nothing.
    #[must_use]
    pub fn read(dir: &Path) -> Self {
        let (path, text) = (dir.join(NAME), appended(dir, NAME));
        let length = text.len() as u64;
        let text = String::from_utf8_lossy(&text);
        // a line that is being written has no end yet
        let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let lines = lines.map(str::to_owned).collect();
        Self { path, length, lines }
    }

    /// Whether the file may say more by now.
    #[must_use]
    pub fn is_old(&self) -> bool {
        std::fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.len() != self.length)
    }

    /// Whether a conversion of this user wrote the index with this seal.
    #[must_use]
    pub fn holds(&self, kind: &str, recipe: &str, seal: &[u8; 32]) -> bool {
        self.lines.contains(&line(kind, recipe, seal))
    }

    /// Notes that one did.
    ///
    /// # Errors
    /// When the directory is not this user's alone, or cannot be written.
    pub fn keep(dir: &Path, kind: &str, recipe: &str, seal: &[u8; 32]) -> Result<(), LedgerError> {
        append(dir, NAME, &line(kind, recipe, seal))
    }
}

/// Appends a line to a file of a ledger's directory whose lines can be lost; one that grew large loses its older half.
pub(super) fn append(dir: &Path, name: &str, line: &str) -> Result<(), LedgerError> {
    private_dir(dir)?;
    check(dir)?;
    let path = dir.join(name);
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(flags);
    let written = options.open(&path).and_then(|mut file| {
        // one call: lines of several processes do not mix
        file.write_all(format!("{line}\n").as_bytes())?;
        Ok(file.metadata()?.len())
    });
    let length = written.map_err(LedgerError::io("write", &path))?;
    if length > MUCH {
        forget_half(&path);
    }
    Ok(())
}

/// What was appended to such a file; nothing when it cannot be read.
pub(super) fn appended(dir: &Path, name: &str) -> Vec<u8> {
    let ours = check(dir).is_ok();
    let read = ours.then(|| ForeignFile::own(MOST).bytes(&dir.join(name)).ok()).flatten();
    read.unwrap_or_default()
}

/// Where that fails, or another process appends meanwhile, some conversions take longer.
fn forget_half(path: &Path) {
    let Ok(text) = ForeignFile::own(MOST).text(path) else { return };
    let start = text.len() / 2;
    let start =
        text.as_bytes()[start..].iter().position(|b| *b == b'\n').map_or(0, |at| start + at + 1);
    let _ = files::jot(path, 0o600, &text.as_bytes()[start..]);
}

fn line(kind: &str, recipe: &str, seal: &[u8; 32]) -> String {
    let mut line = format!("{kind} {recipe} ");
    for byte in seal {
        // writing to a String cannot fail
        let _ = write!(line, "{byte:02x}");
    }
    line
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_what_was_noted_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = dir.path().join("l");
        assert!(!Kept::read(&ledger).holds("packs", "r", &[1; 32]), "there is no ledger");
        Kept::keep(&ledger, "packs", "r", &[1; 32]).unwrap();
        let kept = Kept::read(&ledger);
        assert!(kept.holds("packs", "r", &[1; 32]) && !kept.is_old());
        for (kind, recipe, seal) in [("layers", "r", 1), ("packs", "s", 1), ("packs", "r", 2)] {
            assert!(!kept.holds(kind, recipe, &[seal; 32]));
        }
        Kept::keep(&ledger, "layers", "r", &[2; 32]).unwrap();
        assert!(kept.is_old() && Kept::read(&ledger).holds("layers", "r", &[2; 32]));
        let file = ledger.join(NAME);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read(&file).unwrap();
        fs::write(&file, &text[..text.len() - 1]).unwrap();
        assert!(!Kept::read(&ledger).holds("layers", "r", &[2; 32]), "its line has no end");
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = dir.path().join("l");
        Kept::keep(&ledger, "packs", "r", &[1; 32]).unwrap();
        let many = line("packs", "other", &[9; 32]) + "\n";
        let file = ledger.join(NAME);
        let old = fs::read_to_string(&file).unwrap();
        let count = usize::try_from(MUCH).unwrap() / many.len() + 1;
        fs::write(&file, old + &many.repeat(count)).unwrap();
        Kept::keep(&ledger, "packs", "r", &[2; 32]).unwrap();
        assert!(fs::metadata(&file).unwrap().len() < MUCH / 2 + 1000);
        let kept = Kept::read(&ledger);
        assert!(kept.holds("packs", "r", &[2; 32]) && kept.holds("packs", "other", &[9; 32]));
        assert!(!kept.holds("packs", "r", &[1; 32]), "the oldest went");
    }
}
