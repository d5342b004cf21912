//! The pin itself.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Origin;
use crate::oci::{ConfigDigest, Digest, Platform, Reference, Registry, Repository};

/// An image, by digest, for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Where it is.
    pub registry: Registry,
    /// Its repository there.
    pub repository: Repository,
    /// The index that was asked, when the tag names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<Digest>,
    /// The platform's manifest: this is what runs.
    pub manifest: Digest,
    /// The manifest's configuration (docker's image id, CVMFS' directory name).
    pub config: ConfigDigest,
    /// The platform.
    pub platform: Platform,
    /// What the user typed, with the defaults filled in.
    pub asked: Reference,
    /// When the registry answered, or the store, which was asked for this very digest.
    pub resolved_at: jiff::Timestamp,
    /// What GitLab says of where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl Pin {
    /// The pinned reference `registry/repository@sha256:...`.
    #[must_use]
    pub fn reference(&self) -> PinnedReference<'_> {
        PinnedReference(self)
    }
}

/// Prints as `registry/repository@sha256:...`: no tag, nothing that can move.
pub struct PinnedReference<'a>(&'a Pin);

impl fmt::Display for PinnedReference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.0.registry, self.0.repository, self.0.manifest)
    }
}
