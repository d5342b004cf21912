//! The own store: verified blobs and converted SIFs of one user, by digest.
//!
//! ```text
//! STORE/                     0700, owned by the user
//!   version                  "1"
//!   blobs/sha256/HEX         0444, a registry's blobs; the name is the digest of the bytes
//!   sifs/sha256/HEX.sif      0444, converted images; the name is the digest of the bytes
//!   pins/HEX/RECIPE.json     which SIF a manifest digest gave under a recipe (pins.rs)
//!   packs/RECIPE/HEX         where blocks lie in a SIF (packs.rs)
//!   layers/RECIPE/HEX        what is in a layer (packs.rs)
//!   node/                    0700, images that this machine unpacked (written by `execute`)
//!   tmp/                     files being written; removed after a day
//! ```
//!
//! A file gets its name only after its bytes were hashed: written in `tmp/`, synced, renamed, and
//! the directory synced. Not promised: that a file is still unchanged later; whoever runs a SIF
//! measures it.

mod incoming;
mod packs;
mod pins;

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::failure::{Failure, Kind, io_kind};
use crate::oci::{Digest, Sha256Digest, SifDigest};

pub use incoming::Incoming;
pub use packs::StoredPack;
pub use pins::StoredSif;

/// How long a file may stay in `tmp/`: longer than any conversion takes.
const TMP_AGE: Duration = Duration::from_secs(24 * 3600);

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
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }
}

impl Failure for StoreError {
    fn kind(&self) -> Kind {
        match self {
            Self::Io { source, .. } => io_kind(source, Kind::Configuration),
            Self::Mismatch { .. } => Kind::Integrity,
            Self::Unsafe { .. } | Self::Version { .. } | Self::Mapping { .. } => {
                Kind::Configuration
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } if self.kind() == Kind::NoSpace => Some(
                "free space there, or set MOORLINE_CACHE to a directory on a larger disk".into(),
            ),
            Self::Io { .. } | Self::Unsafe { .. } => {
                Some("set MOORLINE_CACHE to a directory that only you can write".into())
            }
            Self::Mapping { path, .. } => {
                Some(format!("remove {}: it is made again by the next convert", path.display()))
            }
            Self::Version { .. } => Some("set MOORLINE_CACHE to another directory".into()),
            Self::Mismatch { .. } => None,
        }
    }
}

/// A user's own store.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store and makes what is missing, 0700.
    ///
    /// # Errors
    /// When a directory cannot be made, belongs to another user, can be written by others, or was
    /// laid out by a newer version.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self { root: root.to_owned() };
        private_dir(root)?;
        for name in ["blobs/sha256", "sifs/sha256", "pins", "node", "tmp"] {
            let path = root.join(name);
            if let Some(parent) = path.parent().filter(|p| *p != root) {
                private_dir(parent)?;
            }
            private_dir(&path)?;
        }
        let version = root.join("version");
        match fs::read_to_string(&version) {
            Ok(text) if text.trim() == "1" => {}
            Ok(found) => {
                return Err(StoreError::Version {
                    path: root.to_owned(),
                    found: found.trim().into(),
                });
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

    /// A blob's file when it is there; it was verified when it was stored.
    pub fn blob(&self, digest: &Digest) -> Option<PathBuf> {
        let path = self.blob_path(digest);
        path.is_file().then_some(path)
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
        incoming.publish(&path)?;
        Ok(path)
    }

    /// Removes leftovers of killed processes; what cannot be removed is left for the next time.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.root.join("tmp")) else { return };
        for entry in entries.flatten() {
            let old = entry
                .metadata()
                .and_then(|m| m.modified())
                .is_ok_and(|t| SystemTime::now().duration_since(t).is_ok_and(|age| age > TMP_AGE));
            if old {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Makes `path` (0700, with its parents), or checks that what is there is a directory of this
/// user that nobody else can write.
fn private_dir(path: &Path) -> Result<(), StoreError> {
    match fs::symlink_metadata(path) {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(StoreError::io("cannot make", parent))?;
            }
            match fs::DirBuilder::new().mode(0o700).create(path) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(StoreError::io("cannot make", path)(e)),
            }
        }
        Err(e) => return Err(StoreError::io("cannot look at", path)(e)),
    }
    let found = fs::metadata(path).map_err(StoreError::io("cannot look at", path))?;
    let unsafe_because = |why: String| Err(StoreError::Unsafe { path: path.to_owned(), why });
    if !found.is_dir() {
        return unsafe_because("it is not a directory".into());
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return unsafe_because(format!("it belongs to uid {}", found.uid()));
    }
    if found.mode() & 0o022 != 0 {
        return unsafe_because(format!(
            "others may write into it (mode {:o})",
            found.mode() & 0o7777
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_blob_gets_its_name_only_when_it_is_right() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let right = Digest::of(b"layer");

        let mut wrong = store.incoming().unwrap();
        wrong.write(b"other").unwrap();
        let error = store.publish_blob(wrong, &right, 5).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity);
        assert_eq!(store.blob(&right), None);
        assert_eq!(fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);

        let mut good = store.incoming().unwrap();
        good.write(b"layer").unwrap();
        let path = store.publish_blob(good, &right, 5).unwrap();
        assert_eq!(store.blob(&right), Some(path.clone()));
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o444);
    }

    #[test]
    fn a_store_that_others_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("store");
        Store::open(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(Store::open(&root), Err(StoreError::Unsafe { .. })));
    }

    #[test]
    fn a_newer_store_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("store");
        Store::open(&root).unwrap();
        fs::set_permissions(root.join("version"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(root.join("version"), "7\n").unwrap();
        assert!(matches!(Store::open(&root), Err(StoreError::Version { .. })));
    }
}
