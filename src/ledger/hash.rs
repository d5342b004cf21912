//! A SHA-256 of something of the ledger's own: a line, a payload, a plan. Never an OCI digest.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::oci::{Digest, Sha256Digest};

/// Prints as `sha256:` and 64 hex characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordHash(Digest);

impl RecordHash {
    /// The hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Digest::of(bytes))
    }

    /// The 32 bytes.
    pub(super) fn bytes(&self) -> &[u8; 32] {
        self.0.bytes()
    }

    /// The hash that these bytes are.
    pub(super) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Digest::from_bytes(bytes))
    }

    /// The first 16 hex characters, for file names.
    pub(super) fn short(&self) -> String {
        self.0.hex()[..16].to_owned()
    }
}

impl fmt::Display for RecordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
