//! A file's bytes: pieces that are found one after the other and can be decoded by any thread.
//!
//! ```text
//! size      |block       |block       |hole        |tail  |
//! pieces    start        + stored      0 bytes       in a fragment, or a last short block
//! ```

use std::sync::{Arc, PoisonError};

use super::inflate::Inflater;
use super::inode::File;
use super::metadata::{Cursor, Position};
use super::{Image, ReadAt, ReadError, fragment};
use crate::squashfs::fragment::{Fragment, UNCOMPRESSED};

const WHAT: &str = "data";

/// A part of a file, at most a block long.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Its first byte, from the file's start.
    pub at: u64,
    /// Bytes.
    pub length: u32,
    stored: Stored,
}

/// How a piece of a file is stored.
#[derive(Clone, Copy, Debug)]
enum Stored {
    Hole,
    Block(Fragment),
    /// In the block of tails, from this byte on.
    Tail(Fragment, u32),
}

impl Piece {
    /// Place and stored size of the block that it is, alone: nothing for a hole or a tail.
    pub fn block(&self) -> Option<(u64, u32)> {
        match self.stored {
            Stored::Block(block) => Some((block.place, block.size)),
            Stored::Hole | Stored::Tail(..) => None,
        }
    }

    /// Whether it holds only zeros and takes no room.
    pub fn is_hole(&self) -> bool {
        matches!(self.stored, Stored::Hole)
    }
}

/// A file's pieces in order, without gaps.
pub struct Pieces<'a, S> {
    image: &'a Image<S>,
    sizes: Cursor<'a, S>,
    file: File,
    /// Where the next piece starts in the file, and the next block in the image.
    at: u64,
    place: u64,
}

impl<S: ReadAt> Image<S> {
    /// Where a file's bytes are. No bytes are read for it but the inode's.
    pub fn pieces(&self, file: &File) -> Pieces<'_, S> {
        let sizes = self.cursor_at(self.inodes, file.sizes);
        Pieces { image: self, sizes, file: *file, at: 0, place: file.start }
    }
}

impl<S: ReadAt> Pieces<'_, S> {
    /// Where the next block's size stands, and where the block lies.
    pub(super) fn mark(&self) -> (Position, u64) {
        (self.sizes.position(), self.place)
    }

    /// Goes to a mark, which stands for byte `at` of the file.
    pub(super) fn go_to(&mut self, (sizes, place): (Position, u64), at: u64) {
        self.sizes = self.image.cursor_at(self.image.inodes, sizes);
        self.place = place;
        self.at = at.min(self.file.size);
    }

    fn piece(&mut self, length: u32) -> Result<Piece, ReadError> {
        let at = self.at;
        if length < self.image.block_size()
            && let Some((number, offset)) = self.file.tail
        {
            let fragment = fragment::get(self.image, number)?;
            self.stored(fragment)?;
            return Ok(Piece { at, length, stored: Stored::Tail(fragment, offset) });
        }
        let block = Fragment { place: self.place, size: self.sizes.word()? };
        let kind = match self.stored(block)? {
            0 => Stored::Hole,
            stored => {
                self.place += u64::from(stored);
                Stored::Block(block)
            }
        };
        Ok(Piece { at, length, stored: kind })
    }

    /// The bytes that a block takes, which lie inside the image.
    fn stored(&self, block: Fragment) -> Result<u32, ReadError> {
        let stored = block.size & !UNCOMPRESSED;
        let end = block.place.checked_add(stored.into());
        if stored > self.image.block_size()
            || end.is_none_or(|end| end > self.image.superblock.bytes_used)
        {
            let why = format!("a block of {stored} bytes at {}", block.place);
            return Err(ReadError::damaged(WHAT, why));
        }
        Ok(stored)
    }
}

impl<S: ReadAt> Iterator for Pieces<'_, S> {
    type Item = Result<Piece, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let left = self.file.size - self.at;
        if left == 0 {
            return None;
        }
        let block = self.image.block_size();
        let length = u32::try_from(left).map_or(block, |left| left.min(block));
        let piece = self.piece(length);
        // behind an error comes nothing
        self.at = if piece.is_ok() { self.at + u64::from(length) } else { self.file.size };
        Some(piece)
    }
}

/// One thread's means to turn pieces into bytes.
pub struct Decoder<'a, S> {
    image: &'a Image<S>,
    inflater: Inflater,
    packed: Vec<u8>,
    raw: Vec<u8>,
}

impl<'a, S: ReadAt> Decoder<'a, S> {
    /// A decoder of an image's pieces.
    ///
    /// # Errors
    /// When the decompressor cannot be made.
    pub fn new(image: &'a Image<S>) -> Result<Self, ReadError> {
        let inflater = Inflater::new(image.superblock.compressor)?;
        Ok(Self { image, inflater, packed: Vec::new(), raw: Vec::new() })
    }

    /// A piece's bytes: exactly its length.
    ///
    /// # Errors
    /// When they cannot be read, or the block holds fewer or more.
    pub fn read(&mut self, piece: &Piece) -> Result<&[u8], ReadError> {
        let length = piece.length as usize;
        match piece.stored {
            Stored::Hole => {
                self.raw.clear();
                self.raw.resize(length, 0);
            }
            Stored::Block(block) => {
                self.block(block, length)?;
                if self.raw.len() != length {
                    let why = format!("a block of {} bytes instead of {length}", self.raw.len());
                    return Err(ReadError::damaged(WHAT, why));
                }
            }
            Stored::Tail(fragment, offset) => {
                let tails = self.tails(fragment)?;
                let from = offset as usize;
                let tail = from.checked_add(length).and_then(|to| tails.get(from..to));
                let tail = tail.ok_or_else(|| {
                    let why = format!("a tail of {length} bytes at {offset} of {}", tails.len());
                    ReadError::damaged(WHAT, why)
                })?;
                self.raw.clear();
                self.raw.extend(tail);
            }
        }
        Ok(&self.raw)
    }

    fn tails(&mut self, fragment: Fragment) -> Result<Arc<Vec<u8>>, ReadError> {
        let key = (fragment.place, fragment.size);
        let image = self.image;
        let cache = || image.tails.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tails) = cache().get(key) {
            return Ok(tails);
        }
        // not locked meanwhile: others go on with what is there
        self.block(fragment, self.image.block_size() as usize)?;
        let tails = Arc::new(self.raw.clone());
        cache().put(key, tails.len(), &tails);
        Ok(tails)
    }

    /// Reads and inflates a stored block of at most `most` bytes into `raw`.
    fn block(&mut self, block: Fragment, most: usize) -> Result<(), ReadError> {
        let stored = (block.size & !UNCOMPRESSED) as usize;
        if block.size & UNCOMPRESSED != 0 {
            self.raw.resize(stored, 0);
            return self.image.bytes(WHAT, &mut self.raw, block.place);
        }
        self.packed.resize(stored, 0);
        self.image.bytes(WHAT, &mut self.packed, block.place)?;
        self.inflater.inflate(WHAT, &self.packed, &mut self.raw, most)
    }
}
