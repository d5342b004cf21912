//! What is wrong with an archive. Names from inside of it were made printable.

use std::io;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Kind, io_kind};
use crate::oci::{Digest, Platform};

/// An archive that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file of it cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what its scheme says, or breaks the format.
    #[error("{} is malformed: {why}", path.display())]
    Malformed {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It is compressed as a whole.
    #[error("{} is compressed as a whole with {with}, so nothing in it can be found", path.display())]
    Compressed {
        /// The archive.
        path: PathBuf,
        /// The program that did it.
        with: &'static str,
    },
    /// The bytes of a file are not those of its name.
    #[error("{} is corrupt: {expected} has the digest {found}", path.display())]
    Corrupt {
        /// The archive.
        path: PathBuf,
        /// The digest asked for.
        expected: Digest,
        /// That of the bytes.
        found: Digest,
    },
    /// There is no image of that name, or several and none was named.
    #[error("{location}: {why}; it has{}", crate::text::listed(offered))]
    Which {
        /// As it was typed.
        location: String,
        /// What is missing.
        why: String,
        /// How each of its images can be named.
        offered: Vec<String>,
    },
    /// There is no image for the platform.
    #[error("{location} has no image for {platform}; {instead}")]
    Platform {
        /// As it was typed.
        location: String,
        /// What was asked for.
        platform: Platform,
        /// What there is.
        instead: String,
    },
    /// It is another thing.
    #[error("{location} is not a container image: {why}")]
    NotAnImage {
        /// As it was typed.
        location: String,
        /// What it is.
        why: String,
    },
}

impl ArchiveError {
    pub(super) fn malformed(path: &Path, why: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), why: why.into() }
    }
}

impl Failure for ArchiveError {
    fn kind(&self) -> Kind {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Self::Io { source, .. } => io_kind(source, Kind::Usage),
            Self::Malformed { .. } | Self::Compressed { .. } | Self::NotAnImage { .. } => {
                Kind::Conversion
            }
            Self::Corrupt { .. } => Kind::Integrity,
            Self::Which { .. } | Self::Platform { .. } => Kind::NotFound,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("the path ends at its first colon; behind it an image's name may stand".into())
            }
            Self::Compressed { with, .. } => Some(format!("decompress it first: {with} -d")),
            Self::Which { offered, .. } if offered.is_empty() => None,
            Self::Which { .. } => Some(
                "name one of them behind the path: PATH:NAME, PATH:@NUMBER or PATH@sha256:DIGEST"
                    .into(),
            ),
            Self::Platform { instead, .. } if !instead.starts_with("it has") => None,
            Self::Platform { .. } => Some("--platform OS/ARCH asks for another one".into()),
            _ => None,
        }
    }
}
