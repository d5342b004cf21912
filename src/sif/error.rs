//! What can be wrong with a SIF.

use std::io;

use crate::failure::{Failure, Kind, io_kind};

/// A SIF could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SifError {
    /// Reading or writing failed.
    #[error("the SIF's {what} could not be {action}: {source}")]
    Io {
        /// Which part.
        what: &'static str,
        /// `read` or `written`.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The magic is missing.
    #[error("the file is not a SIF: its first bytes do not hold SIF_MAGIC")]
    NotSif,
    /// A version that is not read.
    #[error("the SIF has format version {0:?}, only 01 is read")]
    Version(String),
    /// A number in the header or a descriptor that cannot be.
    #[error("the SIF is damaged: {what} is {value}, {why}")]
    Damaged {
        /// Which field.
        what: String,
        /// Its value.
        value: i64,
        /// What it should be.
        why: String,
    },
    /// Two parts that share bytes.
    #[error("the SIF is damaged: {first} and {second} share bytes")]
    Overlap {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// There is no file system to run.
    #[error("the SIF has no primary squashfs partition ({0})")]
    NoPartition(&'static str),
    /// Two objects where one is meant.
    #[error("the SIF has more than one {0}, so it could be read in two ways")]
    Ambiguous(String),
    /// An object that is not there.
    #[error("the SIF has no object named {0:?}")]
    NoObject(String),
    /// An object that is larger than what is read into memory.
    #[error("the SIF's object {name:?} has {size} bytes, at most {limit} are read")]
    TooLarge {
        /// Its name.
        name: String,
        /// Its size.
        size: u64,
        /// The bound.
        limit: u64,
    },
    /// A processor that SIF has no number for.
    #[error("SIF has no code for the processor {0:?}")]
    Architecture(String),
}

impl SifError {
    pub(super) fn reading(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, action: "read", source }
    }

    pub(super) fn writing(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, action: "written", source }
    }
}

impl Failure for SifError {
    fn kind(&self) -> Kind {
        match self {
            Self::Io { source, .. } => io_kind(source, Kind::Integrity),
            Self::NoObject(_) => Kind::NotFound,
            Self::Architecture(_) => Kind::Conversion,
            _ => Kind::Integrity,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotSif => Some("check that the path leads to a .sif file".into()),
            Self::Damaged { .. } | Self::Overlap { .. } => {
                Some("the file was cut or changed: convert the image again".into())
            }
            _ => None,
        }
    }
}
