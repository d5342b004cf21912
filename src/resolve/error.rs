//! Why a reference has no pin.

use crate::failure::{Failure, Kind};
use crate::oci::{Platform, Reference, walk};
use crate::registry::RegistryError;

/// Why a reference has no pin.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ResolveError {
    /// The registry did not give what was asked.
    #[error("cannot resolve {asked}: {reason}")]
    Registry {
        /// The reference.
        asked: Box<Reference>,
        /// What the registry room says.
        reason: RegistryError,
    },
    /// No image for this platform.
    #[error("{asked} has no image for {platform}; {}", walk::instead(.offered, .passed))]
    Platform {
        /// The reference.
        asked: Box<Reference>,
        /// What was wanted.
        platform: Platform,
        /// What is there.
        offered: Vec<Platform>,
        /// Why what may have been meant was passed by.
        passed: Vec<String>,
    },
    /// An artifact.
    #[error("{asked} is not a container image: {reason}")]
    NotAnImage {
        /// The reference.
        asked: Box<Reference>,
        /// What it is.
        reason: String,
    },
    /// Named as a SIF and something else.
    #[error("{asked} is not a SIF in a registry: {reason}")]
    NotASif {
        /// The reference.
        asked: Box<Reference>,
        /// What it is.
        reason: String,
    },
    /// Index, manifest and configuration do not agree.
    #[error("{asked} contradicts itself: {reason}")]
    Contradiction {
        /// The reference.
        asked: Box<Reference>,
        /// How.
        reason: String,
    },
}

impl Failure for ResolveError {
    fn kind(&self) -> Kind {
        match self {
            Self::Registry { reason, .. } => reason.kind(),
            Self::Platform { .. } => Kind::NotFound,
            Self::NotAnImage { .. } => Kind::Conversion,
            Self::NotASif { .. } => Kind::Usage,
            Self::Contradiction { .. } => Kind::Integrity,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Registry { reason, .. } => reason.hint(),
            Self::Platform { offered, .. } => {
                let first = offered.iter().find(|platform| platform.can_be_asked_for());
                first.map(|platform| format!("choose one with --platform {platform}"))
            }
            Self::NotAnImage { reason, .. } if reason.contains("sylabs.sif") => {
                Some("it is a SIF: write oras:// in front of it".into())
            }
            Self::NotASif { .. } => Some("a container image is named without oras://".into()),
            Self::NotAnImage { .. } | Self::Contradiction { .. } => None,
        }
    }
}

pub(super) fn not_an_image(asked: &Reference, reason: String) -> ResolveError {
    ResolveError::NotAnImage { asked: asked.clone().into(), reason }
}
