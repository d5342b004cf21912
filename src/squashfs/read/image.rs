//! An opened squashfs.

use std::sync::Mutex;

use super::inflate::Inflater;
use super::superblock::Superblock;
use super::table::{Attributes, Block, Lookup, Table};
use super::{Limits, ReadAt, ReadError};
use crate::recent::Recent;

/// An opened squashfs.
pub struct Image<S> {
    pub(super) source: S,
    /// Where the superblock is in `source`.
    pub(super) base: u64,
    pub(super) limits: Limits,
    pub(super) superblock: Superblock,
    pub(super) inodes: Table,
    pub(super) directories: Table,
    pub(super) fragments: Lookup,
    pub(super) ids: Vec<u32>,
    pub(super) xattrs: Option<Attributes>,
    pub(super) metadata: Mutex<(Inflater, Recent<Block>)>,
    pub(super) tails: Mutex<Recent<Vec<u8>>>,
}

impl<S: ReadAt> Image<S> {
    /// Bytes of a data block.
    pub fn block_size(&self) -> u32 {
        self.superblock.block_size
    }

    /// Reads bytes at a place that counts from the superblock.
    pub(super) fn bytes(
        &self,
        what: &'static str,
        buffer: &mut [u8],
        at: u64,
    ) -> Result<(), ReadError> {
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
