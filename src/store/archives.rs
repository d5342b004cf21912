//! OCI archives for runtimes that take no SIF: `archives/HEX.tar`, HEX being the manifest's digest.
//!
//! An archive follows from its manifest and can be made again. One that a job waits for is marked, as SIFs are.

use std::path::PathBuf;

use super::{Incoming, Store, StoreError, clock, safe};
use crate::oci::{Digest, Sha256Digest};

impl Store {
    pub(super) fn archive_path(&self, manifest: &Digest) -> PathBuf {
        self.root.join("archives").join(format!("{}.tar", manifest.hex()))
    }

    /// The archive of a manifest, when it is there and this user's own. Notes the use.
    #[must_use]
    pub fn archive(&self, manifest: &Digest) -> Option<PathBuf> {
        let path = self.archive_path(manifest);
        safe::file(&path).ok().flatten()?;
        // only the order of pruning follows from it
        let _ = clock::touch_path(&path);
        Some(path)
    }

    /// Names a file as the archive of a manifest. Whoever reads it compares what it holds.
    ///
    /// # Errors
    /// When the file cannot be named.
    pub fn publish_archive(
        &self,
        incoming: Incoming,
        manifest: &Digest,
    ) -> Result<PathBuf, StoreError> {
        safe::private_child(&self.root.join("archives"))?;
        let path = self.archive_path(manifest);
        safe::file(&path)?;
        incoming.publish(&path)?;
        Ok(path)
    }
}
