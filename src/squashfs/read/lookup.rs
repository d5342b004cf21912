//! Tables of fixed-size records, one record at a time.

use super::table::{Lookup, Table};
use super::{Image, ReadAt, ReadError, long};
use crate::squashfs::metadata::BLOCK;
use crate::squashfs::superblock;

impl<S: ReadAt> Image<S> {
    /// A record of `N` bytes, a divisor of 8192.
    pub(super) fn record<const N: usize>(
        &self,
        table: &Lookup,
        number: u32,
    ) -> Result<[u8; N], ReadError> {
        if number >= table.count {
            let why = format!("number {number} of {}", table.count);
            return Err(ReadError::damaged(table.what, why));
        }
        let at = u64::from(number) * N as u64;
        let mut place = [0; 8];
        self.bytes(table.what, &mut place, table.index + at / BLOCK as u64 * 8)?;
        let place = long(&place, 0);
        // a table's blocks lie in front of its index
        if !(superblock::LEN as u64..table.index).contains(&place) {
            return Err(ReadError::damaged(table.what, format!("a block at {place}")));
        }
        let records = Table { what: table.what, start: place, end: table.index };
        self.cursor(records, at % BLOCK as u64)?.array()
    }
}
