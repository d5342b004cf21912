//! The image's tree as it is before its container is there: in a directory of this machine, or still in its squashfs.

use std::fs::File;
use std::path::Path;

use super::ExecuteError;
use super::packed::Packed;
use super::tree::Tree;
use crate::runtime::builtin::ImageTree;
use crate::sif::hash_tree::Checked;

/// The image's tree.
pub(super) enum Looked {
    /// In a directory.
    Here(Tree),
    /// In its squashfs, whose blocks are checked when they are read.
    Packed(Box<Packed<Checked<File>>>),
}

impl Looked {
    /// For questions about single names.
    pub(super) fn tree(&self) -> &dyn ImageTree {
        match self {
            Self::Here(tree) => tree,
            Self::Packed(packed) => &**packed,
        }
    }

    /// A text file of the image; links are followed inside the image only. Empty when it has none.
    pub(super) fn text(&self, path: &str) -> Result<Vec<u8>, ExecuteError> {
        match self {
            Self::Here(tree) => tree.text(path),
            Self::Packed(packed) => Ok(packed.text(Path::new(path))?),
        }
    }
}
