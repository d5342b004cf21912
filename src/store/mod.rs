//! The own store: verified blobs and converted SIFs of one user, by digest.
//!
//! ```text
//! STORE/                     0700, owned by the user
//!   version                  "1"
//!   blobs/sha256/HEX         0444, a registry's blobs; the name is the digest of the bytes
//!   sifs/sha256/HEX.sif      0444, SIFs, converted or fetched; the name is the digest of the bytes
//!   pins/HEX/RECIPE.json     which SIF a manifest digest gave under a recipe (pins.rs)
//!   packs/RECIPE/HEX         where blocks lie in a SIF (packs.rs)
//!   layers/RECIPE/HEX        what is in a layer (packs.rs)
//!   leases/                  who is making what right now (lease.rs)
//!   marks/HEX-JOB.json       jobs that need the SIF of this digest (marks.rs)
//!   trash/                   pruned SIFs until no job can be using them any more (prune.rs)
//!   node/                    0700, images that this machine unpacked (written by `execute`)
//!   hosts/                   locks of requests that are on their way, and HEX.realm: which token realm
//!                            a registry named last (written by `registry`, where there is no
//!                            runtime directory)
//!   tags/HEX                 which digest a tag named last (written by `cli`)
//!   tmp/                     files being written; those of dead processes are removed (sweep.rs)
//! ```
//!
//! Directories that are not named here hold indexes: other parts of Moorline, or a newer one, put
//! there what they can make again, and it may be removed at any time.
//!
//! A file gets its name only after its bytes were hashed: written in `tmp/`, synced, renamed, and
//! the directory synced. Not promised: that a file is still unchanged later; whoever runs a SIF
//! measures it.

mod clock;
mod held;
mod incoming;
mod inventory;
mod lease;
mod marks;
mod packs;
mod pins;
mod process;
mod prune;
mod room;
mod safe;
mod site;
mod sound;
mod sweep;
mod turn;
mod verify;
mod witness;
mod writeback;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::failure::{Failure, Kind, io_kind};
use crate::files::ForeignFile;
use crate::oci::{Digest, Sha256Digest, SifDigest};

pub use held::{Held, is_elsewhere, machine, remove_unheld};
pub use incoming::Incoming;
pub use inventory::{Inventory, Item, What};
pub use lease::{Holder, Lease, Timing};
pub use marks::Mark;
pub use packs::StoredPack;
pub use pins::StoredSif;
pub use process::Process;
pub use prune::{Limits, Pruned, Wanted};
pub use room::{Of, Question, Room};
pub use site::SiteStore;
pub use sweep::{temporary_beside, temporary_directory};
pub use turn::Turn;
pub use verify::{Checked, Fault};
pub use witness::Witness;
pub use writeback::Writeback;

/// What went wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file could not be read or written.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was done: `cannot write`, ...
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory belongs to somebody else, or others may write into it.
    #[error("the store {} is not safe: {why}", path.display())]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// Who else could write.
        why: String,
    },
    /// A file in the store that this user's Moorline did not put there, or that others may write.
    #[error("the store refuses {}: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The store was written by a newer program.
    #[error("the store {} has version {found:?}; this moorline writes version 1", path.display())]
    Version {
        /// The directory.
        path: PathBuf,
        /// What stands there.
        found: String,
    },
    /// The bytes are not what their name says.
    #[error("expected {expected} ({size} bytes), got {got} ({length} bytes)")]
    Mismatch {
        /// The digest asked for.
        expected: Digest,
        /// The length asked for.
        size: u64,
        /// The digest of what came.
        got: Digest,
        /// The length of what came.
        length: u64,
    },
    /// A mapping is malformed.
    #[error("{} is malformed: {source}", path.display())]
    Mapping {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl StoreError {
    fn io<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io {
            doing,
            path: path.to_owned(),
            source: crate::files::explained(path, source),
        }
    }
}

impl Failure for StoreError {
    fn kind(&self) -> Kind {
        match self {
            Self::Io { source, .. } => io_kind(source, Kind::Configuration),
            Self::Mismatch { .. } | Self::Foreign { .. } => Kind::Integrity,
            Self::Unsafe { .. } | Self::Version { .. } | Self::Mapping { .. } => {
                Kind::Configuration
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { doing, .. }
                if self.kind() == Kind::NoSpace && *doing == site::PUBLISHING =>
            {
                Some("free space in the site's store".into())
            }
            Self::Io { .. } if self.kind() == Kind::NoSpace => Some(
                "moorline cache prune makes room there; or set MOORLINE_CACHE to a directory on a \
                 larger disk"
                    .into(),
            ),
            Self::Io { .. } | Self::Unsafe { .. } => {
                Some("set MOORLINE_CACHE to a directory that only you can write".into())
            }
            Self::Mapping { path, .. } => {
                Some(format!("remove {}: it is made again by the next convert", path.display()))
            }
            Self::Foreign { path, .. } => {
                Some(format!("find out who made it, then remove {}", path.display()))
            }
            Self::Version { .. } => Some("set MOORLINE_CACHE to another directory".into()),
            Self::Mismatch { .. } => None,
        }
    }
}

/// The directories of a store, in the order in which they are made.
const DIRS: [&str; 9] =
    ["blobs", "blobs/sha256", "sifs", "sifs/sha256", "pins", "leases", "marks", "trash", "tmp"];

/// A user's own store.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    timing: Timing,
    /// What is to be said of it.
    told: Arc<Mutex<Vec<String>>>,
    /// Who knows what this user made; `None` believes the store.
    witness: Option<Arc<dyn Witness>>,
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

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    fn sif_path(&self, digest: &SifDigest) -> PathBuf {
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
