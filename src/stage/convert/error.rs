//! What can go wrong in a conversion.

use std::io;

use crate::failure::{Failure, Kind as FailureKind, io_kind};
use crate::layer::LayerError;
use crate::oci::Digest;
use crate::sif::SifError;
use crate::squashfs::SquashfsError;
use crate::tree::PathError;

/// An image could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The image's documents do not fit together.
    #[error("the image cannot be converted: {0}")]
    Image(String),
    /// The manifest's bytes are not those of its digest.
    #[error("the manifest's bytes have the digest {found}, expected {expected}")]
    Manifest {
        /// What was asked for.
        expected: Digest,
        /// What was given.
        found: Digest,
    },
    /// A layer's blob cannot be opened.
    #[error("layer {number} ({digest}) cannot be opened: {source}")]
    Open {
        /// From 1, the lowest.
        number: usize,
        /// Its blob.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// A layer is malformed, hostile or not the one that the configuration names.
    #[error("layer {number} ({digest}): {source}")]
    Layer {
        /// From 1, the lowest.
        number: usize,
        /// Its blob.
        digest: Digest,
        /// What is wrong.
        source: LayerError,
    },
    /// A name that is added stands in the image's way.
    #[error("{path} cannot be added to the image: {source}")]
    Addition {
        /// Which.
        path: &'static str,
        /// Why.
        source: PathError,
    },
    /// The file system could not be written.
    #[error(transparent)]
    Squashfs(#[from] SquashfsError),
    /// The SIF could not be written.
    #[error(transparent)]
    Sif(#[from] SifError),
    /// What was kept of a layer is not what is in it. The conversion can be done without it.
    #[error("layer {number} ({digest}) does not fit the index that was kept of it")]
    Index {
        /// From 1, the lowest.
        number: usize,
        /// Its blob.
        digest: Digest,
    },
    /// What was written could not be taken back.
    #[error("cannot start the SIF again: {0}")]
    Again(#[source] io::Error),
    /// The finished SIF could not be read again for its digest.
    #[error("the finished SIF cannot be read: {0}")]
    Digest(#[source] io::Error),
}

impl Failure for ConvertError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Image(_) | Self::Addition { .. } => FailureKind::Conversion,
            Self::Manifest { .. } | Self::Index { .. } => FailureKind::Integrity,
            Self::Open { source, .. } | Self::Again(source) | Self::Digest(source) => {
                io_kind(source, FailureKind::Conversion)
            }
            Self::Layer { source, .. } => source.kind(),
            Self::Squashfs(source) => source.kind(),
            Self::Sif(SifError::Io { source, .. }) => io_kind(source, FailureKind::Conversion),
            Self::Sif(source) => source.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Layer { source, .. } => source.hint(),
            Self::Squashfs(source) => source.hint(),
            Self::Sif(source) => source.hint(),
            _ => None,
        }
    }
}
