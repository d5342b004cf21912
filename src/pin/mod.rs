//! The pin: an image reference that was resolved to digests and can no longer move.
//!
//! Floor 1. A job can be made only from an [`Image`], an image only from a [`Pin`] or a measured
//! SIF; neither has a form that holds only a tag.

mod built;
mod image;
mod origin;
mod pinned;
mod recipe;
mod resolved;

pub use crate::pin::built::Built;
pub use crate::pin::recipe::{Codec, Recipe};
pub use image::Image;
pub use origin::Origin;
pub use pinned::{Pin, PinnedReference};
pub use resolved::Resolved;
