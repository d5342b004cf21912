//! Directory listings: names in runs that share what their inodes have in common.
//!
//! ```text
//! run    u32 names - 1, u32 inodes' metadata block, u32 inode number
//! name   u16 offset in that block, i16 inode number - the run's, u16 type, u16 length - 1, bytes
//! ```
//!
//! A run has 256 names at most, all in one metadata block of inodes and within 16 bits of its
//! number (hard links leave them). It also ends where the listing enters a new metadata block, so
//! that every block has a run at its start that a long directory's index can point to.

use super::SquashfsError;
use super::compress::Compressor;
use super::inode_type::Type;
use super::metadata::{BLOCK, MetadataWriter, Position};

const MAX_RUN: usize = 256;

/// A name and the inode that it leads to.
pub(super) struct Name<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) inode: Position,
    pub(super) number: u32,
    pub(super) kind: Type,
}

/// A written listing, as its inode needs it.
pub(super) struct Listing {
    pub(super) block: u32,
    pub(super) offset: u16,
    pub(super) size: u32,
    pub(super) indexes: Vec<Index>,
}

/// Where a run starts that begins a metadata block.
pub(super) struct Index {
    /// From the listing's start.
    pub(super) offset: u32,
    pub(super) block: u32,
    pub(super) name: Box<[u8]>,
}

/// Writes the names, which are sorted.
pub(super) fn write(
    names: &[Name<'_>],
    table: &mut MetadataWriter,
    compressor: &mut Compressor,
) -> Result<Listing, SquashfsError> {
    let start = table.position();
    let mut listing =
        Listing { block: narrow(start.block)?, offset: start.offset, size: 0, indexes: Vec::new() };
    let mut block = start.block;
    let mut rest = names;
    while let Some(first) = rest.first() {
        let here = table.position();
        if here.block != block {
            block = here.block;
            listing.indexes.push(Index {
                offset: listing.size,
                block: narrow(block)?,
                name: first.bytes.into(),
            });
        }
        let run = &rest[..run_length(rest, first, usize::from(here.offset))];
        rest = &rest[run.len()..];
        let mut out = Vec::with_capacity(12 + run.len() * 32);
        for word in [narrow(run.len() as u64 - 1)?, narrow(first.inode.block)?, first.number] {
            out.extend(word.to_le_bytes());
        }
        for name in run {
            // checked by run_length; a name has 1 to 255 bytes
            let delta = delta(name, first).unwrap_or(0);
            out.extend(name.inode.offset.to_le_bytes());
            out.extend(delta.to_le_bytes());
            out.extend((name.kind as u16).to_le_bytes());
            out.extend((u16::try_from(name.bytes.len()).unwrap_or(1) - 1).to_le_bytes());
            out.extend(name.bytes);
        }
        listing.size = narrow(u64::from(listing.size) + out.len() as u64)?;
        table.write(&out, compressor)?;
    }
    if listing.size > u32::MAX - 3 {
        return Err(SquashfsError::TooMany { what: "names in a directory", limit: 1 << 24 });
    }
    Ok(listing)
}

fn run_length(names: &[Name<'_>], first: &Name<'_>, offset: usize) -> usize {
    let mut at = offset + 12;
    let mut length = 0;
    for name in names.iter().take(MAX_RUN) {
        let fits = name.inode.block == first.inode.block && delta(name, first).is_some();
        if !fits || (length > 0 && at >= BLOCK) {
            break;
        }
        at += 8 + name.bytes.len();
        length += 1;
    }
    length
}

fn delta(name: &Name<'_>, first: &Name<'_>) -> Option<i16> {
    i16::try_from(i64::from(name.number) - i64::from(first.number)).ok()
}

/// Tables are addressed with 32 bits.
pub(super) fn narrow(n: u64) -> Result<u32, SquashfsError> {
    u32::try_from(n)
        .map_err(|_| SquashfsError::TooMany { what: "bytes of metadata", limit: u32::MAX.into() })
}
