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
mod options;
mod pack;
mod place;
mod pool;
pub mod read;
mod superblock;
mod tables;
mod time;
mod xattr;

pub use compress::{codec_version, levels};
pub use copier::Copying;
pub use data::{Counters, DataWriter, Finished};
pub use error::SquashfsError;
pub use groups::Bytes;
pub use memo::{Copied, Memo, Pack, Target};
pub use options::{BLOCK_SIZES, LAYOUT, Options};
pub use pack::{PackBuilder, PackIndex, SortedPack};
pub use place::Place;
pub(crate) use time::clamp_time;
