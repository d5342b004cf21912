//! Squashfs 4.0: a read-only, compressed file system in one file.
//!
//! ```text
//! superblock            superblock.rs   96 bytes, written last
//! compressor options    compress.rs
//! data                  data.rs         sections: blocks of files, groups of tails (groups.rs)
//! inodes                inode.rs        \
//! directories           directory.rs     | metadata.rs: 8 KiB blocks
//! fragments             fragment.rs      |
//! export                export.rs        | lookup.rs: tables with an index of their blocks
//! ids                   id.rs            |
//! xattrs                xattr.rs        /
//! ```
//!
//! Floor 3: bytes go to a writer that is passed in. [`DataWriter`] takes files in the order of the
//! layout rule (`groups.rs`), compresses them with several workers (`pool.rs`), and remembers
//! where each content lies (`location.rs`); [`DataWriter::finish`] then writes the tables of a
//! [`Tree`](crate::tree::Tree).
//! The same calls give the same bytes: no clock, no thread order, no map order is in them. Blocks that
//! an earlier conversion compressed are copied (`memo.rs`, `pack.rs`, `copier.rs`); they are the same
//! bytes, too.
//!
//! `read/` reads what anybody may have written.
//!
//! Source: Linux `fs/squashfs/squashfs_fs.h` and `Documentation/filesystems/squashfs.rst`;
//! the `squashfs-tools-ng` project, "Squashfs Binary Format". What kernels refuse beyond that stands
//! where it matters.

mod compress;
mod copier;
mod data;
mod directory;
mod error;
mod export;
mod fragment;
mod groups;
mod id;
mod inode;
mod inode_type;
mod location;
mod lookup;
mod memo;
mod metadata;
mod pack;
mod place;
mod pool;
pub mod read;
mod superblock;
mod tables;
mod xattr;

pub use compress::{codec_version, levels};
pub use copier::Copying;
pub use data::{Counters, DataWriter, Finished};
pub use error::SquashfsError;
pub use groups::Bytes;
pub use memo::{Copied, Memo, Pack, Target};
pub use pack::{PackBuilder, PackIndex, SortedPack};
pub use place::Place;

use crate::pin::Codec;

/// The version of the layout rule and of how compressors are set that this code follows; part of a
/// recipe.
pub const LAYOUT: u32 = 6;
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

/// Squashfs holds seconds in 32 bits: earlier and later times become the first and last of those.
pub(crate) fn clamp_time(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
}
