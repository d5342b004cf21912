//! The first 96 bytes.
//!
//! ```text
//!  0 u32 magic "hsqs"        4 u32 inodes            8 u32 time       12 u32 block size
//! 16 u32 fragments          20 u16 compressor       22 u16 log2 of the block size
//! 24 u16 flags              26 u16 ids              28 u16 major 4    30 u16 minor 0
//! 32 u64 root inode: where its metadata block starts << 16 | offset in it
//! 40 u64 bytes used (without the padding at the end)
//! 48 u64 id table           56 u64 xattr table      64 u64 inode table
//! 72 u64 directory table    80 u64 fragment table   88 u64 export table
//! ```
//!
//! Places count from the superblock; a table that is absent is all ones.

use crate::pin::Codec;

/// Its length in bytes.
pub(super) const LEN: usize = 96;
/// A table that is absent.
pub(super) const ABSENT: u64 = u64::MAX;

/// Every tail goes into a fragment, whatever the file's size.
const ALWAYS_FRAGMENTS: u16 = 0x0020;
const DEDUPLICATED: u16 = 0x0040;
const EXPORTABLE: u16 = 0x0080;
const NO_XATTRS: u16 = 0x0200;
const COMPRESSOR_OPTIONS: u16 = 0x0400;

/// What the superblock says.
pub(super) struct Superblock {
    pub(super) inodes: u32,
    pub(super) time: u32,
    pub(super) block_size: u32,
    pub(super) fragments: u32,
    pub(super) codec: Codec,
    pub(super) ids: u16,
    pub(super) root: u64,
    pub(super) bytes_used: u64,
    pub(super) id_table: u64,
    pub(super) xattr_table: u64,
    pub(super) inode_table: u64,
    pub(super) directory_table: u64,
    pub(super) fragment_table: u64,
    pub(super) export_table: u64,
}

impl Superblock {
    pub(super) fn encode(&self) -> Vec<u8> {
        let compressor: u16 = match self.codec {
            Codec::Gzip => 1,
            Codec::Lz4 => 5,
            Codec::Zstd => 6,
        };
        let no_xattrs = if self.xattr_table == ABSENT { NO_XATTRS } else { 0 };
        let flags = ALWAYS_FRAGMENTS | DEDUPLICATED | EXPORTABLE | COMPRESSOR_OPTIONS | no_xattrs;
        // a block size has at most 20 zero bits
        let log = u16::try_from(self.block_size.trailing_zeros()).unwrap_or(0);
        let mut out = Vec::with_capacity(LEN);
        out.extend(b"hsqs");
        for word in [self.inodes, self.time, self.block_size, self.fragments] {
            out.extend(word.to_le_bytes());
        }
        for half in [compressor, log, flags, self.ids, 4, 0] {
            out.extend(half.to_le_bytes());
        }
        for place in [
            self.root,
            self.bytes_used,
            self.id_table,
            self.xattr_table,
            self.inode_table,
            self.directory_table,
            self.fragment_table,
            self.export_table,
        ] {
            out.extend(place.to_le_bytes());
        }
        out
    }
}
