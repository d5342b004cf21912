//! Tables of fixed-size records with an index: fragments, export, ids, xattr ids.
//!
//! ```text
//! metadata block 0, metadata block 1, ...     the records
//! u64 place of block 0, u64 place of block 1  the index; the superblock points here
//! ```
//!
//! Places count from the superblock. Kernels of 2021 check that an index ends exactly where the
//! next table's first block starts, so nothing may stand between tables.

use super::SquashfsError;
use super::compress::Compressor;
use super::metadata::MetadataWriter;

/// A table's bytes and where its index starts in them, for a table that will start at `at`.
pub(super) fn table(
    records: &[u8],
    at: u64,
    compressor: &mut Compressor,
) -> Result<(Vec<u8>, u64), SquashfsError> {
    let mut blocks = MetadataWriter::default();
    blocks.write(records, compressor)?;
    let (mut bytes, starts) = blocks.finish(compressor)?;
    let index = at + bytes.len() as u64;
    for start in starts {
        bytes.extend((at + start).to_le_bytes());
    }
    Ok((bytes, index))
}
