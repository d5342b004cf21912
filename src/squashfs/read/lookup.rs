//! Tables of fixed-size records, one record at a time.

use super::metadata::Table;
use super::{Image, ReadAt, ReadError, long};
use crate::squashfs::metadata::BLOCK;
use crate::squashfs::superblock;

/// Where a table's index is and how many records it has.
#[derive(Clone, Copy)]
pub(super) struct Lookup {
    what: &'static str,
    index: u64,
    count: u32,
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

    /// A record of `N` bytes, a divisor of 8192.
    pub(super) fn get<const N: usize, S: ReadAt>(
        &self,
        image: &Image<S>,
        number: u32,
    ) -> Result<[u8; N], ReadError> {
        if number >= self.count {
            let why = format!("number {number} of {}", self.count);
            return Err(ReadError::damaged(self.what, why));
        }
        let at = u64::from(number) * N as u64;
        let mut place = [0; 8];
        image.bytes(self.what, &mut place, self.index + at / BLOCK as u64 * 8)?;
        let place = long(&place, 0);
        // a table's blocks lie in front of its index
        if !(superblock::LEN as u64..self.index).contains(&place) {
            return Err(ReadError::damaged(self.what, format!("a block at {place}")));
        }
        let table = Table { what: self.what, start: place, end: self.index };
        image.cursor(table, at % BLOCK as u64)?.array()
    }
}
