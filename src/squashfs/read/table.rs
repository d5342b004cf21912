//! Where the tables lie, and how one block of a table is read. Each table has a file that reads its records.

use super::ReadError;
use crate::squashfs::metadata::BLOCK;

/// The metadata blocks from `start` to `end`, counted from the superblock.
#[derive(Clone, Copy)]
pub(super) struct Table {
    /// For messages.
    pub(super) what: &'static str,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// An inflated block of 1 to 8192 bytes.
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    /// Where the next one starts.
    pub(super) next: u64,
}

/// Where a table's index is and how many records it has.
#[derive(Clone, Copy)]
pub(super) struct Lookup {
    pub(super) what: &'static str,
    pub(super) index: u64,
    pub(super) count: u32,
}

impl Lookup {
    /// A table whose index, from the superblock, must lie before `end`.
    pub(super) fn new(
        what: &'static str,
        index: u64,
        count: u32,
        record: usize,
        end: u64,
    ) -> Result<Self, ReadError> {
        let blocks = (u64::from(count) * record as u64).div_ceil(BLOCK as u64);
        match index.checked_add(blocks * 8) {
            Some(behind) if behind <= end => Ok(Self { what, index, count }),
            _ => Err(ReadError::damaged(what, format!("{count} records have no room"))),
        }
    }
}

/// Where the attributes are.
pub(super) struct Attributes {
    pub(super) values: Table,
    pub(super) sets: Lookup,
}
