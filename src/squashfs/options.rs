//! The options that decide the bytes, besides the tree.

use crate::pin::Codec;

/// The version of the layout rule and of how compressors are set that this code follows; part of a
/// recipe. With 7 the SIF got a hash tree, and nothing else changed.
pub const LAYOUT: u32 = 7;

/// Smallest and largest block size in bytes.
pub const BLOCK_SIZES: std::ops::RangeInclusive<u32> = (4 << 10)..=(1 << 20);

/// What decides the bytes besides the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Compressor.
    pub codec: Codec,
    /// Its level: zstd 1 to 22, gzip 1 to 9.
    pub level: i32,
    /// Bytes of a data block; a power of two within [`BLOCK_SIZES`].
    pub block_size: u32,
    /// The file system's time, seconds since 1970.
    pub time: i64,
}
