//! Why a lock file cannot be used.

use std::path::PathBuf;

use crate::failure::{Failure, Kind};

/// The file's name, beside `moorline.toml`.
pub const FILE: &str = "moorline.lock";

/// What this version writes at most. Schema 2 has `from`, schema 3 `sif`, schema 4 `[[hub]]`; a file
/// without any is of schema 1, so that programs of before still write it.
pub(super) const SCHEMA: u32 = 4;

/// Why a lock file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Not the text of a lock file.
    #[error("{} is not a lock file: {reason}", file.display())]
    Malformed {
        /// Which file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// Written by a newer program; it can be read, and this version would lose what it added.
    #[error("{} has schema {found}, which is newer than schema {SCHEMA}: this moorline does not change the file", file.display())]
    Newer {
        /// Which file.
        file: PathBuf,
        /// Its schema.
        found: u32,
    },
}

impl Failure for LockError {
    fn kind(&self) -> Kind {
        Kind::Configuration
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Malformed { .. } => {
                "take it from the repository's history, or delete it and run moorline lock".into()
            }
            Self::Newer { .. } => "use the moorline that wrote it, or a newer one".into(),
        })
    }
}
