//! One image of an archive.

use super::Files;
use crate::oci::{Digest, ImageConfig, Manifest, Platform};

/// One image of an archive, its documents verified.
#[derive(Debug)]
pub struct Archive {
    /// The digest of [`Archive::manifest_bytes`]: what identifies the image.
    pub digest: Digest,
    /// The manifest's bytes. For a docker archive they are made here (`docker.rs`).
    pub manifest_bytes: Vec<u8>,
    /// The same, read.
    pub manifest: Manifest,
    /// The configuration's bytes.
    pub config_bytes: Vec<u8>,
    /// The same, read; with what it does not say of its platform.
    pub config: ImageConfig,
    /// What it is for.
    pub platform: Platform,
    pub(super) files: Files,
}
