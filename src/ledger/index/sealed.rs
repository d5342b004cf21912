//! The key of an index's seals. It lies with the ledger, so that whoever can write the index alone cannot seal.

use std::io;
use std::path::Path;

use super::error::IndexError;
use crate::files::{self, ForeignFile};
use crate::oci::{Digest, Sha256Digest};

/// Its name in the ledger's directory; 32 random bytes, 0600.
const NAME: &str = "index.key";

/// See the module.
#[derive(Clone)]
pub(super) struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Reads the key of a ledger, or makes it.
    ///
    /// # Errors
    /// When it is somebody else's, damaged, or cannot be made: a ledger that may only be read has no index on
    /// the disk.
    pub(super) fn of(ledger: &Path) -> Result<Self, IndexError> {
        if let Some(key) = Self::find(ledger)? {
            return Ok(key);
        }
        let path = ledger.join(NAME);
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        match files::create(&path, 0o600, &key) {
            Ok(()) => Ok(Self(key)),
            // another process was quicker
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::of(ledger),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the key of a ledger, if there is one.
    ///
    /// # Errors
    /// When it is somebody else's, or damaged.
    pub(super) fn find(ledger: &Path) -> Result<Option<Self>, IndexError> {
        let path = ledger.join(NAME);
        let Some(opened) = ForeignFile::own(32).find(&path).map_err(io::Error::from)? else {
            return Ok(None);
        };
        let bytes: Result<[u8; 32], _> = opened.bytes().map_err(io::Error::from)?.try_into();
        let bad = |_| IndexError::Place(format!("{} is damaged; remove it", path.display()));
        bytes.map(|key| Some(Self(key))).map_err(bad)
    }

    /// The name of the index's file: another one for a copy of the ledger elsewhere.
    pub(super) fn name(&self, ledger: &Path) -> String {
        let place = std::fs::canonicalize(ledger).unwrap_or_else(|_| ledger.to_owned());
        let bytes = [&self.0[..], place.as_os_str().as_encoded_bytes()].concat();
        Digest::of(&bytes).hex()[..32].to_owned()
    }

    /// The seal of these parts.
    pub(super) fn seal(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut seal = [0; 16];
        hasher.finalize_xof().fill(&mut seal);
        seal
    }
}
