//! The fragment table: where each block of tails lies.

use super::superblock::Superblock;
use super::table::Lookup;
use super::{Image, ReadAt, ReadError, long, word};
use crate::squashfs::fragment::Fragment;

const WHAT: &str = "fragment table";

pub(super) fn table(superblock: &Superblock) -> Result<Lookup, ReadError> {
    let end = superblock.bytes_used;
    match (superblock.fragments, superblock.fragment_table) {
        (0, _) => Lookup::new(WHAT, 0, 0, 16, end),
        (count, Some(index)) => Lookup::new(WHAT, index, count, 16, end),
        (count, None) => Err(ReadError::damaged(WHAT, format!("{count} fragments and no table"))),
    }
}

pub(super) fn get<S: ReadAt>(image: &Image<S>, number: u32) -> Result<Fragment, ReadError> {
    let record: [u8; 16] = image.record(&image.fragments, number)?;
    Ok(Fragment { place: long(&record, 0), size: word(&record, 8) })
}
