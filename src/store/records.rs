//! Who knows what this user made: the ledger, which the store does not know itself.

use std::fmt;

use crate::oci::{Digest, SifDigest};
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

    /// Records that this user made it.
    ///
    /// # Errors
    /// When it is not on the disk; why.
    fn note(&self, manifest: &Digest, recipe: &Recipe, sif: &SifDigest) -> Result<(), String>;
}
