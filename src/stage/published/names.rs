//! The names by which a SIF is found beside its image.

use crate::oci::{Digest, Sha256Digest, Tag};
use crate::pin::Recipe;

/// Of the image.
pub(super) const MANIFEST: &str = "io.moorline.manifest";

/// The recipe's key.
pub(super) const RECIPE: &str = "io.moorline.recipe";

/// The signed statement.
pub(super) const SIGNED: &str = "io.moorline.signed";

/// What a person sees in a registry's list of files.
pub(super) const TITLE: &str = "org.opencontainers.image.title";

/// The tag of an image's SIF; `None` for a recipe whose name fits into no tag.
#[must_use]
pub fn tag(manifest: &Digest, recipe: &Recipe) -> Option<Tag> {
    format!("sha256-{}.{}.sif", manifest.hex(), recipe.key()).parse().ok()
}
