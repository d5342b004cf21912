//! What is in the store: for `cache ls`, and for what `prune` chooses from.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::found::{files, list};
use super::pins::Mapping;
use super::{DIRS, Mark, Needed, Store, StoreError, clock, lease};
use crate::oci::{Digest, SifDigest};
use crate::pin::Recipe;

/// What a file of the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// An image that this machine unpacked; jobs that run from it hold it.
    Tree(SifDigest),
    /// A blob of a registry or archive: a layer or a configuration.
    Blob(Digest),
    /// Something that was made from the rest and can be made again.
    Index,
    /// The OCI archive of a manifest, for runtimes that take no SIF.
    Archive(Digest),
    /// A converted image.
    Sif(SifDigest),
}

/// A file of the store.
#[derive(Clone, Debug)]
pub struct Item {
    /// What it is.
    pub what: What,
    /// Where.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// When it was used last, by the server's time.
    pub used: SystemTime,
    /// From which manifests a SIF was made, and how.
    pub made_from: Vec<(Digest, Recipe)>,
    /// The jobs that need a SIF or an archive.
    pub marks: Vec<Mark>,
    /// The mappings to a SIF.
    pub(super) mappings: Vec<PathBuf>,
}

/// Everything in the store.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// The server's time.
    pub now: SystemTime,
    /// Unpacked images, blobs, indexes and SIFs, least recently used first.
    pub items: Vec<Item>,
    /// Pruned SIFs that wait to be deleted: how many, and their bytes.
    pub trash: (usize, u64),
    /// Files being written, or left by dead processes.
    pub temporary: (usize, u64),
    /// What this machine unpacked.
    pub unpacked: (usize, u64),
    /// Files of runtimes that the user added.
    pub runtimes: (usize, u64),
    /// Who makes something right now.
    pub busy: Vec<lease::Holder>,
    /// Mappings that cannot be read, and why; `verify` removes them.
    pub problems: Vec<String>,
    /// Mappings whose SIF is gone.
    pub(super) dangling: Vec<PathBuf>,
}

impl Inventory {
    /// Bytes of all items: what a limit is about.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.items.iter().map(|item| item.size).sum()
    }

    /// How long ago an item was used.
    #[must_use]
    pub fn age(&self, item: &Item) -> Duration {
        clock::age(self.now, item.used)
    }
}

impl Store {
    /// Looks at everything in the store.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn inventory(&self) -> Result<Inventory, StoreError> {
        let tmp = self.root.join("tmp");
        let now = clock::now(&tmp).map_err(StoreError::io("cannot make a file in", &tmp))?;
        let mut found = Inventory {
            now,
            items: Vec::new(),
            trash: total(&self.root.join("trash"))?,
            temporary: total(&tmp)?,
            // an unpacked tree may be closed to its own user
            unpacked: total(&self.root.join("node")).unwrap_or_default(),
            runtimes: total(&self.runtime_files())?,
            busy: self.busy(now)?,
            problems: Vec::new(),
            dangling: Vec::new(),
        };
        let mut by_sif: BTreeMap<SifDigest, Vec<(Mapping, PathBuf, SystemTime)>> = BTreeMap::new();
        files(&self.root.join("pins"), &mut |path, meta| match Mapping::read(path) {
            Ok(Some(mapping)) => {
                let used = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                by_sif.entry(mapping.sif).or_default().push((mapping, path.to_owned(), used));
            }
            Ok(None) => {}
            Err(error) => found.problems.push(error.to_string()),
        })?;
        let mut marks: BTreeMap<Needed, Vec<Mark>> = BTreeMap::new();
        for mark in self.marks()? {
            marks.entry(mark.of).or_default().push(mark);
        }
        let mut add = |what, path: &Path, meta: &fs::Metadata| {
            found.items.push(Item {
                what,
                path: path.to_owned(),
                size: meta.len(),
                used: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                made_from: Vec::new(),
                marks: Vec::new(),
                mappings: Vec::new(),
            });
        };
        files(&self.root.join("blobs"), &mut |path, meta| {
            let digest = name(path).and_then(|hex| format!("sha256:{hex}").parse().ok());
            add(digest.map_or(What::Index, What::Blob), path, meta);
        })?;
        files(&self.root.join("sifs"), &mut |path, meta| {
            add(sif_name(path).map_or(What::Index, What::Sif), path, meta);
        })?;
        files(&self.root.join("archives"), &mut |path, meta| {
            add(archive_name(path).map_or(What::Index, What::Archive), path, meta);
        })?;
        for dir in self.indexes()? {
            files(&dir, &mut |path, meta| add(What::Index, path, meta))?;
        }
        found.items.extend(self.trees()?);
        for item in &mut found.items {
            let digest = match item.what {
                What::Sif(digest) => digest,
                What::Archive(manifest) => {
                    item.marks = marks.remove(&Needed::Archive(manifest)).unwrap_or_default();
                    continue;
                }
                _ => continue,
            };
            item.marks = marks.remove(&Needed::Sif(digest)).unwrap_or_default();
            for (mapping, path, used) in by_sif.remove(&digest).unwrap_or_default() {
                item.used = item.used.max(used);
                item.made_from.push((mapping.manifest, mapping.recipe));
                item.mappings.push(path);
            }
        }
        found.dangling = by_sif.into_values().flatten().map(|(_, path, _)| path).collect();
        // of what was used at one time the cheapest to get again goes first
        found.items.sort_by(|a, b| (a.used, a.what, &a.path).cmp(&(b.used, b.what, &b.path)));
        Ok(found)
    }

    /// Directories of the store that this file does not know: other rooms keep indexes there. `hosts`
    /// holds locks of requests that are on their way, `ledger-index` what `SQLite` holds open.
    pub(super) fn indexes(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut dirs = Vec::new();
        for path in list(&self.root)? {
            let known = name(&path).is_some_and(|name| {
                ["node", "hosts", "ledger-index", "archives", "runtimes"].contains(&name)
                    || DIRS.contains(&name)
            });
            if !known && fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
                dirs.push(path);
            }
        }
        Ok(dirs)
    }

    /// `node/moorline-UID/HEX-XXXXXX`, as `execute` makes them.
    fn trees(&self) -> Result<Vec<Item>, StoreError> {
        let mut trees = Vec::new();
        for user in list(&self.root.join("node"))? {
            for path in list(&user).unwrap_or_default() {
                let hex = name(&path).and_then(|name| name.split_once('-')).map(|(hex, _)| hex);
                let digest = hex.and_then(|hex| format!("sha256:{hex}").parse().ok());
                let (Some(digest), Ok(meta)) = (digest, fs::symlink_metadata(&path)) else {
                    continue;
                };
                trees.push(Item {
                    what: What::Tree(digest),
                    // a tree may be closed to its own user
                    size: total(&path).unwrap_or_default().1,
                    path,
                    used: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                    made_from: Vec::new(),
                    marks: Vec::new(),
                    mappings: Vec::new(),
                });
            }
        }
        Ok(trees)
    }

    /// Those who hold a lease now.
    pub(super) fn busy(&self, now: SystemTime) -> Result<Vec<lease::Holder>, StoreError> {
        let mut busy = Vec::new();
        for path in list(&self.root.join("leases"))? {
            if name(&path).is_some_and(|name| name.starts_with("convert-")) {
                let holder = lease::holder(&path, now, self.timing)
                    .map_err(StoreError::io("cannot read", &path))?;
                busy.extend(holder);
            }
        }
        Ok(busy)
    }
}

fn name(path: &Path) -> Option<&str> {
    path.file_name().and_then(|name| name.to_str())
}

/// The digest that a SIF's name says.
pub(super) fn sif_name(path: &Path) -> Option<SifDigest> {
    format!("sha256:{}", name(path)?.strip_suffix(".sif")?).parse().ok()
}

/// The manifest's digest that an archive's name says.
fn archive_name(path: &Path) -> Option<Digest> {
    format!("sha256:{}", name(path)?.strip_suffix(".tar")?).parse().ok()
}

fn total(dir: &Path) -> Result<(usize, u64), StoreError> {
    let (mut count, mut size) = (0, 0);
    files(dir, &mut |_, meta| {
        count += 1;
        size += meta.len();
    })?;
    Ok((count, size))
}
