//! What a layer may ask for at most. Every limit is named in its error.

use std::io;

/// Bounds on what foreign archives can make this program do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries in all layers together.
    pub entries: u64,
    /// Bytes of one layer's tar.
    pub layer_bytes: u64,
    /// Bytes of file content in all layers together, holes included.
    pub content_bytes: u64,
    /// How many bytes one compressed byte may become, beyond the first GiB of a layer.
    pub expansion_ratio: u64,
    /// Directories above each other.
    pub path_depth: usize,
    /// Bytes of a path.
    pub path_bytes: u64,
    /// Bytes of one entry's extended header (long names, extended attributes).
    pub header_bytes: u64,
    /// Bytes of one entry's extended attributes, names and values.
    pub xattr_bytes: u64,
    /// Pieces of one sparse file.
    pub sparse_pieces: usize,
}

impl Default for Limits {
    /// Far above any image that was seen, far below what would hurt a machine.
    fn default() -> Self {
        Self {
            entries: 10_000_000,
            layer_bytes: 1 << 38,
            content_bytes: 1 << 38,
            expansion_ratio: 1000,
            path_depth: 512,
            path_bytes: 32 << 10,
            header_bytes: 4 << 20,
            xattr_bytes: 256 << 10,
            sparse_pieces: 1 << 20,
        }
    }
}

/// A limit that was passed while reading; travels inside an [`io::Error`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("more than the limit {name} of {limit} allows")]
pub(super) struct Passed {
    pub(super) name: &'static str,
    pub(super) limit: u64,
}

impl From<Passed> for io::Error {
    fn from(passed: Passed) -> Self {
        Self::other(passed)
    }
}

/// `Err` when `value` is above `limit`.
pub(super) fn check(name: &'static str, value: u64, limit: u64) -> Result<(), Passed> {
    if value > limit { Err(Passed { name, limit }) } else { Ok(()) }
}
