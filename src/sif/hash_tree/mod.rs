//! The hash tree of a SIF: whoever knows its root can check each block of the file when it is read.
//!
//! ```text
//!   0  magic[16]   "moorline-hashes\0"
//!  16  u32         version, 1                          32  u64   front: bytes in front of the file system
//!  20  u32         bytes of a block, 16384             40  [32]  SHA-256 of these
//!  24  u64         bytes of the file system            72  [32]  SHA-256 of the highest level
//! 104  level 0     SHA-256 of each block of the file system; the last block may be shorter
//!      level 1     SHA-256 of each 4096 bytes (128 hashes) of level 0; the last piece may be shorter
//!      ...         until a level has at most 128 hashes
//! ```
//!
//! Little-endian. The **root** is the SHA-256 of the first 104 bytes, so it stands for the file system, for its
//! length and for all that lies in front of it: the SIF's header, its descriptors, the image's
//! configuration. Not for the tree itself, which is checked while it is used.
//!
//! The object lies behind the file system, under the name [`crate::sif::HASH_TREE`]; apptainer ignores it. It
//! follows from the other bytes, so the same image and recipe give the same tree.
//!
//! **Why blocks of 16 KiB.** A program's small read costs a metadata block of squashfs (8 KiB at most) or a data block
//! (about 50 KiB of 128, stored at any place). With 16 KiB a metadata block lies in one or two blocks, and a
//! data block costs at most 32 KiB of hashing that it did not need; the tree takes 0.2 % of the file. With
//! 4 KiB (dm-verity, fs-verity) it would take 0.8 %, with 128 KiB a directory listing would hash sixteen times
//! what it reads.
//!
//! | file | |
//! |---|---|
//! | `shape.rs` | how many hashes each level has, and where they stand |
//! | `head.rs` | the first 104 bytes, and the root |
//! | `builder.rs` | from the file's bytes to a tree |
//! | `open.rs` | from a foreign file and a root to what can be believed |
//! | `checked.rs` | the file system's bytes, each block checked before it is handed on |
//! | `once.rs` | digest and root from one reading of a foreign file |
//! | `whole.rs` | whether a file's tree is the one of its bytes |

mod builder;
mod checked;
mod error;
mod head;
mod once;
mod open;
mod shape;
#[cfg(test)]
mod tests;
mod whole;

pub use builder::{Builder, Built};
pub use checked::{Checked, Counted, Refused};
pub use error::HashTreeError;
pub use once::{Once, once};
pub use open::{Front, Sealed};
pub use shape::{BLOCK, length};
pub use whole::check;
