//! What can be wrong with a hash tree.

use std::io;

use crate::failure::{Failure, Kind, io_kind};
use crate::oci::TreeRoot;
use crate::sif::SifError;

/// A SIF cannot be checked by its hash tree, or is not what the tree says.
#[derive(Debug, thiserror::Error)]
pub enum HashTreeError {
    /// It has no tree.
    #[error("the SIF has no hash tree")]
    Absent,
    /// Its tree is another than the one that was pinned.
    #[error("the SIF's hash tree has the root {found}, expected {expected}")]
    Root {
        /// Of the tree that is there.
        found: TreeRoot,
        /// Of the one that was pinned.
        expected: TreeRoot,
    },
    /// A form that this program does not know; the root is right.
    #[error(
        "the SIF's hash tree has version {version} and blocks of {block} bytes, which this program cannot use"
    )]
    Version {
        /// Its version.
        version: u32,
        /// Bytes of its blocks.
        block: u32,
    },
    /// What lies in front of the file system was changed, or the parts lie elsewhere.
    #[error("the SIF is not what its hash tree says: {0}")]
    Changed(&'static str),
    /// The file cannot be read.
    #[error("the SIF's {what} could not be read: {source}")]
    Io {
        /// Which part.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It is no SIF that can be run.
    #[error(transparent)]
    Sif(#[from] SifError),
}

impl HashTreeError {
    pub(super) fn reading(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            // a file of the pinned length has these bytes
            io::ErrorKind::UnexpectedEof => Self::Changed("it is cut"),
            _ => Self::Io { what, source },
        }
    }
}

impl Failure for HashTreeError {
    fn kind(&self) -> Kind {
        match self {
            Self::Io { source, .. } => io_kind(source, Kind::Integrity),
            Self::Absent => Kind::NotFound,
            Self::Sif(source) => source.kind(),
            _ => Kind::Integrity,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Root { .. } | Self::Changed(_) => {
                Some("the file was changed: convert the image again".into())
            }
            Self::Version { .. } => Some("use a newer moorline on the workers".into()),
            Self::Sif(source) => source.hint(),
            _ => None,
        }
    }
}
