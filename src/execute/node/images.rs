//! Where a node's SIFs are, and how a job keeps one for as long as it runs.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::execute::scratch::{self, Scratch};
use crate::execute::{ExecuteError, rootfs};
use crate::files::ForeignFile;
use crate::oci::{Sha256Digest, SifDigest};
use crate::pin::Image;
use crate::store::Store;
use crate::worker::Plan;

/// The store's name.
pub(super) const IMAGES: &str = "images";
/// Who copies which SIF.
pub(super) const COPYING: &str = "copying";
/// When which SIF was used last.
pub(super) const USED: &str = "used";

/// The SIFs of a node.
pub(in crate::execute) struct Images {
    pub(super) store: Store,
    /// The directory of this user on the node, which is tidied; `None` where the job has its own alone.
    pub(super) shared: Option<PathBuf>,
    /// Why it is the job's own.
    pub(in crate::execute) note: Option<String>,
    _own: Option<Scratch>,
}

impl Images {
    /// Opens the node's, or makes one for this job alone where none can be shared.
    ///
    /// # Errors
    /// When not even that can be made.
    pub(in crate::execute) fn of(plan: &Plan) -> Result<Self, ExecuteError> {
        let shared = rootfs::shared_directory(&scratch::cache_base(plan));
        let opened = shared.and_then(|dir| {
            let store = Store::open(&dir.join(IMAGES)).map_err(|error| error.to_string())?;
            Ok((dir, store))
        });
        match opened {
            Ok((dir, store)) => Ok(Self { store, shared: Some(dir), note: None, _own: None }),
            Err(why) => {
                let own = Scratch::make(scratch::JOB, false)?;
                let store = Store::open(&own.path().join(IMAGES));
                let store = store.map_err(|error| {
                    ExecuteError::io("making a place for the image")(io::Error::other(error))
                })?;
                let note = format!("the image is not kept on this node for other jobs: {why}");
                Ok(Self { store, shared: None, note: Some(note), _own: Some(own) })
            }
        }
    }

    /// The SIF of a job's image, when it is there. One whose bytes changed since it was stored is put away.
    pub(super) fn find(&self, image: &Image) -> Option<PathBuf> {
        let Image::Sif { pin, digest, recipe, .. } = image else { return None };
        match (pin, recipe) {
            (Some(pin), Some(recipe)) => {
                let found = self.store.sif(&pin.manifest, recipe).ok().flatten();
                found.filter(|sif| sif.digest == *digest).map(|sif| sif.path)
            }
            _ => self.store.fetched_sif(digest),
        }
    }

    /// A directory of the store for what is no SIF.
    pub(super) fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let dir = self.store.root().join(name);
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(dir),
        }
    }

    /// Keeps a SIF from being tidied away while this lives; `None` when it has just gone.
    pub(in crate::execute) fn in_use(&self, path: &Path, digest: SifDigest) -> Option<InUse> {
        let held = InUse::of(path)?;
        if let Ok(dir) = self.directory(USED) {
            // only the order in which SIFs go follows from it
            let _ = marker(&dir.join(digest.hex()))
                .and_then(|file| file.set_modified(std::time::SystemTime::now()));
        }
        Some(held)
    }
}

/// An empty file, made where there is none. Another job could have put a link there: it is neither followed nor
/// emptied.
pub(super) fn marker(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
}

/// A SIF that is in use: a shared lock of its file, which ends with this process, however that ends.
#[derive(Debug)]
pub(in crate::execute) struct InUse(#[expect(dead_code, reason = "it holds the lock")] File);

impl InUse {
    fn of(path: &Path) -> Option<Self> {
        let opened = ForeignFile::own(u64::MAX).open(path).ok()?;
        let (meta, file) = (opened.meta().clone(), opened.into_file());
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => return None,
            // without locks nobody removes it either
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let now = fs::symlink_metadata(path).ok()?;
        ((meta.dev(), meta.ino()) == (now.dev(), now.ino())).then_some(Self(file))
    }
}

/// Removes a SIF that nobody uses.
///
/// # Errors
/// When it is in use, or cannot be removed.
pub(super) fn remove_unused(path: &Path) -> io::Result<()> {
    let file = ForeignFile::own(u64::MAX).open(path)?.into_file();
    file.try_lock().map_err(io::Error::from)?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_leads_nowhere_and_empties_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (mark, other) = (dir.path().join("mark"), dir.path().join("other"));
        marker(&mark).unwrap();
        fs::write(&mark, "x").unwrap();
        marker(&mark).unwrap();
        assert_eq!(fs::read(&mark).unwrap(), b"x");
        std::os::unix::fs::symlink(&mark, &other).unwrap();
        marker(&other).unwrap_err();
        marker(dir.path()).unwrap_err();
    }

    #[test]
    fn a_sif_in_use_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sif");
        fs::write(&path, "SIF").unwrap();
        let (one, other) = (InUse::of(&path).unwrap(), InUse::of(&path).unwrap());
        drop(one);
        assert!(remove_unused(&path).is_err() && path.exists());
        drop(other);
        remove_unused(&path).unwrap();
        assert!(InUse::of(&path).is_none());
    }
}
