//! Directory listings, one name at a time.
//!
//! Names must rise: the kernel finds them by that, and none can come twice (CVE-2021-41072).

use super::inode::Listing;
use super::metadata::Cursor;
use super::{Image, ReadAt, ReadError, half, word};
use crate::tree::{MAX_NAME, show};

const WHAT: &str = "directory table";
/// Names of a run.
const MAX_RUN: u32 = 256;

/// A directory that is being read.
pub(super) struct Names<'a, S> {
    cursor: Cursor<'a, S>,
    /// Bytes of the listing that were not read yet.
    left: u32,
    /// Names of the run that were not read yet.
    run: u32,
    /// The run's block of inodes and inode number.
    block: u32,
    number: u32,
    last: Vec<u8>,
}

/// A name and where its inode is.
pub(super) struct Name {
    pub(super) bytes: Vec<u8>,
    /// Reference into the inode table.
    pub(super) reference: u64,
    /// The inode's number as the directory has it.
    pub(super) number: u32,
    /// The inode's type as the directory has it.
    pub(super) kind: u16,
}

impl<'a, S: ReadAt> Names<'a, S> {
    pub(super) fn new(image: &'a Image<S>, listing: Listing) -> Result<Self, ReadError> {
        let cursor = image.cursor(image.directories, listing.reference)?;
        let last = Vec::new();
        Ok(Self { cursor, left: listing.size, run: 0, block: 0, number: 0, last })
    }

    fn spend(&mut self, bytes: u32) -> Result<(), ReadError> {
        self.left = self
            .left
            .checked_sub(bytes)
            .ok_or_else(|| ReadError::damaged(WHAT, "a name goes over its listing's end"))?;
        Ok(())
    }

    /// The next name; `None` at the listing's end.
    pub(super) fn next(&mut self) -> Result<Option<Name>, ReadError> {
        if self.run == 0 {
            if self.left == 0 {
                return Ok(None);
            }
            self.spend(12)?;
            let run: [u8; 12] = self.cursor.array()?;
            self.run = word(&run, 0).saturating_add(1);
            if self.run > MAX_RUN {
                return Err(ReadError::damaged(WHAT, format!("a run of {} names", self.run)));
            }
            (self.block, self.number) = (word(&run, 4), word(&run, 8));
        }
        self.run -= 1;
        let entry: [u8; 8] = self.cursor.array()?;
        let length = u32::from(half(&entry, 6)) + 1;
        self.spend(8)?;
        self.spend(length)?;
        if length as usize > MAX_NAME {
            return Err(ReadError::damaged(WHAT, format!("a name of {length} bytes")));
        }
        let bytes = self.cursor.vec(length as usize)?;
        let refused = |why| Err(ReadError::Name { name: show(&bytes), why });
        if bytes == b"." || bytes == b".." {
            return refused("it leads out of its directory");
        }
        if bytes.contains(&b'/') {
            return refused("it holds a slash");
        }
        if bytes.contains(&0) {
            return refused("it holds a NUL byte");
        }
        if bytes == self.last {
            return refused("it is there twice");
        }
        if bytes < self.last {
            return refused("the directory is not sorted");
        }
        self.last.clone_from(&bytes);
        let delta = i16::from_le_bytes([entry[2], entry[3]]);
        Ok(Some(Name {
            bytes,
            reference: u64::from(self.block) << 16 | u64::from(half(&entry, 0)),
            number: self.number.wrapping_add_signed(delta.into()),
            kind: half(&entry, 4),
        }))
    }
}
