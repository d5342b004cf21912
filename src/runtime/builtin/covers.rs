//! Which mounts lie over files of the image, so that what ran was not the image alone.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::LayoutError;
use super::tree::{ImageTree, Node, node};

/// A mount over files of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cover {
    /// Where in the container, the image's links followed.
    pub target: PathBuf,
    /// What lies there, on this machine.
    pub source: PathBuf,
}

impl Cover {
    /// As receipts say it, which are text.
    #[must_use]
    pub fn said(&self) -> crate::worker::Cover {
        crate::worker::Cover { target: shown(&self.target), source: shown(&self.source) }
    }
}

/// A path as text; bytes that are none are written `\xff`.
fn shown(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// Of these mounts (target without links, source) those over something that the image has, other
/// than an empty directory. The caller leaves out what is of ours, and what lies below another mount.
///
/// # Errors
/// When the image cannot be read.
pub fn covers<'a>(
    tree: &dyn ImageTree,
    mounts: impl Iterator<Item = (&'a Path, &'a Path)>,
) -> Result<Vec<Cover>, LayoutError> {
    let mut all = Vec::new();
    for (target, source) in mounts {
        let empty = match node(tree, target)? {
            None => true,
            Some(Node::Directory) => tree
                .names(target)
                .map_err(|source| LayoutError::Tree { path: target.to_owned(), source })?
                .is_empty(),
            Some(_) => false,
        };
        if !empty {
            all.push(Cover { target: target.to_owned(), source: source.to_owned() });
        }
    }
    Ok(all)
}
