//! The data area: blocks of files and groups of tails, one section per layer.
//!
//! ```text
//! |4096       |file a: block block block|file c: block|group|...|4096 next layer's section
//! ```
//!
//! A file's full blocks lie behind each other; its tail is in a group that may come later. Gaps
//! between files are allowed, so a section starts on a page boundary and can be shared by reflink.
//! A block of zeros takes no bytes. Written strictly forward; only the superblock comes last.

use std::io::{Read, Seek, SeekFrom, Write};

use super::compress::{self, Compressor};
use super::fragment::{Fragment, UNCOMPRESSED};
use super::groups::{Group, Groups};
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
    block: Vec<u8>,
}

impl<W: Write + Seek> DataWriter<W> {
    /// Starts a file system at `base` of `out`, which is written from there on.
    ///
    /// # Errors
    /// When an option cannot be or `out` cannot be written.
    pub fn begin(mut out: W, base: u64, options: Options) -> Result<Self, SquashfsError> {
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
            block: Vec::with_capacity(block_size),
        })
    }

    /// Starts a section: the contents that one layer supplies.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn begin_section(&mut self) -> Result<(), SquashfsError> {
        let gap = self.at.next_multiple_of(SECTION as u64) - self.at;
        self.put(&[0; SECTION][..usize::try_from(gap).unwrap_or(0)], "padding")
    }

    /// Adds the next distinct content of the section's layer: with its bytes when it is live here,
    /// without when it is not and only takes its place in the layout.
    ///
    /// # Errors
    /// When the bytes are fewer than announced or cannot be read, or the output cannot be written.
    pub fn add(&mut self, slot: Slot, data: Option<&mut dyn Read>) -> Result<(), SquashfsError> {
        let block_size = u64::from(self.options.block_size);
        // smaller than a block
        let tail = usize::try_from(slot.size % block_size).unwrap_or(0);
        let Some(data) = data else {
            if tail > 0 {
                let (class, directory) = (slot.class, slot.directory);
                let closed = self.groups.add(class, directory, slot.content, tail, None);
                closed.map_or(Ok(()), |group| self.write_group(&group))?;
            }
            return Ok(());
        };
        let mut location = Location { start: self.at, ..Location::default() };
        let mut left = slot.size;
        while left >= block_size {
            self.fill(data, self.options.block_size as usize, slot.size, left)?;
            left -= block_size;
            if self.block.iter().all(|b| *b == 0) {
                location.sparse += block_size;
                location.blocks.push(0);
            } else {
                let size = self.write_block()?;
                location.blocks.push(size);
            }
        }
        if location.blocks.is_empty() {
            location.start = 0;
        }
        self.fill(data, tail, slot.size, left)?;
        let index = slot.content.index();
        if self.locations.len() <= index {
            self.locations.resize(index + 1, None);
        }
        self.locations[index] = Some(location);
        if tail > 0 {
            let (class, directory) = (slot.class, slot.directory);
            let bytes = Some(&self.block[..]);
            let closed = self.groups.add(class, directory, slot.content, tail, bytes);
            closed.map_or(Ok(()), |group| self.write_group(&group))?;
        }
        Ok(())
    }

    /// Ends the section: its open groups are written.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn end_section(&mut self) -> Result<(), SquashfsError> {
        self.groups.flush().iter().try_for_each(|group| self.write_group(group))
    }

    fn fill(
        &mut self,
        data: &mut dyn Read,
        count: usize,
        size: u64,
        left: u64,
    ) -> Result<(), SquashfsError> {
        self.block.clear();
        let read = data.take(count as u64).read_to_end(&mut self.block);
        let read = read.map_err(SquashfsError::Read)?;
        if read == count {
            Ok(())
        } else {
            Err(SquashfsError::Short { found: size - left + read as u64, expected: size })
        }
    }

    fn write_block(&mut self) -> Result<u32, SquashfsError> {
        let block = self.compressor.block(&self.block)?;
        let size = stored_size(block);
        self.out.write_all(block.bytes).map_err(SquashfsError::writing("data"))?;
        self.at += block.bytes.len() as u64;
        Ok(size)
    }

    fn write_group(&mut self, group: &Group) -> Result<(), SquashfsError> {
        if group.members.is_empty() {
            return Ok(());
        }
        let index = u32::try_from(self.fragments.len()).unwrap_or(u32::MAX);
        if index == u32::MAX {
            return Err(SquashfsError::TooMany { what: "fragments", limit: index.into() });
        }
        let block = self.compressor.block(&group.bytes)?;
        self.fragments.push(Fragment { place: self.at, size: stored_size(block) });
        self.out.write_all(block.bytes).map_err(SquashfsError::writing("data"))?;
        self.at += block.bytes.len() as u64;
        for (content, offset) in &group.members {
            if let Some(Some(location)) = self.locations.get_mut(content.index()) {
                location.tail = Some((index, *offset));
            }
        }
        Ok(())
    }

    pub(super) fn put(&mut self, bytes: &[u8], what: &'static str) -> Result<(), SquashfsError> {
        self.out.write_all(bytes).map_err(SquashfsError::writing(what))?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

fn stored_size(block: compress::Block<'_>) -> u32 {
    // at most a block size, which is far below the flag
    let size = u32::try_from(block.bytes.len()).unwrap_or(UNCOMPRESSED - 1);
    size | if block.stored { UNCOMPRESSED } else { 0 }
}
