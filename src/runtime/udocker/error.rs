//! What is wrong with a file that should be udocker's. Names from inside of it were made printable.

use std::io;

use crate::failure::{Failure, Kind, io_kind};

/// A file that cannot be used. Which one is the caller's to say.
#[derive(Debug, thiserror::Error)]
pub enum UdockerError {
    /// It cannot be read, or what is in it cannot be written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is another thing.
    #[error("it is no {what}: {why}")]
    Other {
        /// What it should be.
        what: &'static str,
        /// What is missing.
        why: String,
    },
    /// It is damaged, or made to do harm.
    #[error("it is malformed: {0}")]
    Malformed(String),
}

impl UdockerError {
    #[expect(clippy::needless_pass_by_value, reason = "as map_err passes it")]
    pub(super) fn malformed(why: impl ToString) -> Self {
        Self::Malformed(why.to_string())
    }
}

impl Failure for UdockerError {
    fn kind(&self) -> Kind {
        match self {
            Self::Io(source) => io_kind(source, Kind::Usage),
            Self::Other { .. } => Kind::Usage,
            Self::Malformed(_) => Kind::Integrity,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io(_) => return None,
            Self::Other { .. } => {
                "the package is what `pip download --no-deps udocker` gets; the engines are udocker's own tarball, \
                 udocker-englib-VERSION.tar.gz"
                    .into()
            }
            Self::Malformed(_) => {
                "get it once more, and compare its SHA-256 with the one that is published".into()
            }
        })
    }
}
