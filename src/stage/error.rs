//! What can go wrong on the way from a pin to an image.

use std::io;
use std::path::PathBuf;

use super::convert::ConvertError;
use crate::archive::ArchiveError;
use crate::failure::{Failure, Kind, io_kind};
use crate::oci::Digest;
use crate::registry::RegistryError;
use crate::store::StoreError;

/// What went wrong on the way from a pin to an image.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A layer of an archive is not what its manifest says, or cannot be read.
    #[error("a layer of {archive} is corrupt: {source}")]
    Layer {
        /// As it was typed.
        archive: String,
        /// The difference.
        source: StoreError,
    },
    /// The conversion.
    #[error("cannot convert {image}: {source}")]
    Convert {
        /// The pinned reference.
        image: String,
        /// Why.
        source: ConvertError,
    },
    /// A SIF in a registry that cannot be used.
    #[error("{image} is not a SIF that can be used here: {why}")]
    Artifact {
        /// The pinned reference.
        image: String,
        /// Why.
        why: String,
    },
    /// A hub's file is not the one that was pinned.
    #[error("{image} is another file now: its bytes have the digest {got}, not {expected}")]
    OtherFile {
        /// As it was named.
        image: String,
        /// What it must be.
        expected: Digest,
        /// What came.
        got: Digest,
    },
    /// A SIF file that the user named.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A SIF file that is none.
    #[error("{} is not a SIF file: {why}", path.display())]
    NotSif {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// What helps when the store's disk is full.
const STORE_IS_FULL: &str = "moorline cache prune --older-than 7d --empty-trash makes room in the store \
                             and leaves what jobs need; or set MOORLINE_CACHE to a directory on a larger disk";

impl Failure for StageError {
    fn kind(&self) -> Kind {
        match self {
            Self::Registry(error) => error.kind(),
            Self::Store(error) | Self::Layer { source: error, .. } => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Convert { source, .. } => source.kind(),
            Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Self::File { source, .. } => io_kind(source, Kind::Usage),
            Self::NotSif { .. } | Self::Artifact { .. } => Kind::Usage,
            Self::OtherFile { .. } => Kind::Integrity,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            // what comes from a registry goes into the store
            Self::Registry(error) if error.kind() == Kind::NoSpace => Some(STORE_IS_FULL.into()),
            Self::Registry(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Archive(error) => error.hint(),
            Self::Layer { .. } => Some("nothing of it is kept; make the archive again".into()),
            // whatever step met it: a conversion writes into the store
            Self::Convert { source, .. } if source.kind() == Kind::NoSpace => {
                Some(STORE_IS_FULL.into())
            }
            Self::Convert { source, .. } => source.hint(),
            Self::OtherFile { .. } => {
                Some("nothing of it is kept; ask whoever keeps the hub's images".into())
            }
            Self::NotSif { .. } => Some(
                "moorline convert IMAGE -o FILE.sif makes one; file(1) says what this one is"
                    .into(),
            ),
            Self::File { .. } | Self::Artifact { .. } => None,
        }
    }
}
