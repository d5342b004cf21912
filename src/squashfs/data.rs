//! The data area: blocks of files and groups of tails, one section per layer.
//!
//! ```text
//! |4096       |file a: block block block|file c: block|group|...|4096 next layer's section
//! ```
//!
//! A file's full blocks lie behind each other; its tail is in a group that may come later. Gaps
//! between files are allowed, so a section starts on a page boundary and can be shared by reflink.
//! A block of zeros takes no bytes. Written strictly forward; only the superblock comes last.
//!
//! Blocks are compressed by a pool of workers (`pool.rs`). What a place depends on is done in the
//! order of the queue `pending`, when the results before it are written: so it is the same for any
//! number of workers.

use std::collections::VecDeque;
use std::io::{Seek, SeekFrom, Write};
use std::num::NonZeroUsize;

use super::compress::{self, Compressor};
use super::fragment::{Fragment, UNCOMPRESSED};
use super::groups::{Group, Groups};
use super::pool::{Packed, Pool};
use super::{BLOCK_SIZES, Options, SquashfsError, superblock};
use crate::tree::Class;

/// Sections start at multiples of it.
const SECTION: usize = 4096;

/// A content's number in the order in which contents were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub(super) u32);

/// Where a content lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// Its first block, from the superblock; 0 when it has no full block.
    pub start: u64,
    /// Size of each stored block; 0 for one of zeros.
    pub blocks: Vec<u32>,
    /// Bytes of blocks of zeros.
    pub sparse: u64,
    /// Fragment and offset of its tail.
    pub tail: Option<(u32, u32)>,
}

/// What is written next, in this order.
enum Pending {
    /// Zeros to the next section's start.
    Section,
    /// From here on blocks of this content.
    File(Place),
    /// The pool's next block is this one of a content.
    Block(Place, usize),
    /// The pool's next block holds the tails of these.
    Group(Vec<(Place, u32)>),
}

/// Writes the data area.
pub struct DataWriter<W> {
    pub(super) out: W,
    /// Where the superblock is in `out`.
    pub(super) base: u64,
    /// Where the next byte goes, from the superblock.
    pub(super) at: u64,
    pub(super) options: Options,
    pub(super) compressor: Compressor,
    pub(super) fragments: Vec<Fragment>,
    pub(super) locations: Vec<Location>,
    groups: Groups,
    pool: Pool,
    pending: VecDeque<Pending>,
}

impl<W: Write + Seek> DataWriter<W> {
    /// Starts a file system at `base` of `out`, which is written from there on; `threads` compress.
    ///
    /// # Errors
    /// When an option cannot be or `out` cannot be written.
    pub fn begin(
        mut out: W,
        base: u64,
        options: Options,
        threads: NonZeroUsize,
    ) -> Result<Self, SquashfsError> {
        let size = options.block_size;
        if !size.is_power_of_two() || !BLOCK_SIZES.contains(&size) {
            return Err(SquashfsError::Option {
                what: "block size",
                value: size.into(),
                why: "a power of two from 4096 to 1048576 is needed",
            });
        }
        let compressor = Compressor::new(options.codec, options.level)?;
        let stated = compress::options(options.codec, options.level);
        let mut front = vec![0; superblock::LEN];
        // metadata, stored uncompressed
        front.extend((u16::try_from(stated.len()).unwrap_or(0) | 0x8000).to_le_bytes());
        front.extend(stated);
        out.seek(SeekFrom::Start(base)).map_err(SquashfsError::writing("superblock"))?;
        out.write_all(&front).map_err(SquashfsError::writing("superblock"))?;
        let block_size = size as usize;
        Ok(Self {
            out,
            base,
            at: front.len() as u64,
            options,
            compressor,
            fragments: Vec::new(),
            locations: Vec::new(),
            groups: Groups::new(block_size),
            pool: Pool::new(&options, threads)?,
            pending: VecDeque::new(),
        })
    }

    /// Starts a section: the contents that one layer supplies.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn begin_section(&mut self) -> Result<(), SquashfsError> {
        self.pending.push_back(Pending::Section);
        self.write(false)
    }

    /// Starts a content that is live here: its full blocks follow, then its tail.
    pub fn begin_file(&mut self) -> Place {
        let place = Place(u32::try_from(self.locations.len()).unwrap_or(u32::MAX));
        self.locations.push(Location::default());
        place
    }

    /// Adds the next full block of the content that was started last; its buffer best comes from
    /// [`DataWriter::buffer`].
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn block(&mut self, place: Place, block: Vec<u8>) -> Result<(), SquashfsError> {
        let location = self.location(place);
        let at = location.blocks.len();
        location.blocks.push(0);
        if at == 0 {
            self.pending.push_back(Pending::File(place));
        }
        if block.iter().all(|b| *b == 0) {
            self.location(place).sparse += block.len() as u64;
            self.pool.give_back(block);
            return Ok(());
        }
        self.submit(Pending::Block(place, at), block)
    }

    /// Adds what is left behind the full blocks of a content.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn tail(
        &mut self,
        place: Place,
        class: Class,
        directory: u32,
        bytes: &[u8],
    ) -> Result<(), SquashfsError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let closed = self.groups.add(class, directory, bytes.len(), Some((place, bytes)));
        closed.map_or(Ok(()), |group| self.submit_group(group))
    }

    /// A tail that takes its place in the layout, but is not live here.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn dead_tail(
        &mut self,
        class: Class,
        directory: u32,
        length: usize,
    ) -> Result<(), SquashfsError> {
        if length == 0 {
            return Ok(());
        }
        let closed = self.groups.add(class, directory, length, None);
        closed.map_or(Ok(()), |group| self.submit_group(group))
    }

    /// An empty buffer with room for a block.
    pub fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.pool.buffer();
        buffer.reserve(self.options.block_size as usize);
        buffer
    }

    /// Takes a buffer back that was not given as a block.
    pub fn give_back(&mut self, buffer: Vec<u8>) {
        self.pool.give_back(buffer);
    }

    /// Ends the section: its open groups are written.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn end_section(&mut self) -> Result<(), SquashfsError> {
        self.groups.flush().into_iter().try_for_each(|group| self.submit_group(group))
    }

    /// Writes what is still on its way.
    pub(super) fn end_data(&mut self) -> Result<(), SquashfsError> {
        self.write(true)
    }

    fn location(&mut self, place: Place) -> &mut Location {
        &mut self.locations[place.0 as usize]
    }

    fn submit_group(&mut self, group: Group) -> Result<(), SquashfsError> {
        if group.members.is_empty() {
            return Ok(());
        }
        self.submit(Pending::Group(group.members), group.bytes)
    }

    fn submit(&mut self, pending: Pending, raw: Vec<u8>) -> Result<(), SquashfsError> {
        self.write(false)?;
        self.pending.push_back(pending);
        self.pool.submit(raw);
        Ok(())
    }

    /// Writes the front of the queue: until the pool is no longer full, or all of it.
    fn write(&mut self, all: bool) -> Result<(), SquashfsError> {
        while all || self.pool.is_full() {
            match self.pending.pop_front() {
                None => break,
                Some(Pending::Section) => {
                    let gap = self.at.next_multiple_of(SECTION as u64) - self.at;
                    self.put(&[0; SECTION][..usize::try_from(gap).unwrap_or(0)], "padding")?;
                }
                Some(Pending::File(content)) => {
                    self.location(content).start = self.at;
                }
                Some(Pending::Block(content, index)) => {
                    let block = self.pool.next()?;
                    self.put(&block.bytes, "data")?;
                    self.location(content).blocks[index] = stored_size(&block);
                }
                Some(Pending::Group(members)) => self.write_group(&members)?,
            }
        }
        Ok(())
    }

    fn write_group(&mut self, members: &[(Place, u32)]) -> Result<(), SquashfsError> {
        let index = u32::try_from(self.fragments.len()).unwrap_or(u32::MAX);
        if index == u32::MAX {
            return Err(SquashfsError::TooMany { what: "fragments", limit: index.into() });
        }
        let block = self.pool.next()?;
        self.fragments.push(Fragment { place: self.at, size: stored_size(&block) });
        self.put(&block.bytes, "data")?;
        for (content, offset) in members {
            self.location(*content).tail = Some((index, *offset));
        }
        Ok(())
    }

    pub(super) fn put(&mut self, bytes: &[u8], what: &'static str) -> Result<(), SquashfsError> {
        self.out.write_all(bytes).map_err(SquashfsError::writing(what))?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

fn stored_size(block: &Packed) -> u32 {
    // at most a block size, which is far below the flag
    let size = u32::try_from(block.bytes.len()).unwrap_or(UNCOMPRESSED - 1);
    size | if block.stored { UNCOMPRESSED } else { 0 }
}
