//! User and group ids.

use super::table::Lookup;
use super::{Image, ReadAt, ReadError};

const WHAT: &str = "id table";

/// All of them: they are counted in 16 bits.
pub(super) fn read<S: ReadAt>(image: &Image<S>) -> Result<Vec<u32>, ReadError> {
    let superblock = &image.superblock;
    let count = u32::from(superblock.ids);
    let table = Lookup::new(WHAT, superblock.id_table, count, 4, superblock.bytes_used)?;
    (0..count).map(|number| image.record(&table, number).map(u32::from_le_bytes)).collect()
}

/// The id that an inode means.
pub(super) fn get<S>(image: &Image<S>, index: u16) -> Result<u32, ReadError> {
    image
        .ids
        .get(usize::from(index))
        .copied()
        .ok_or_else(|| ReadError::damaged(WHAT, format!("number {index} of {}", image.ids.len())))
}
