//! The form of an image that a runtime takes.

use std::fmt;

/// The form of an image that a runtime takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A SIF file.
    Sif,
    /// An OCI archive.
    Oci,
    /// A directory: a published tree.
    Directory,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sif => "a SIF",
            Self::Oci => "an OCI archive",
            Self::Directory => "a directory",
        })
    }
}
