//! A SIF in a registry, as its artifact describes it.

use crate::oci::{Descriptor, Digest, Sha256Digest, SifDigest, TreeRoot};
use crate::sign::PublicKey;

/// A SIF in a registry, as its artifact describes it; of the SIF itself nothing was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The artifact's manifest.
    pub artifact: Digest,
    /// The SIF.
    pub sif: Descriptor,
    /// Which of the trusted keys signed it, or why it is not used.
    pub signed_by: Result<PublicKey, String>,
    /// The root of its hash tree, as that key signed it; an older signature has none.
    pub tree: Option<TreeRoot>,
}

impl Published {
    /// The SIF's digest, if it is what is there.
    #[must_use]
    pub fn digest(&self) -> SifDigest {
        SifDigest::from_bytes(*self.sif.digest.bytes())
    }
}
