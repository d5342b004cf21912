//! Metadata blocks, and cursors that read on from block to block.
//!
//! A cursor only goes forward and each block takes at least 3 bytes, so reading ends with its table. A block is read
//! only when its first byte is needed, so an empty listing may name a place that does not exist.

use std::sync::{Arc, PoisonError};

use super::table::{Block, Table};
use super::{Image, ReadAt, ReadError, half, long, word};
use crate::squashfs::metadata::BLOCK;

const STORED: u16 = 0x8000;

/// A place in a table from which is read on.
pub(super) struct Cursor<'a, S> {
    image: &'a Image<S>,
    table: Table,
    block: Option<Arc<Block>>,
    /// Where the block starts that is read next, or that was read.
    at: u64,
    offset: usize,
}

/// A place in a table that a cursor has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    at: u64,
    offset: usize,
}

impl<S: ReadAt> Image<S> {
    /// A cursor at a reference: the block's place in the table << 16 | the offset in it.
    pub(super) fn cursor(&self, table: Table, reference: u64) -> Result<Cursor<'_, S>, ReadError> {
        // a reference has 48 bits of place, a table's start is a place in a file
        let at = table.start.checked_add(reference >> 16);
        let offset = usize::from(half(&reference.to_le_bytes(), 0));
        match at {
            Some(at) if at <= table.end && offset < BLOCK => {
                Ok(self.cursor_at(table, Position { at, offset }))
            }
            _ => Err(ReadError::damaged(table.what, format!("a reference to {reference:#x}"))),
        }
    }

    /// A cursor where another one of this table stood.
    pub(super) fn cursor_at(&self, table: Table, position: Position) -> Cursor<'_, S> {
        Cursor { image: self, table, block: None, at: position.at, offset: position.offset }
    }

    fn metadata_block(&self, table: Table, at: u64) -> Result<Arc<Block>, ReadError> {
        let (inflater, cache) = &mut *self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = cache.get((at, 0)) {
            return Ok(block);
        }
        let left = table.end.saturating_sub(at);
        let mut packed = [0; 2 + BLOCK];
        let there = packed.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let packed = &mut packed[..there];
        self.bytes(table.what, packed, at)?;
        let Some((header, packed)) = packed.split_first_chunk() else {
            return Err(ReadError::damaged(table.what, "it ends too early"));
        };
        let header = u16::from_le_bytes(*header);
        let length = usize::from(header & !STORED);
        let Some(packed) = packed.get(..length).filter(|packed| !packed.is_empty()) else {
            return Err(ReadError::damaged(table.what, format!("a block of {length} bytes")));
        };
        let mut bytes = Vec::new();
        if header & STORED == 0 {
            inflater.inflate(table.what, packed, &mut bytes, BLOCK)?;
        } else {
            bytes.extend(packed);
        }
        let block = Arc::new(Block { bytes, next: at + 2 + length as u64 });
        cache.put((at, 0), BLOCK, &block);
        Ok(block)
    }
}

impl<S: ReadAt> Cursor<'_, S> {
    /// Reads on.
    pub(super) fn fill(&mut self, mut out: &mut [u8]) -> Result<(), ReadError> {
        while !out.is_empty() {
            let block = match self.block.take() {
                Some(block) => block,
                None => self.image.metadata_block(self.table, self.at)?,
            };
            let Some(rest) = block.bytes.get(self.offset..).filter(|rest| !rest.is_empty()) else {
                let why = format!("a reference to byte {} of a shorter block", self.offset);
                return Err(ReadError::damaged(self.table.what, why));
            };
            let (now, later) = out.split_at_mut(rest.len().min(out.len()));
            now.copy_from_slice(&rest[..now.len()]);
            self.offset += now.len();
            out = later;
            if self.offset == block.bytes.len() {
                self.at = block.next;
                self.offset = 0;
            } else {
                self.block = Some(block);
            }
        }
        Ok(())
    }

    /// Where it stands, for [`Image::cursor_at`].
    pub(super) fn position(&self) -> Position {
        Position { at: self.at, offset: self.offset }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }

    /// A number of 32 bits.
    pub(super) fn word(&mut self) -> Result<u32, ReadError> {
        Ok(word(&self.array::<4>()?, 0))
    }

    /// A number of 64 bits.
    pub(super) fn long(&mut self) -> Result<u64, ReadError> {
        Ok(long(&self.array::<8>()?, 0))
    }

    /// So many bytes, which the caller has bounded.
    pub(super) fn vec(&mut self, length: usize) -> Result<Vec<u8>, ReadError> {
        let mut out = vec![0; length];
        self.fill(&mut out)?;
        Ok(out)
    }
}
