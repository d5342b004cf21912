//! Reads a squashfs 4.0 that anybody may have written.
//!
//! ```text
//! superblock.rs --> Image --walk()--> Entry, Entry, ...      walk.rs: directory.rs, inode.rs, id.rs
//!                     |                   |
//!                     |                   +-- xattrs()       xattr.rs
//!                     |                   `-- pieces()       data.rs: blocks, holes, the tail (fragment.rs)
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

mod cache;
mod content;
mod data;
mod directory;
mod error;
mod find;
mod fragment;
mod id;
mod inflate;
mod inode;
mod lookup;
mod metadata;
mod source;
mod superblock;
mod walk;
mod xattr;

use std::sync::Mutex;

pub use content::Content;
pub use data::{Decoder, Piece, Pieces};
pub use error::ReadError;
pub use inode::{File, Inode, Kind, Listing};
pub use source::ReadAt;
pub use walk::{Entry, Walk};

use cache::Cache;
use inflate::Inflater;
use lookup::Lookup;
use metadata::Table;
use superblock::Superblock;

/// Bytes of inflated metadata that are kept.
const METADATA_CACHE: usize = 2 << 20;
/// Bytes of inflated fragments that are kept.
const FRAGMENT_CACHE: usize = 16 << 20;

/// Bounds on what a foreign image can make this program do; each is named in its error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Names in all directories together.
    pub entries: u64,
    /// Directories above each other.
    pub path_depth: usize,
    /// Bytes of a path.
    pub path_bytes: u64,
    /// Bytes of all files together, holes included, each inode once.
    pub content_bytes: u64,
    /// Bytes of one inode's extended attributes, names and values.
    pub xattr_bytes: u64,
}

impl Default for Limits {
    /// Those of the conversion: what it writes can be read.
    fn default() -> Self {
        Self {
            entries: 10_000_000,
            path_depth: 512,
            path_bytes: 32 << 10,
            content_bytes: 1 << 38,
            xattr_bytes: 256 << 10,
        }
    }
}

/// Added to every image that is converted: names, directories above each other, bytes; rounded up.
const ADDED: u64 = 1000;
const ADDED_DEPTH: u64 = 8;
const ADDED_BYTES: u64 = 64 << 20;

impl Limits {
    /// Takes a limit of the conversion of layers by its name in the configuration: what a conversion
    /// within it can make can be read. A limit that says nothing of an image changes nothing.
    pub fn set(&mut self, name: &str, value: u64) {
        match name {
            // hard links are entries, and the directories that no layer describes are as many at most
            "entries" => self.entries = value.saturating_mul(2).saturating_add(ADDED),
            "path_depth" => {
                let depth = value.saturating_add(ADDED_DEPTH);
                self.path_depth = usize::try_from(depth).unwrap_or(usize::MAX);
                // a link can lead a path deeper than it is spelled
                self.path_bytes = depth.saturating_mul(crate::tree::MAX_NAME as u64 + 1);
            }
            "content_bytes" => self.content_bytes = value.saturating_add(ADDED_BYTES),
            "xattr_bytes" => self.xattr_bytes = value,
            _ => {}
        }
    }
}

/// An opened squashfs.
pub struct Image<S> {
    source: S,
    /// Where the superblock is in `source`.
    base: u64,
    limits: Limits,
    superblock: Superblock,
    inodes: Table,
    directories: Table,
    fragments: Lookup,
    ids: Vec<u32>,
    xattrs: Option<xattr::Place>,
    metadata: Mutex<(Inflater, Cache<metadata::Block>)>,
    tails: Mutex<Cache<Vec<u8>>>,
}

impl<S: ReadAt> Image<S> {
    /// Opens the file system that takes up to `length` bytes of `source` from `base` on.
    ///
    /// # Errors
    /// When it is no squashfs 4.0, its compressor is not read, or its superblock, id table or
    /// attribute table cannot be.
    pub fn open(source: S, base: u64, length: u64, limits: Limits) -> Result<Self, ReadError> {
        let superblock = Superblock::read(&source, base, length)?;
        let inflater = Inflater::new(superblock.compressor)?;
        let mut image = Self {
            inodes: superblock.inodes_table(),
            directories: superblock.directories_table(),
            fragments: fragment::table(&superblock)?,
            ids: Vec::new(),
            xattrs: None,
            metadata: Mutex::new((inflater, Cache::new(METADATA_CACHE))),
            tails: Mutex::new(Cache::new(FRAGMENT_CACHE)),
            source,
            base,
            limits,
            superblock,
        };
        image.ids = id::read(&image)?;
        image.xattrs = xattr::Place::read(&image)?;
        Ok(image)
    }

    /// Bytes of a data block.
    pub fn block_size(&self) -> u32 {
        self.superblock.block_size
    }

    /// Reads bytes at a place that counts from the superblock.
    fn bytes(&self, what: &'static str, buffer: &mut [u8], at: u64) -> Result<(), ReadError> {
        let end = at.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.superblock.bytes_used) {
            return Err(ReadError::damaged(what, format!("it lies at {at}, behind the end")));
        }
        // base + bytes_used was checked when the superblock was read
        self.source
            .read_exact_at(buffer, self.base + at)
            .map_err(|source| ReadError::Io { what, source })
    }
}

/// Little-endian numbers from a slice; missing bytes count as 0, but callers pass whole records.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    for (slot, byte) in out.iter_mut().zip(bytes.iter().skip(at)) {
        *slot = *byte;
    }
    out
}
