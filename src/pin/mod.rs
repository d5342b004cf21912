//! The pin: an image reference that was resolved to digests and can no longer move.
//!
//! Floor 1. A job can be made only from an [`Image`], an image only from a [`Pin`] or a measured
//! SIF; neither has a form that holds only a tag.

mod built;
mod recipe;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::oci::{ConfigDigest, Digest, Platform, Reference, Registry, Repository, SifDigest};
pub use crate::pin::built::Built;
pub use crate::pin::recipe::{Codec, Recipe};

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

/// Where an image came from, as far as it is known. Filled by the GitLab room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// `group/project`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Branch or tag.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// The pipeline's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<u64>,
    /// The pipeline's job that was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// How each of these was established, and `image` itself: `api`, `convention`, `label`,
    /// `annotation`, `ci-environment`, `digest-file`; several that agree are separated by commas.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, String>,
}

/// What a registry said of an image at the moment of resolving, beside the pin itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The pin.
    #[serde(flatten)]
    pub pin: Pin,
    /// Compressed size in bytes: configuration and layers.
    pub size: u64,
    /// When the image says it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Its labels; foreign text.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What its manifest, else the index above it, says of commit and project; foreign text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Whether the typed tag points to this image now; `None` when no tag was typed.
    pub tag_points_here: Option<bool>,
}

/// An image that a job can be made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Image {
    /// By manifest digest, pulled or loaded by the runtime.
    Oci {
        /// Which.
        pin: Pin,
    },
    /// A SIF file.
    Sif {
        /// What it was converted from, or, without a recipe, the artifact that it was fetched as;
        /// `None` for a file that the user gave.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pin: Option<Pin>,
        /// The manifest that it was converted from, where no pin says it: of an image in a file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        manifest: Option<Digest>,
        /// The digest of the whole file.
        digest: SifDigest,
        /// How it was converted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recipe: Option<Recipe>,
        /// Where it lies, as workers see it.
        place: PathBuf,
    },
    /// A form that only a newer program knows, with those names of it that this one can read. It can be
    /// shown and found, and not be run.
    #[serde(untagged)]
    Other {
        /// What the newer program calls the form.
        kind: String,
        /// Where it came from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pin: Option<Pin>,
        /// The platform's manifest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        manifest: Option<Digest>,
        /// The digest of a SIF.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<SifDigest>,
    },
}

impl Image {
    /// The pin, where the image came from a registry.
    #[must_use]
    pub fn pin(&self) -> Option<&Pin> {
        match self {
            Self::Oci { pin } => Some(pin),
            Self::Sif { pin, .. } | Self::Other { pin, .. } => pin.as_ref(),
        }
    }

    /// The platform's manifest, where it is known what the image was made from.
    #[must_use]
    pub fn manifest(&self) -> Option<Digest> {
        match self {
            Self::Sif { pin: None, manifest, .. } | Self::Other { pin: None, manifest, .. } => {
                *manifest
            }
            _ => self.pin().map(|pin| pin.manifest),
        }
    }

    /// The SIF, where the image is one.
    #[must_use]
    pub fn sif(&self) -> Option<SifDigest> {
        match self {
            Self::Sif { digest, .. } => Some(*digest),
            Self::Other { digest, .. } => *digest,
            Self::Oci { .. } => None,
        }
    }

    /// What a person calls the image: the pinned reference, else the SIF's digest.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Oci { pin }
            | Self::Sif { pin: Some(pin), .. }
            | Self::Other { pin: Some(pin), .. } => pin.reference().to_string(),
            Self::Sif { digest, .. } | Self::Other { digest: Some(digest), .. } => {
                format!("sif {digest}")
            }
            Self::Other { kind, .. } => format!("an image of kind {kind:?}"),
        }
    }
}
