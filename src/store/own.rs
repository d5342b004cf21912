//! A user's own store: its directory, blobs and fetched SIFs.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{Incoming, StoreError, Timing, Witness, clock, safe};
use crate::files::ForeignFile;
use crate::oci::{Digest, Sha256Digest, SifDigest};

/// The directories of a store, in the order in which they are made.
pub(super) const DIRS: [&str; 9] =
    ["blobs", "blobs/sha256", "sifs", "sifs/sha256", "pins", "leases", "marks", "trash", "tmp"];

/// A user's own store.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) root: PathBuf,
    pub(super) timing: Timing,
    /// What is to be said of it.
    pub(super) told: Arc<Mutex<Vec<String>>>,
    /// Who knows what this user made; `None` believes the store.
    pub(super) witness: Option<Arc<dyn Witness>>,
}

impl Store {
    /// Opens the store and makes what is missing, 0700.
    ///
    /// # Errors
    /// When a directory cannot be made, belongs to another user, can be written by others, or was
    /// laid out by a newer version.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        Self::open_with(root, Timing::default())
    }

    /// As [`Store::open`], with leases that pass time in another way.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(root: &Path, timing: Timing) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).map_err(StoreError::io("cannot find", root))?;
        safe::private_dir(&root)?;
        let store = Self { root, timing, told: Arc::default(), witness: None };
        for name in DIRS.iter().chain(&["node"]) {
            safe::private_child(&store.root.join(name))?;
        }
        let version = store.root.join("version");
        match ForeignFile::own_or_roots(64).text(&version).map_err(io::Error::from) {
            Ok(text) if text.trim() == "1" => {}
            Ok(found) => {
                return Err(StoreError::Version { path: store.root, found: found.trim().into() });
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let mut incoming = store.incoming()?;
                incoming.write(b"1\n")?;
                incoming.publish(&version)?;
            }
            Err(e) => return Err(StoreError::io("cannot read", &version)(e)),
        }
        store.sweep();
        Ok(store)
    }

    /// The store's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where this machine may unpack images.
    pub fn node_cache(&self) -> PathBuf {
        self.root.join("node")
    }

    /// A new file in `tmp/`, removed when it is dropped before it got a name.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn incoming(&self) -> Result<Incoming, StoreError> {
        Incoming::new(&self.root.join("tmp"))
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    pub(super) fn sif_path(&self, digest: &SifDigest) -> PathBuf {
        self.root.join("sifs/sha256").join(format!("{}.sif", digest.hex()))
    }

    /// A blob's file when it is there; it was verified when it was stored. One that this user did
    /// not store counts as missing; storing it then fails and names it. Notes the use.
    pub fn blob(&self, digest: &Digest) -> Option<PathBuf> {
        let path = self.blob_path(digest);
        safe::file(&path).ok().flatten()?;
        // only the order of pruning follows from it
        let _ = clock::touch_path(&path);
        Some(path)
    }

    /// As [`Store::blob`], opened. What was opened is what was looked at.
    pub fn open_blob(&self, digest: &Digest) -> Option<File> {
        let path = self.blob_path(digest);
        let file = self.open_own(&path)?;
        let _ = clock::touch_path(&path);
        Some(file)
    }

    /// Opens a file of the store for reading, when it is there and this user's own.
    pub fn open_own(&self, path: &Path) -> Option<File> {
        safe::open(path, &[safe::me()]).ok().flatten()
    }

    /// Names a file as the blob that it must be.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] when its bytes have another digest or length; nothing is stored then.
    pub fn publish_blob(
        &self,
        incoming: Incoming,
        expected: &Digest,
        size: u64,
    ) -> Result<PathBuf, StoreError> {
        let (got, length) = incoming.measured();
        if got != *expected || length != size {
            return Err(StoreError::Mismatch { expected: *expected, size, got, length });
        }
        let path = self.blob_path(expected);
        safe::file(&path)?;
        incoming.publish(&path)?;
        Ok(path)
    }

    /// A SIF that was fetched as it is, when it is there. As with [`Store::blob`], one that this user
    /// did not store counts as missing. Its time stays: a worker knows by it what it measured.
    pub fn fetched_sif(&self, digest: &SifDigest) -> Option<PathBuf> {
        let path = self.sif_path(digest);
        safe::file(&path).ok().flatten().map(|_| path)
    }

    /// Names a file as the SIF that it must be; it was made from nothing that is known here. Jobs can
    /// mark it, and `prune` treats it, as one that was converted.
    ///
    /// # Errors
    /// As [`Store::publish_blob`].
    pub fn publish_fetched_sif(
        &self,
        incoming: Incoming,
        expected: &SifDigest,
        size: u64,
    ) -> Result<PathBuf, StoreError> {
        let (got, length) = incoming.measured();
        let digest = Digest::from_bytes(*expected.bytes());
        if got != digest || length != size {
            return Err(StoreError::Mismatch { expected: digest, size, got, length });
        }
        let path = self.sif_path(expected);
        safe::file(&path)?;
        incoming.publish(&path)?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests;
