//! What can be wrong with a layer.

use std::io;

use super::limits::{self, Passed};
use crate::failure::{Failure, Kind, io_kind};
use crate::oci::DiffId;
use crate::oci::media_type::{self, LayerType};
use crate::tree::PathError;

/// A layer could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A media type that is no readable layer.
    #[error("a layer with the media type {0:?} cannot be read")]
    MediaType(String),
    /// The blob cannot be read or is not what its media type says.
    #[error("the layer cannot be read: {0}")]
    Io(#[source] io::Error),
    /// The tar is malformed.
    #[error("the layer's tar entry {entry:?} is malformed: {why}")]
    Malformed {
        /// The entry's name, or where it is.
        entry: String,
        /// What is wrong.
        why: String,
    },
    /// Something that programs read in different ways.
    #[error("the layer's tar entry {entry:?} is refused: {why}")]
    Refused {
        /// The entry's name.
        entry: String,
        /// What would be read in two ways.
        why: String,
    },
    /// A path that cannot be used.
    #[error("the layer's tar entry {entry:?} has a path that is refused: {source}")]
    Path {
        /// The entry's name.
        entry: String,
        /// Why.
        source: PathError,
    },
    /// A hard link that leads nowhere.
    #[error("the layer's tar entry {entry:?} is a hard link to {target:?}, {why}")]
    HardLink {
        /// The entry's name.
        entry: String,
        /// Its target.
        target: String,
        /// Why.
        why: &'static str,
    },
    /// A bound was passed.
    #[error("the layer's tar entry {entry:?} needs more than the limit {limit} of {value} allows")]
    Limit {
        /// Where.
        entry: String,
        /// The limit's name.
        limit: &'static str,
        /// Its value.
        value: u64,
    },
    /// The uncompressed bytes are not those that the configuration names.
    #[error(
        "the layer's uncompressed bytes have the digest {found}, its configuration says {expected}"
    )]
    DiffId {
        /// What the configuration says.
        expected: DiffId,
        /// What was read.
        found: DiffId,
    },
}

impl LayerError {
    pub(super) fn malformed(entry: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Malformed { entry: entry.into(), why: why.into() }
    }

    pub(super) fn refused(entry: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Refused { entry: entry.into(), why: why.into() }
    }

    pub(super) fn limit(entry: impl Into<String>, passed: &Passed) -> Self {
        Self::Limit { entry: entry.into(), limit: passed.name, value: passed.limit }
    }

    /// Gives a limit that was passed below a reader its own variant.
    pub(super) fn reading(entry: impl Into<String>, error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Passed>()) {
            Some(passed) => Self::limit(entry, passed),
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::malformed(entry, "the archive ends in the middle of it")
            }
            None => Self::Io(error),
        }
    }
}

impl Failure for LayerError {
    fn kind(&self) -> Kind {
        match self {
            Self::Io(error) => io_kind(error, Kind::Conversion),
            Self::DiffId { .. } => Kind::Integrity,
            _ => Kind::Conversion,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::MediaType(kind) => match media_type::layer_type(kind) {
                LayerType::Encrypted => {
                    Some("decrypt the image first: encrypted layers are not supported".into())
                }
                LayerType::Foreign => {
                    Some("foreign layers are not fetched: build the image without them".into())
                }
                LayerType::Other | LayerType::Tar => {
                    Some("it is an artifact of another kind: name a container image".into())
                }
            },
            Self::Limit { limit, .. } => Some(limits::hint(limit)),
            Self::Path { source: PathError::TooDeep(_), .. } => Some(limits::hint("path depth")),
            Self::DiffId { .. } => {
                Some("the image was built or pushed wrongly: push it again".into())
            }
            _ => None,
        }
    }
}
