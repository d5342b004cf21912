//! A directory that goes with its value.

use std::path::{Path, PathBuf};

use crate::listing;

/// A directory that goes when this does, unless it has another name then.
#[derive(Debug)]
pub(super) struct PrivateDir(pub(super) PathBuf);

impl PrivateDir {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        // the standard library's way may panic (listing.rs); nothing is there under a new name
        let _ = listing::remove_tree(&self.0);
    }
}
