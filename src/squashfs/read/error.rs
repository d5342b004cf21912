//! What keeps a squashfs from being read.

use std::io;

use crate::failure::{Failure, Kind, io_kind};

/// A file system could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes cannot be read.
    #[error("the squashfs' {what} could not be read: {source}")]
    Io {
        /// Which part.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The magic is missing.
    #[error("it is not a squashfs: its first bytes are not hsqs")]
    NotSquashfs,
    /// A version that is not read.
    #[error("the squashfs has version {0}.{1}, only 4.0 is read")]
    Version(u16, u16),
    /// A compressor that is not read.
    #[error("the squashfs is compressed with {0}; gzip, lz4 and zstd are read")]
    Compressor(String),
    /// Something in it that cannot be.
    #[error("the squashfs is damaged: {what}: {why}")]
    Damaged {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A name that is none, or that comes twice.
    #[error("the name {name:?} is refused: {why}")]
    Name {
        /// The name, escaped.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// It is larger than what is read.
    #[error("the squashfs has more than the limit {name} of {limit} allows")]
    Limit {
        /// The limit's name.
        name: &'static str,
        /// Its value.
        limit: u64,
    },
    /// Where in the tree it happened.
    #[error("/{path}: {source}")]
    In {
        /// The directory or file, escaped.
        path: String,
        /// What happened.
        source: Box<ReadError>,
    },
}

impl ReadError {
    pub(super) fn damaged(what: &'static str, why: impl Into<String>) -> Self {
        Self::Damaged { what, why: why.into() }
    }

    /// Says where in the tree it happened, unless that is known.
    pub(super) fn at(self, path: &[u8]) -> Self {
        match self {
            Self::In { .. } => self,
            other => Self::In { path: crate::tree::show(path), source: Box::new(other) },
        }
    }
}

/// `Err` when `value` is above `limit`.
pub(super) fn check(name: &'static str, value: u64, limit: u64) -> Result<(), ReadError> {
    if value > limit { Err(ReadError::Limit { name, limit }) } else { Ok(()) }
}

impl Failure for ReadError {
    fn kind(&self) -> Kind {
        match self {
            Self::Io { source, .. } => io_kind(source, Kind::Integrity),
            Self::Compressor(_) => Kind::Conversion,
            Self::In { source, .. } => source.kind(),
            _ => Kind::Integrity,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Compressor(_) => {
                Some("convert the image again, for example with moorline convert".into())
            }
            Self::In { source, .. } => source.hint(),
            _ => None,
        }
    }
}
