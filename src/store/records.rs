//! The witness of what this user made. The ledger is the witness, but it stands on the store's own floor, so it is
//! passed in as this trait.

use std::fmt;

use crate::oci::{Digest, SifDigest, TreeRoot};
use crate::pin::Recipe;

/// Who knows what this user made.
pub trait Witness: fmt::Debug + Send + Sync {
    /// Whether this user made, or took on a key's word, the SIF from the manifest by the recipe.
    ///
    /// # Errors
    /// When that cannot be found out; why.
    fn knows(&self, manifest: &Digest, recipe: &Recipe, sif: &SifDigest) -> Result<bool, String>;

    /// Whether this user made the SIF from anything.
    fn made(&self, sif: &SifDigest) -> bool;

    /// The root of its hash tree, where this user recorded it.
    fn tree(&self, sif: &SifDigest) -> Option<TreeRoot>;

    /// Records that this user made it, and the root of its hash tree.
    ///
    /// # Errors
    /// When it is not on the disk; why.
    fn note(
        &self,
        manifest: &Digest,
        recipe: &Recipe,
        sif: &SifDigest,
        tree: Option<TreeRoot>,
    ) -> Result<(), String>;

    /// Whether a conversion of this user by the recipe wrote the index with this seal.
    fn kept(&self, kind: &str, recipe: &Recipe, seal: &[u8; 32]) -> bool;

    /// Records that one did.
    ///
    /// # Errors
    /// When it is not on the disk; why.
    fn keep(&self, kind: &str, recipe: &Recipe, seal: &[u8; 32]) -> Result<(), String>;
}
