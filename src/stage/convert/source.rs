//! What is converted, and how.

use std::num::NonZeroUsize;

use crate::layer::Limits;
use crate::oci::{Descriptor, Digest, ImageConfig};
use crate::tree::ContentId;

/// An image whose documents and blobs the caller has verified.
#[derive(Clone, Debug)]
pub struct Source {
    /// What the SIF says that it was made from. It is part of the bytes: without a registry's name in
    /// it the same manifest gives the same SIF wherever it lies.
    pub reference: String,
    /// The platform's manifest.
    pub manifest: Digest,
    /// Its bytes, kept in the SIF.
    pub manifest_bytes: Vec<u8>,
    /// The configuration's bytes.
    pub config_bytes: Vec<u8>,
    /// The same, read.
    pub config: ImageConfig,
    /// The layers' blobs, lowest first.
    pub layers: Vec<Descriptor>,
}

/// How a conversion is done; nothing of it is in the result.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// How many compress, beside those that inflate and hash.
    pub threads: NonZeroUsize,
    /// Whether files are written when they are first read if they seem to be visible. Without it
    /// every layer is read twice.
    pub forecast: bool,
    /// What foreign layers may ask for at most.
    pub limits: Limits,
}

impl Work {
    /// The fast way.
    #[must_use]
    pub fn new(threads: NonZeroUsize) -> Self {
        Self { threads, forecast: true, limits: Limits::default() }
    }
}

/// A content that is not in a layer but in memory.
pub(super) struct AddedContent {
    pub(super) path: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) content: ContentId,
}
