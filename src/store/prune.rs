//! Making room: what was not used for long goes, never an image that a job needs.
//!
//! ```text
//! tree          removed at once, unless a job of this machine runs from it (held.rs)
//! blob, index   removed at once, unless somebody converts right now
//! SIF           -> trash/ -> marks looked at again: back, or its mappings are removed
//! OCI archive   -> trash/ -> marks looked at again: back, or removed: it is read once, when its job begins
//! trash/        deleted when everything in it is older than a job can be
//! ```
//!
//! A SIF goes through the trash because a program may run from it on another machine: one that has it
//! open keeps it on a local disk, not on NFS. The longest wall time is the site's knowledge, so it is
//! passed in.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::found::list;
use super::inventory::{Inventory, Item};
use super::{Mark, Needed, Store, StoreError, What, clock, is_elsewhere, remove_unheld};
use crate::files::rename;
use crate::listing;
use crate::oci::{Digest, Sha256Digest, SifDigest};

/// While somebody converts, a SIF that was used within this time stays: it may just have been made for
/// a job that is not marked yet.
const JUST_USED: Duration = Duration::from_secs(600);

/// What is to go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// What was not used for this long.
    pub older_than: Option<Duration>,
    /// The least recently used, until unpacked images, blobs, indexes and SIFs have this many bytes.
    pub max_size: Option<u64>,
    /// Only say it.
    pub dry_run: bool,
    /// Delete what is in the trash whatever its age.
    pub empty_trash: bool,
    /// This SIF stays: it was just asked for.
    pub keep: Option<SifDigest>,
}

/// What holds for every pruning.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a SIF stays in the trash: longer than any job runs.
    pub trash_age: Duration,
}

/// What a pruning did, or would do.
#[derive(Clone, Debug, Default)]
pub struct Pruned {
    /// What went.
    pub items: Vec<Item>,
    /// Bytes that are free now.
    pub freed: u64,
    /// Bytes that wait in the trash.
    pub waiting: u64,
    /// Images that stayed because a job needs them.
    pub needed: usize,
    /// Files that stayed because somebody converts right now.
    pub busy: usize,
    /// Bytes of unpacked images, blobs, indexes and SIFs that are left.
    pub left: u64,
}

impl Store {
    /// Removes what is wanted away. `needs` says whether a marked job may still need its image.
    ///
    /// # Errors
    /// When a file cannot be read or removed; what was removed until then is gone.
    pub fn prune(
        &self,
        wanted: Wanted,
        limits: Limits,
        needs: &mut dyn FnMut(&Mark) -> bool,
    ) -> Result<Pruned, StoreError> {
        let found = self.inventory()?;
        let mut done = Pruned { left: found.size(), ..Pruned::default() };
        let mut marked = BTreeSet::new();
        for mark in self.marks()? {
            if !mark.is_void(found.now) && needs(&mark) {
                marked.insert(mark.of);
            } else if !wanted.dry_run {
                remove(&mark.path)?;
            }
        }
        if !wanted.dry_run {
            for path in &found.dangling {
                self.forget(path)?;
            }
        }
        self.take_out(&found, wanted, limits, &mut done)?;
        for item in &found.items {
            let old = wanted.older_than.is_some_and(|age| found.age(item) > age);
            let over = wanted.max_size.is_some_and(|most| done.left > most);
            // with the SIF that it belongs to it may be gone already
            if !(old || over) || done.items.iter().any(|gone| gone.path == item.path) {
                continue;
            }
            match item.what {
                What::Sif(digest) if wanted.keep == Some(digest) => {}
                What::Sif(digest) if marked.contains(&Needed::Sif(digest)) => done.needed += 1,
                What::Archive(manifest) if marked.contains(&Needed::Archive(manifest)) => {
                    done.needed += 1;
                }
                What::Sif(_) | What::Archive(_)
                    if !found.busy.is_empty() && found.age(item) < JUST_USED =>
                {
                    done.busy += 1;
                }
                What::Sif(_) => self.discard(item, &found, wanted, needs, &mut done)?,
                What::Archive(manifest) => {
                    let needed = !wanted.dry_run
                        && !self.remove_archive(item, manifest, found.now, needs)?;
                    if needed {
                        done.needed += 1;
                        continue;
                    }
                    done.freed += item.size;
                    done.left -= item.size;
                    done.items.push(item.clone());
                }
                What::Tree(_) => {
                    // of another machine, or where there are no locks, nobody knows who runs from it
                    let unknown = is_elsewhere(&item.path) && found.age(item) <= limits.trash_age;
                    let kept = || !wanted.dry_run && !remove_unheld(&item.path).unwrap_or(false);
                    if unknown || kept() {
                        done.needed += 1;
                        continue;
                    }
                    done.freed += item.size;
                    done.left -= item.size;
                    done.items.push(item.clone());
                }
                What::Blob(_) | What::Index if !found.busy.is_empty() => done.busy += 1,
                What::Blob(_) | What::Index => {
                    if !wanted.dry_run {
                        remove(&item.path)?;
                    }
                    done.freed += item.size;
                    done.left -= item.size;
                    done.items.push(item.clone());
                }
            }
        }
        Ok(done)
    }

    /// Moves a SIF into the trash, with what belongs to it.
    fn discard(
        &self,
        item: &Item,
        found: &Inventory,
        wanted: Wanted,
        needs: &mut dyn FnMut(&Mark) -> bool,
        done: &mut Pruned,
    ) -> Result<(), StoreError> {
        let What::Sif(digest) = item.what else { return Ok(()) };
        let trashed = self.trash_path(&item.path);
        if !wanted.dry_run {
            // from now on its age is that of its stay in the trash
            clock::touch_path(&item.path).map_err(StoreError::io("cannot touch", &item.path))?;
            rename(&item.path, &trashed).map_err(StoreError::io("cannot move", &item.path))?;
            if self.is_needed(Needed::Sif(digest), found.now, needs)? {
                let back = rename(&trashed, &item.path);
                back.map_err(StoreError::io("cannot move back", &item.path))?;
                done.needed += 1;
                return Ok(());
            }
            for path in &item.mappings {
                self.forget(path)?;
            }
        }
        let hex = digest.hex();
        let belongs = |other: &&Item| {
            other.what == What::Index && other.path.to_string_lossy().contains(&*hex)
        };
        for index in found.items.iter().filter(belongs) {
            if done.items.iter().any(|gone| gone.path == index.path) {
                continue;
            }
            if !wanted.dry_run {
                remove(&index.path)?;
            }
            done.freed += index.size;
            done.left -= index.size;
            done.items.push(index.clone());
        }
        if wanted.empty_trash {
            if !wanted.dry_run {
                remove(&trashed)?;
            }
            done.freed += item.size;
        } else {
            done.waiting += item.size;
        }
        done.left -= item.size;
        done.items.push(item.clone());
        Ok(())
    }

    /// Whether a job needs an image that was taken away from its place just now.
    fn is_needed(
        &self,
        image: Needed,
        now: SystemTime,
        needs: &mut dyn FnMut(&Mark) -> bool,
    ) -> Result<bool, StoreError> {
        let marks = self.marks()?;
        let mut its = marks.iter().filter(|mark| mark.of == image);
        Ok(its.any(|mark| !mark.is_void(now) && needs(mark)))
    }

    /// Removes an archive, unless a job that needs it was marked meanwhile; says whether it did.
    fn remove_archive(
        &self,
        item: &Item,
        manifest: Digest,
        now: SystemTime,
        needs: &mut dyn FnMut(&Mark) -> bool,
    ) -> Result<bool, StoreError> {
        let trashed = self.trash_path(&item.path);
        rename(&item.path, &trashed).map_err(StoreError::io("cannot move", &item.path))?;
        if self.is_needed(Needed::Archive(manifest), now, needs)? {
            let back = rename(&trashed, &item.path);
            back.map_err(StoreError::io("cannot move back", &item.path))?;
            return Ok(false);
        }
        remove(&trashed)?;
        Ok(true)
    }

    /// Removes a mapping unless its SIF was made again meanwhile.
    fn forget(&self, path: &Path) -> Result<(), StoreError> {
        let sif = match super::pins::Mapping::read(path) {
            Ok(Some(mapping)) => mapping.sif,
            // gone, or something that `verify` speaks of
            Ok(None) | Err(StoreError::Mapping { .. } | StoreError::Foreign { .. }) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if self.sif_path(&sif).exists() { Ok(()) } else { remove(path) }
    }

    /// Deletes what has been in the trash for long enough.
    fn take_out(
        &self,
        found: &Inventory,
        wanted: Wanted,
        limits: Limits,
        done: &mut Pruned,
    ) -> Result<(), StoreError> {
        for path in list(&self.root.join("trash"))? {
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            let since = meta.modified().unwrap_or(found.now);
            if wanted.empty_trash || clock::age(found.now, since) > limits.trash_age {
                if !wanted.dry_run {
                    remove(&path)?;
                }
                done.freed += meta.len();
            } else {
                done.waiting += meta.len();
            }
        }
        Ok(())
    }

    /// Where a file goes in the trash.
    pub(super) fn trash_path(&self, path: &Path) -> PathBuf {
        self.root.join("trash").join(path.file_name().unwrap_or_default())
    }
}

/// Removes a file, or whatever it is; one that is gone already is no error.
fn remove(path: &Path) -> Result<(), StoreError> {
    match listing::remove_tree(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("cannot remove", path)(e))
        }
        _ => Ok(()),
    }
}
