//! Reads a squashfs 4.0 that anybody may have written.
//!
//! ```text
//! superblock.rs --> Image --walk()--> NamedInode each      walk.rs: directory.rs, inode.rs, id.rs
//!                     |                   |
//!                     |                   +-- xattrs()       xattr.rs
//!                     |                   `-- pieces()       data.rs: blocks, holes, the tail (fragment.rs)
//!                     +-- inode(), list()              node.rs: one at a time; seek.rs: a place in a file
//!                     `-- metadata.rs, lookup.rs: 8 KiB blocks, found through a table's index
//! ```
//!
//! Each file here reads the table whose drawing stands in the writer's file of the same name.
//! Nothing is believed: each offset, count and size is checked against the file system's length and
//! against [`Limits`] before it is used, a table is read on demand and never held as a whole (but
//! the ids, at most 256 KiB), and reading goes forward in every table, so it ends. A directory has one name, so
//! there are no cycles. What two readers could understand differently is refused: names that are no
//! names, names that come twice or are out of order, an inode number with two inodes.
//!
//! Floor 3: bytes come from a [`ReadAt`] that is passed in. An [`Image`] can be shared by threads;
//! each has its own [`Decoder`].
//!
//! Not read: the export table, directory indexes (all names are read anyway), compressor options. Not promised: that a
//! kernel accepts the image, too.

mod content;
mod data;
mod directory;
mod error;
mod fragment;
mod id;
mod image;
mod inflate;
mod inode;
mod limits;
mod lookup;
mod metadata;
mod node;
mod numbers;
mod open;
mod seek;
mod superblock;
mod table;
mod walk;
mod xattr;

pub use content::Content;
pub use data::{Decoder, Piece, Pieces};
pub use error::ReadError;
pub use image::Image;
pub use inode::{File, Inode, Kind, Listing};
pub use limits::Limits;
pub use node::{Named, Type};
use numbers::{half, long, word};
pub use seek::Marks;
pub use walk::{NamedInode, Walk};

pub use crate::files::ReadAt;
