//! An image that a job can be made from: which one it is. Where its file lies and how it gets to a worker is
//! [`Delivery`](crate::job::Delivery).

use serde::{Deserialize, Serialize};

use super::{Pin, Recipe};
use crate::oci::{Digest, SifDigest, TreeRoot};

/// An image that a job can be made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Image {
    /// By manifest digest, for runtimes that take an OCI image; no SIF is made of it.
    Oci {
        /// Which.
        pin: Pin,
    },
    /// A SIF.
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
        /// The root of its hash tree, where it has one that was made or checked here: whoever serves the file to a
        /// program can check each block by it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tree: Option<TreeRoot>,
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

    /// The root of the SIF's hash tree, where it is known.
    #[must_use]
    pub fn tree(&self) -> Option<TreeRoot> {
        match self {
            Self::Sif { tree, .. } => *tree,
            Self::Oci { .. } | Self::Other { .. } => None,
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
