//! A place in a file, without going through all blocks in front of it each time.
//!
//! Where a block lies follows from the sizes of all in front of it. They are summed up once; a mark is kept
//! for every 64th block, 24 bytes each, so also a hostile file of the largest length costs some megabytes.

use super::error::check;
use super::inode::File;
use super::metadata::Position;
use super::{Image, Pieces, ReadAt, ReadError};

/// Blocks between two marks.
const STEP: u64 = 64;

/// Where every 64th block of a file lies.
#[derive(Debug, Default)]
pub struct Marks(Vec<(Position, u64)>);

impl Marks {
    /// Bytes that they take in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.len() * size_of::<(Position, u64)>()
    }
}

impl<S: ReadAt> Image<S> {
    /// Whether a file is long enough that marks are worth it.
    pub fn wants_marks(&self, file: &File) -> bool {
        file.size / u64::from(self.block_size()) > STEP
    }

    /// Goes through a file once.
    ///
    /// # Errors
    /// When a size is impossible, or the file is larger than the limits allow.
    pub fn marks(&self, file: &File) -> Result<Marks, ReadError> {
        check("content bytes", file.size, self.limits.content_bytes)?;
        let mut pieces = self.pieces(file);
        let mut marks = Vec::new();
        for block in 0_u64.. {
            if block % STEP == 0 {
                marks.push(pieces.mark());
            }
            match pieces.next() {
                None => break,
                Some(piece) => piece.map(drop)?,
            }
        }
        Ok(Marks(marks))
    }

    /// The pieces from the one on that holds byte `at`. Without marks all in front of it are gone through.
    ///
    /// # Errors
    /// When a size is impossible.
    pub fn pieces_from(
        &self,
        file: &File,
        marks: &Marks,
        at: u64,
    ) -> Result<Pieces<'_, S>, ReadError> {
        let block = at / u64::from(self.block_size());
        let mut pieces = self.pieces(file);
        let mut here = 0;
        if let Ok(number) = usize::try_from(block / STEP)
            && let Some(mark) = marks.0.get(number)
        {
            here = block / STEP * STEP;
            pieces.go_to(*mark, here * u64::from(self.block_size()));
        }
        while here < block {
            match pieces.next() {
                None => break,
                Some(piece) => piece.map(drop)?,
            }
            here += 1;
        }
        Ok(pieces)
    }
}
