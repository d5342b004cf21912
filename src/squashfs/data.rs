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
use std::io::{Read, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;

use super::compress::{self, Compressor};
use super::fragment::{Fragment, UNCOMPRESSED};
use super::groups::{Group, Groups};
use super::pool::{Packed, Pool};
use super::{BLOCK_SIZES, Options, SquashfsError, superblock};
use crate::tree::{Class, ContentId};

/// Sections start at multiples of it.
const SECTION: usize = 4096;

/// One distinct content of a layer, at its first place in the layer's tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Which content.
    pub content: ContentId,
    /// Its length in bytes.
    pub size: u64,
    /// Which tails it is grouped with.
    pub class: Class,
    /// A number that changes when the directory does.
    pub directory: u32,
}

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
    File(ContentId),
    /// The pool's next block is this one of a content.
    Block(ContentId, usize),
    /// The pool's next block holds the tails of these.
    Group(Vec<(ContentId, u32)>),
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
    pub(super) locations: Vec<Option<Location>>,
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

    /// Adds the next distinct content of the section's layer: with its bytes when it is live here,
    /// without when it is not and only takes its place in the layout.
    ///
    /// # Errors
    /// When the bytes are fewer than announced or cannot be read, or the output cannot be written.
    pub fn add(&mut self, slot: Slot, data: Option<&mut dyn Read>) -> Result<(), SquashfsError> {
        let Slot { content, size, class, directory } = slot;
        let block_size = u64::from(self.options.block_size);
        // smaller than a block
        let tail = usize::try_from(size % block_size).unwrap_or(0);
        let Some(data) = data else {
            let closed = (tail > 0)
                .then(|| self.groups.add(class, directory, content, tail, None))
                .flatten();
            return closed.map_or(Ok(()), |group| self.submit_group(group));
        };
        let mut left = size;
        if left >= block_size {
            self.pending.push_back(Pending::File(content));
        }
        let index = content.index();
        if self.locations.len() <= index {
            self.locations.resize(index + 1, None);
        }
        self.locations[index] = Some(Location::default());
        while left >= block_size {
            let block = self.read(data, self.options.block_size as usize, size, left)?;
            left -= block_size;
            let location = self.location(content);
            location.blocks.push(0);
            if block.iter().all(|b| *b == 0) {
                location.sparse += block_size;
                self.pool.give_back(block);
            } else {
                let at = location.blocks.len() - 1;
                self.submit(Pending::Block(content, at), block)?;
            }
        }
        if tail > 0 {
            let block = self.read(data, tail, size, left)?;
            let closed = self.groups.add(class, directory, content, tail, Some(&block));
            self.pool.give_back(block);
            closed.map_or(Ok(()), |group| self.submit_group(group))?;
        }
        Ok(())
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

    fn read(
        &mut self,
        data: &mut dyn Read,
        count: usize,
        size: u64,
        left: u64,
    ) -> Result<Vec<u8>, SquashfsError> {
        let mut block = self.pool.buffer();
        block.reserve(self.options.block_size as usize);
        let read = data.take(count as u64).read_to_end(&mut block).map_err(SquashfsError::Read)?;
        if read == count {
            Ok(block)
        } else {
            Err(SquashfsError::Short { found: size - left + read as u64, expected: size })
        }
    }

    fn location(&mut self, content: ContentId) -> &mut Location {
        self.locations[content.index()].get_or_insert_default()
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

    fn write_group(&mut self, members: &[(ContentId, u32)]) -> Result<(), SquashfsError> {
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
