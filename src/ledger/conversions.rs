//! Whether this user made a SIF from a manifest: asked whenever an image is known, so the ledger is not
//! read as a whole for it.
//!
//! ```text
//! LEDGER/conversions.idx       0600, made again from the ledger whenever it does not fit
//!   moorline conversions 2\n
//!   segment NAME BYTES\n       read up to there, a whole line's end
//!   made MANIFEST RECIPE SIF TREE\n      TREE is - when there is none
//!   end HEX\n                  BLAKE3 of all before
//! ```
//!
//! What was appended since is read each time; the index is written anew when that was much. Files that were merged from
//! another ledger say nothing here (`merged.rs`).
//! It lies beside the ledger because that is hidden from jobs: it is believed as the ledger is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::body::Body;
use super::error::LedgerError;
use super::merged;
use super::record::{Content, decode};
use super::segment::list;
use crate::files;
use crate::oci::{Digest, SifDigest, TreeRoot};
use crate::pin::Recipe;

const NAME: &str = "conversions.idx";
const HEAD: &str = "moorline conversions 2";
/// What a line of ours holds, as `record.rs` writes it; the rest of the ledger is not parsed.
const KIND: &[u8] = b"\"kind\":\"converted\"";
/// In the place of a root that there is not.
const NO_TREE: &str = "-";
/// After so many bytes the index is worth writing; to look through fewer is cheap.
const MUCH: u64 = 256 << 10;

/// The conversions of a ledger.
#[derive(Debug, Default)]
pub struct Conversions {
    dir: PathBuf,
    /// How far each segment was read.
    read: BTreeMap<String, u64>,
    made: BTreeSet<(String, String, String)>,
    /// The root of each SIF's hash tree; `-` for none.
    sifs: BTreeMap<String, String>,
}

impl Conversions {
    /// Reads what a ledger says of conversions; one that does not exist says nothing.
    ///
    /// # Errors
    /// When a file of the ledger cannot be read. An index that cannot be read or written costs time.
    pub fn read(dir: &Path) -> Result<Self, LedgerError> {
        Self::read_with(dir, MUCH)
    }

    fn read_with(dir: &Path, much: u64) -> Result<Self, LedgerError> {
        let index = dir.join(NAME);
        let mut all = fs::read_to_string(&index).ok().and_then(|text| Self::parse(&text));
        let merged = merged::writers(dir)?;
        let names = list(dir)?.segments.into_iter().filter(|name| !merged.contains(&name.writer));
        let sizes: BTreeMap<String, u64> = names
            .filter_map(|name| {
                let name = name.to_string();
                let size = fs::metadata(dir.join(&name)).ok()?.len();
                Some((name, size))
            })
            .collect();
        // a segment that went or shrank: somebody put another ledger here
        let fits = |all: &Self| {
            all.read.iter().all(|(name, read)| sizes.get(name).is_some_and(|size| size >= read))
        };
        all = all.filter(fits);
        let mut all = all.unwrap_or_default();
        dir.clone_into(&mut all.dir);
        let mut new = 0;
        for (name, size) in sizes {
            let from = all.read.get(&name).copied().unwrap_or(0);
            if size > from {
                new += size - from;
                all.take(&name, from).map_err(LedgerError::io("read", &dir.join(&name)))?;
            }
        }
        if new > much {
            // the next one reads it once more otherwise
            let _ = files::jot(&index, 0o600, all.to_string().as_bytes());
        }
        Ok(all)
    }

    /// Whether this user made the SIF from the manifest by the recipe.
    #[must_use]
    pub fn holds(&self, manifest: &Digest, recipe: &Recipe, sif: &SifDigest) -> bool {
        self.made.contains(&key(manifest, recipe, sif))
    }

    /// Whether this user made the SIF from anything.
    #[must_use]
    pub fn made(&self, sif: &SifDigest) -> bool {
        self.sifs.contains_key(&sif.to_string())
    }

    /// The root of a SIF's hash tree, where this user recorded it.
    #[must_use]
    pub fn tree(&self, sif: &SifDigest) -> Option<TreeRoot> {
        self.sifs.get(&sif.to_string())?.parse().ok()
    }

    fn add(&mut self, key: (String, String, String), tree: &str) {
        let known = self.sifs.entry(key.2.clone()).or_insert_with(|| tree.to_owned());
        if known == NO_TREE {
            tree.clone_into(known);
        }
        self.made.insert(key);
    }

    /// Reads a segment from where it was left.
    fn take(&mut self, name: &str, from: u64) -> io::Result<()> {
        let mut file = File::open(self.dir.join(name))?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // a line that is being written is read next time
        let end = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
        let finder = memchr::memmem::Finder::new(KIND);
        for line in bytes[..end].split(|b| *b == b'\n') {
            if finder.find(line).is_none() {
                continue;
            }
            let Ok(record) = decode(line) else { continue };
            if let Content::Known(Body::Converted { manifest, recipe, sif, tree }) = record.body {
                let tree = tree.map_or_else(|| NO_TREE.to_owned(), |tree| tree.to_string());
                self.add(key(&manifest, &recipe, &sif), &tree);
            }
        }
        self.read.insert(name.to_owned(), from + end as u64);
        Ok(())
    }

    fn parse(text: &str) -> Option<Self> {
        let (content, end) = text.trim_end_matches('\n').rsplit_once('\n')?;
        let content = &text[..=content.len()];
        if end.strip_prefix("end ")? != blake3::hash(content.as_bytes()).to_hex().as_str() {
            return None;
        }
        let mut lines = content.lines();
        if lines.next() != Some(HEAD) {
            return None;
        }
        let mut all = Self::default();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["segment", name, read] => {
                    all.read.insert(name.to_owned(), read.parse().ok()?);
                }
                ["made", manifest, recipe, sif, tree] => {
                    all.add((manifest.to_owned(), recipe.to_owned(), sif.to_owned()), tree);
                }
                _ => return None,
            }
        }
        Some(all)
    }
}

impl std::fmt::Display for Conversions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = format!("{HEAD}\n");
        for (name, read) in &self.read {
            writeln!(text, "segment {name} {read}")?;
        }
        for (manifest, recipe, sif) in &self.made {
            let tree = self.sifs.get(sif).map_or(NO_TREE, String::as_str);
            writeln!(text, "made {manifest} {recipe} {sif} {tree}")?;
        }
        writeln!(f, "{text}end {}", blake3::hash(text.as_bytes()).to_hex())
    }
}

fn key(manifest: &Digest, recipe: &Recipe, sif: &SifDigest) -> (String, String, String) {
    (manifest.to_string(), recipe.key(), sif.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Conversion, Ledger, testing};
    use crate::oci::Sha256Digest;

    fn conversion(number: u8) -> Conversion {
        Conversion {
            manifest: Digest::of(&[number]),
            recipe: testing::recipe(),
            sif: SifDigest::of(&[number]),
            tree: (number > 1).then(|| TreeRoot::of(&[number])),
        }
    }

    fn holds(dir: &Path, number: u8) -> bool {
        let Conversion { manifest, recipe, sif, tree } = conversion(number);
        let few = Conversions::read(dir).unwrap().holds(&manifest, &recipe, &sif);
        for read in [Conversions::read(dir), Conversions::read_with(dir, 0)] {
            assert_eq!(read.unwrap().tree(&sif), tree.filter(|_| few));
        }
        assert_eq!(Conversions::read_with(dir, 0).unwrap().holds(&manifest, &recipe, &sif), few);
        few
    }

    #[test]
    fn only_what_was_recorded_is_held() {
        let dir = testing::private();
        let (ledger, index) = (dir.path().join("l"), dir.path().join("l").join(NAME));
        assert!(!holds(&ledger, 1), "there is no ledger");
        Ledger::open(&ledger).unwrap().converted(&conversion(1)).unwrap();
        Conversions::read(&ledger).unwrap();
        assert!(!index.exists(), "it is not worth it");
        assert!(holds(&ledger, 1) && !holds(&ledger, 2));
        assert!(index.exists() && holds(&ledger, 1), "also out of the index");
        // appended behind the index, by this writer and by another
        Ledger::open(&ledger).unwrap().converted(&conversion(2)).unwrap();
        let open = Ledger::open(&ledger).unwrap();
        open.converted(&conversion(3)).unwrap();
        Ledger::open(&ledger).unwrap().converted(&conversion(4)).unwrap();
        assert!((1..=4).all(|number| holds(&ledger, number)) && !holds(&ledger, 5));
        let swapped = Conversions::read(&ledger).unwrap();
        let (one, two) = (conversion(1), conversion(2));
        assert!(!swapped.holds(&one.manifest, &one.recipe, &two.sif));
        assert!(swapped.made(&two.sif) && !swapped.made(&conversion(5).sif));
        // a damaged index, and one of another ledger, are made again
        let text = fs::read_to_string(&index).unwrap();
        for bad in [&text.replace("made sha256:", "made sha256:0"), "", &text[..text.len() / 2]] {
            fs::write(&index, bad).unwrap();
            assert!((1..=4).all(|number| holds(&ledger, number)) && !holds(&ledger, 5));
        }
        let other = dir.path().join("other");
        Ledger::open(&other).unwrap().converted(&conversion(9)).unwrap();
        assert!(holds(&other, 9));
        fs::copy(&index, other.join(NAME)).unwrap();
        assert!(holds(&other, 9) && !holds(&other, 1));
    }

    #[test]
    fn a_line_that_is_damaged_or_torn_says_nothing() {
        let dir = testing::private();
        Ledger::open(dir.path()).unwrap().converted(&conversion(1)).unwrap();
        let name = list(dir.path()).unwrap().segments[0].to_string();
        let line = fs::read_to_string(dir.path().join(&name)).unwrap();
        let (one, two) = (conversion(1).sif.to_string(), conversion(2).sif.to_string());
        for text in [line.replace(&one, &two), line.trim_end().to_owned()] {
            fs::write(dir.path().join(&name), text).unwrap();
            let found = Conversions::read(dir.path()).unwrap();
            assert!(found.made.is_empty(), "{found}");
        }
        fs::write(dir.path().join(&name), line).unwrap();
        assert!(holds(dir.path(), 1), "the line's end came later");
    }
}
