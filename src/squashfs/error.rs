//! What keeps a squashfs from being written.

use std::io;

use crate::failure::{Failure, Kind, io_kind};

/// A file system could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SquashfsError {
    /// The output cannot be written.
    #[error("the file system's {what} could not be written: {source}")]
    Write {
        /// Which part.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A file's bytes cannot be read.
    #[error("a file's content could not be read: {0}")]
    Read(#[source] io::Error),
    /// A file's bytes ended too early.
    #[error("a file's content ends after {found} of {expected} bytes")]
    Short {
        /// What was read.
        found: u64,
        /// What was announced.
        expected: u64,
    },
    /// The compressor failed.
    #[error("a block could not be compressed: {0}")]
    Compress(#[source] io::Error),
    /// An option that cannot be.
    #[error("{what} {value} is not possible: {why}")]
    Option {
        /// Which.
        what: &'static str,
        /// Its value.
        value: i64,
        /// What is.
        why: &'static str,
    },
    /// The format has no room for it.
    #[error("squashfs holds at most {limit} {what}, the image has more")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        limit: u64,
    },
    /// An earlier SIF from which blocks were taken is damaged. The conversion can be done without it.
    #[error("{name}, from which blocks were taken, is damaged: {why}")]
    Pack {
        /// Which.
        name: String,
        /// How it was noticed.
        why: String,
    },
    /// A visible file whose content was never given to the writer.
    #[error("a file's content was not written before the tables")]
    Missing,
}

impl SquashfsError {
    pub(super) fn writing(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { what, source }
    }
}

impl Failure for SquashfsError {
    fn kind(&self) -> Kind {
        match self {
            Self::Write { source, .. } | Self::Read(source) => io_kind(source, Kind::Conversion),
            Self::Option { .. } => Kind::Usage,
            Self::Pack { .. } => Kind::Integrity,
            _ => Kind::Conversion,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Write { source, .. } if io_kind(source, Kind::Conversion) == Kind::NoSpace => {
                Some("free some space where it is written".into())
            }
            _ => None,
        }
    }
}
