//! An image's tree in a directory of this machine.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ExecuteError;
use crate::files::ForeignFile;
use crate::listing;
use crate::runtime::builtin::{ImageTree, LayoutError, Node, resolve};

/// The largest text file of an image that is read, in bytes.
const MOST_TEXT: u64 = 16 << 20;

/// An image's tree in a directory of this machine.
pub(super) struct Tree(pub(super) PathBuf);

impl Tree {
    fn at(&self, path: &Path) -> PathBuf {
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A text file of the image; links are followed inside the image only. Empty when it has none.
    pub(super) fn text(&self, path: &str) -> Result<Vec<u8>, ExecuteError> {
        let path = match resolve(self, Path::new(path)) {
            // no file of the image, then
            Err(LayoutError::Links(_)) => return Ok(Vec::new()),
            found => found?,
        };
        if self.node(&path).ok().flatten() != Some(Node::File) {
            return Ok(Vec::new());
        }
        // an image may hold a file of a terabyte; then the container gets the host's entries alone
        let most = ForeignFile::anyones(MOST_TEXT);
        Ok(most.bytes(&self.at(&path)).unwrap_or_default())
    }
}

impl ImageTree for Tree {
    fn node(&self, path: &Path) -> io::Result<Option<Node>> {
        let here = self.at(path);
        let kind = match fs::symlink_metadata(&here) {
            Ok(m) => m.file_type(),
            Err(e)
                if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        Ok(Some(if kind.is_dir() {
            Node::Directory
        } else if kind.is_file() {
            Node::File
        } else if kind.is_symlink() {
            Node::Link(fs::read_link(&here)?)
        } else {
            Node::Other
        }))
    }

    fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let mut names = listing::names(&self.at(path))?;
        names.sort();
        Ok(names)
    }
}
