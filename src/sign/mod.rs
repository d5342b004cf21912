//! Signatures: keys, and what is vouched for with one.
//!
//! ```text
//! key.rs      who signs, and whom we trust
//! image.rs    that a SIF was made from a manifest
//! ```
//!
//! Floor 1.

mod image;
mod key;

pub use image::{SignError, Signed, Statement};
pub use key::{KeyError, PublicKey, SigningKey};
