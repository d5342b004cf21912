//! What can go wrong in a store.

use std::io;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Kind, io_kind};
use crate::files::FileError;
use crate::oci::Digest;

/// What fails when the site's store is full; the own one is another place.
pub(super) const PUBLISHING: &str = "cannot publish";

/// What went wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] FileError),
    /// The directory belongs to somebody else, or others may write into it.
    #[error("the store {} is not safe: {why}", path.display())]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// Who else could write.
        why: String,
    },
    /// A file in the store that this user's Moorline did not put there, or that others may write.
    #[error("the store refuses {}: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The store was written by a newer program.
    #[error("the store {} has version {found:?}; this moorline writes version 1", path.display())]
    Version {
        /// The directory.
        path: PathBuf,
        /// What stands there.
        found: String,
    },
    /// The bytes are not what their name says.
    #[error("expected {expected} ({size} bytes), got {got} ({length} bytes)")]
    Mismatch {
        /// The digest asked for.
        expected: Digest,
        /// The length asked for.
        size: u64,
        /// The digest of what came.
        got: Digest,
        /// The length of what came.
        length: u64,
    },
    /// A mapping is malformed.
    #[error("{} is malformed: {source}", path.display())]
    Mapping {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl StoreError {
    /// For `map_err`: what was done, on what.
    pub fn io<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + use<'a> {
        let about = FileError::about(doing, path);
        move |source| about(source).into()
    }
}

impl Failure for StoreError {
    fn kind(&self) -> Kind {
        match self {
            Self::Io(error) => io_kind(&error.source, Kind::Configuration),
            Self::Mismatch { .. } | Self::Foreign { .. } => Kind::Integrity,
            Self::Unsafe { .. } | Self::Version { .. } | Self::Mapping { .. } => {
                Kind::Configuration
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io(error) if self.kind() == Kind::NoSpace && error.doing == PUBLISHING => {
                Some("free space in the site's store".into())
            }
            Self::Io(_) if self.kind() == Kind::NoSpace => Some(
                "moorline cache prune --older-than 7d --empty-trash makes room there and leaves what jobs \
                 need; or set MOORLINE_CACHE to a directory on a larger disk"
                    .into(),
            ),
            Self::Unsafe { path, why } if why.starts_with("others may write") => Some(format!(
                "chmod go-w {} keeps others out; what they may have put there is checked by moorline cache verify",
                shlex::try_quote(&path.to_string_lossy()).unwrap_or_default()
            )),
            Self::Io(_) | Self::Unsafe { .. } => {
                Some("set MOORLINE_CACHE to a directory that only you can write".into())
            }
            Self::Mapping { path, .. } => {
                Some(format!("remove {}: it is made again by the next convert", path.display()))
            }
            Self::Foreign { path, .. } => {
                Some(format!("find out who made it, then remove {}", path.display()))
            }
            Self::Version { .. } => Some("set MOORLINE_CACHE to another directory".into()),
            Self::Mismatch { .. } => None,
        }
    }
}
