//! Metadata blocks: every table is cut into pieces of 8 KiB before it is compressed.
//!
//! ```text
//! u16 length | 0x8000 when stored uncompressed
//! length bytes, 8192 when inflated (the last one less)
//! ```
//!
//! A reference is the block's place from the table's start and the offset in the inflated block. A
//! full block is written at once, so no reference has the offset 8192.

use super::SquashfsError;
use super::compress::Compressor;

/// Inflated bytes of a metadata block.
pub(super) const BLOCK: usize = 8192;
const STORED: u16 = 0x8000;
/// Finished bytes that are worth a write.
const READY: usize = 256 << 10;

/// A place in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Where the metadata block starts, from the table's start.
    pub(super) block: u64,
    /// Offset in the inflated block, below 8192.
    pub(super) offset: u16,
}

impl Position {
    /// As inodes and tables hold it.
    pub(super) fn reference(self) -> u64 {
        self.block << 16 | u64::from(self.offset)
    }

    pub(super) fn from_reference(reference: u64) -> Self {
        let offset = u16::try_from(reference & 0xFFFF).unwrap_or(0);
        Self { block: reference >> 16, offset }
    }
}

/// A table that is being written.
#[derive(Default)]
pub(super) struct MetadataWriter {
    open: Vec<u8>,
    done: Vec<u8>,
    /// Bytes of the table before `done`, which were taken.
    taken: u64,
    starts: Vec<u64>,
}

impl MetadataWriter {
    /// Where the next byte goes.
    pub(super) fn position(&self) -> Position {
        // an open block is never full
        let offset = u16::try_from(self.open.len()).unwrap_or(0);
        Position { block: self.taken + self.done.len() as u64, offset }
    }

    /// The next bytes of the table, when there are enough to write them while the rest grows.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        (self.done.len() >= READY).then(|| {
            self.taken += self.done.len() as u64;
            std::mem::replace(&mut self.done, Vec::with_capacity(READY + BLOCK + 2))
        })
    }

    pub(super) fn write(
        &mut self,
        mut bytes: &[u8],
        compressor: &mut Compressor,
    ) -> Result<(), SquashfsError> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.open.len()));
            self.open.extend(now);
            bytes = later;
            if self.open.len() == BLOCK {
                self.flush(compressor)?;
            }
        }
        Ok(())
    }

    /// Ends the table: its bytes that were not taken, and where each block starts in it.
    pub(super) fn finish(
        mut self,
        compressor: &mut Compressor,
    ) -> Result<(Vec<u8>, Vec<u64>), SquashfsError> {
        if !self.open.is_empty() {
            self.flush(compressor)?;
        }
        Ok((self.done, self.starts))
    }

    fn flush(&mut self, compressor: &mut Compressor) -> Result<(), SquashfsError> {
        self.starts.push(self.position().block);
        let block = compressor.block(&self.open)?;
        // at most 8192
        let length = u16::try_from(block.bytes.len()).unwrap_or(0);
        let header = length | if block.stored { STORED } else { 0 };
        self.done.extend(header.to_le_bytes());
        self.done.extend(block.bytes);
        self.open.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pin::Codec;
    use crate::tree::PieceHash;

    #[test]
    fn a_reference_never_points_behind_a_full_block() {
        let mut c = Compressor::new(Codec::Zstd, 3, 128 << 10).unwrap();
        let mut table = MetadataWriter::default();
        table.write(&[7; BLOCK - 1], &mut c).unwrap();
        assert_eq!(table.position(), Position { block: 0, offset: 8191 });
        table.write(&[7], &mut c).unwrap();
        let position = table.position();
        assert!(position.block > 0 && position.offset == 0);
        table.write(&[7; BLOCK + 5], &mut c).unwrap();
        assert_eq!(table.position().offset, 5);
        let (bytes, starts) = table.finish(&mut c).unwrap();
        assert_eq!(starts.len(), 3);
        assert_eq!(starts[1], position.block);
        assert!(starts[2] < bytes.len() as u64);
    }

    #[test]
    fn what_is_taken_and_what_is_left_are_the_table() {
        let mut c = Compressor::new(Codec::Zstd, 3, 128 << 10).unwrap();
        let (mut whole, mut parts) = (MetadataWriter::default(), MetadataWriter::default());
        let (mut pieces, mut taken) = (0, Vec::new());
        for n in 0..100_000_u64 {
            // hardly compressible
            let piece = PieceHash::of(&n.to_le_bytes()).0;
            whole.write(&piece[..], &mut c).unwrap();
            parts.write(&piece[..], &mut c).unwrap();
            assert_eq!(whole.position(), parts.position());
            if let Some(bytes) = parts.take() {
                taken.extend(bytes);
                pieces += 1;
            }
        }
        let (rest, starts) = parts.finish(&mut c).unwrap();
        taken.extend(rest);
        assert!(pieces > 5);
        assert_eq!((taken, starts), whole.finish(&mut c).unwrap());
    }
}
