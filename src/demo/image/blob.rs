//! A blob of the image, and the time that all of them carry.

use crate::oci::Descriptor;

/// When the image was made, as it says; fixed so that its bytes are.
pub(super) const CREATED: &str = "2026-01-01T00:00:00Z";

/// [`CREATED`] in seconds since 1970.
pub(super) const CREATED_SECONDS: u64 = 1_767_225_600;

/// A blob as a registry stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What a manifest says of them.
    pub descriptor: Descriptor,
}
