//! What makes later conversions fast: indexes of SIFs and of layers, by recipe.
//!
//! ```text
//! packs/RECIPE/HEX       where each block lies in sifs/sha256/HEX.sif     (squashfs/pack.rs)
//! layers/RECIPE/HEX      what the layer with this diff_id holds           (layer/index.rs)
//! ```
//!
//! They save work and prove nothing. Each has a checksum and a version, and says which file it is about. One that is
//! damaged, from another version, not this user's own, or that no conversion of this user is known to have written
//! (`witness.rs`) is ignored. Any of them may be removed at any time.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Incoming, Store, StoreError, safe};
use crate::listing;
use crate::oci::{DiffId, Sha256Digest, SifDigest};
use crate::pin::Recipe;
use crate::sealed;

/// The two kinds.
const PACKS: &str = "packs";
const LAYERS: &str = "layers";

/// A SIF and its index; neither was looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPack {
    /// The SIF's digest.
    pub digest: SifDigest,
    /// Where it lies.
    pub sif: PathBuf,
    /// Where its index lies.
    pub index: PathBuf,
}

impl Store {
    fn index_path(&self, what: &str, recipe: &Recipe, hex: &str) -> PathBuf {
        self.root().join(what).join(recipe.key()).join(hex)
    }

    /// The SIFs of a recipe that this user made and that have an index, newest first.
    #[must_use]
    pub fn packs(&self, recipe: &Recipe) -> Vec<StoredPack> {
        let mut found = Vec::new();
        let dir = self.index_path(PACKS, recipe, "");
        // what cannot be listed is not there: it only saves work
        for name in listing::names(&dir).unwrap_or_default() {
            let digest = name.to_str().and_then(|hex| format!("sha256:{hex}").parse().ok());
            let index = dir.join(&name);
            let time = fs::symlink_metadata(&index).and_then(|meta| meta.modified());
            if let Some(digest) = digest
                && self.made_here(&digest)
            {
                let pack = StoredPack { digest, sif: self.sif_path(&digest), index };
                found.push((time.unwrap_or(SystemTime::UNIX_EPOCH), pack));
            }
        }
        found.sort_by(|(a, x), (b, y)| (b, y.digest).cmp(&(a, x.digest)));
        found.into_iter().map(|(_, pack)| pack).collect()
    }

    /// The index of a pack, whole, if this user's conversions wrote it.
    #[must_use]
    pub fn pack_index(&self, recipe: &Recipe, pack: &StoredPack) -> Option<Vec<u8>> {
        self.index_of(PACKS, recipe, &pack.index)
    }

    fn index_of(&self, kind: &str, recipe: &Recipe, path: &Path) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_own(path)?.read_to_end(&mut bytes).ok()?;
        let seal = sealed::seal(&bytes)?;
        self.wrote(kind, recipe, &seal).then_some(bytes)
    }

    /// Keeps the index of a SIF, which ends with `seal`.
    ///
    /// # Errors
    /// When it cannot be written or recorded.
    pub fn publish_pack(
        &self,
        incoming: Incoming,
        recipe: &Recipe,
        sif: &SifDigest,
        seal: &[u8; 32],
    ) -> Result<(), StoreError> {
        self.writes(PACKS, recipe, seal)?;
        publish(incoming, &self.index_path(PACKS, recipe, &sif.hex()))
    }

    /// The index of a layer, whole, if this user's conversions wrote it.
    #[must_use]
    pub fn layer_index(&self, recipe: &Recipe, diff_id: &DiffId) -> Option<Vec<u8>> {
        self.index_of(LAYERS, recipe, &self.index_path(LAYERS, recipe, &diff_id.hex()))
    }

    /// Whether there is such an index, by the seal that it says it has.
    #[must_use]
    pub fn has_layer_index(&self, recipe: &Recipe, diff_id: &DiffId) -> bool {
        let file = self.open_own(&self.index_path(LAYERS, recipe, &diff_id.hex()));
        let seal = file.and_then(|file| sealed::last(&file).ok());
        seal.is_some_and(|seal| self.wrote(LAYERS, recipe, &seal))
    }

    /// Keeps the index of a layer, which ends with `seal`.
    ///
    /// # Errors
    /// When it cannot be written or recorded.
    pub fn publish_layer_index(
        &self,
        incoming: Incoming,
        recipe: &Recipe,
        diff_id: &DiffId,
        seal: &[u8; 32],
    ) -> Result<(), StoreError> {
        self.writes(LAYERS, recipe, seal)?;
        publish(incoming, &self.index_path(LAYERS, recipe, &diff_id.hex()))
    }
}

fn publish(incoming: Incoming, path: &Path) -> Result<(), StoreError> {
    let dir = path.parent().unwrap_or(path);
    safe::private_child(dir.parent().unwrap_or(dir))?;
    safe::private_child(dir)?;
    incoming.publish(path)
}
