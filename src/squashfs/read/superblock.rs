//! The first 96 bytes; see the drawing in the writer's `superblock.rs`.

use super::table::Table;
use super::{ReadAt, ReadError, half, long, word};
use crate::squashfs::BLOCK_SIZES;
use crate::squashfs::superblock::{ABSENT, LEN};

/// What the superblock says, checked; places count from it and lie below `bytes_used`.
pub(super) struct Superblock {
    pub(super) inodes: u32,
    pub(super) block_size: u32,
    pub(super) fragments: u32,
    pub(super) compressor: u16,
    pub(super) ids: u16,
    /// Reference of the root's inode.
    pub(super) root: u64,
    pub(super) bytes_used: u64,
    pub(super) id_table: u64,
    pub(super) xattr_table: Option<u64>,
    inode_table: u64,
    directory_table: u64,
    pub(super) fragment_table: Option<u64>,
    export_table: Option<u64>,
}

impl Superblock {
    pub(super) fn read(source: &impl ReadAt, base: u64, length: u64) -> Result<Self, ReadError> {
        let what = "superblock";
        if length < LEN as u64 {
            return Err(ReadError::NotSquashfs);
        }
        let mut bytes = [0; LEN];
        source.read_exact_at(&mut bytes, base).map_err(|source| ReadError::Io { what, source })?;
        if !bytes.starts_with(b"hsqs") {
            return Err(ReadError::NotSquashfs);
        }
        let (major, minor) = (half(&bytes, 28), half(&bytes, 30));
        if (major, minor) != (4, 0) {
            return Err(ReadError::Version(major, minor));
        }
        let damaged = |why: String| Err(ReadError::damaged(what, why));
        let (block_size, log) = (word(&bytes, 12), half(&bytes, 22));
        if !BLOCK_SIZES.contains(&block_size)
            || block_size.count_ones() != 1
            || u32::from(log) != block_size.trailing_zeros()
        {
            return damaged(format!("a block size of {block_size}, whose logarithm is {log}"));
        }
        let bytes_used = long(&bytes, 40);
        if bytes_used > length || bytes_used < LEN as u64 || base.checked_add(length).is_none() {
            return damaged(format!("{bytes_used} bytes are used of {length} that are there"));
        }
        let place = |at: usize| match long(&bytes, at) {
            ABSENT => Ok(None),
            place if (LEN as u64..bytes_used).contains(&place) => Ok(Some(place)),
            place => Err(ReadError::damaged(what, format!("a table at {place}"))),
        };
        let needed = |at: usize| {
            place(at)?.ok_or_else(|| ReadError::damaged(what, "a table that it needs is absent"))
        };
        let superblock = Self {
            inodes: word(&bytes, 4),
            block_size,
            fragments: word(&bytes, 16),
            compressor: half(&bytes, 20),
            ids: half(&bytes, 26),
            root: long(&bytes, 32),
            bytes_used,
            id_table: needed(48)?,
            xattr_table: place(56)?,
            inode_table: needed(64)?,
            directory_table: needed(72)?,
            fragment_table: place(80)?,
            export_table: place(88)?,
        };
        // the kernel wants this order, too
        if superblock.inode_table >= superblock.directory_table {
            return damaged("the inodes do not lie in front of the directories".into());
        }
        Ok(superblock)
    }

    pub(super) fn inodes_table(&self) -> Table {
        Table { what: "inode table", start: self.inode_table, end: self.directory_table }
    }

    /// Ends at the nearest table's index behind it: no directory can lie there.
    pub(super) fn directories_table(&self) -> Table {
        let behind =
            [Some(self.id_table), self.xattr_table, self.fragment_table, self.export_table];
        let end = behind
            .into_iter()
            .flatten()
            .filter(|place| *place >= self.directory_table)
            .min()
            .unwrap_or(self.bytes_used);
        Table { what: "directory table", start: self.directory_table, end }
    }
}
