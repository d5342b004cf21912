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
//! A block that a pack has (`memo.rs`) is copied from there instead of compressed: the same bytes at the same place.
//! Blocks that are neighbours in the pack are copied in one piece, while the writer goes on behind them (`copier.rs`).
//!
//! A pool of workers compresses the blocks (`pool.rs`). Places are given in the order of the queue `pending`, after all
//! results before have been written, so they are the same for any number of workers.

use std::collections::VecDeque;
use std::io::SeekFrom;
use std::num::NonZeroUsize;

use super::compress::{self, Compressor};
use super::copier::{self, Copier, Copying, Range};
use super::fragment::{Fragment, UNCOMPRESSED};
use super::groups::{Bytes, Group, Groups, Member};
use super::location::{Blocks, Locations};
use super::memo::{Copied, Memo, Target};
use super::pack::{PackBuilder, Stored, Tail};
use super::place::Place;
use super::pool::{Packed, Pool};
use super::{BLOCK_SIZES, Options, SquashfsError, superblock};
use crate::tree::{Class, ContentId, Contents, PieceHash};

/// How much may wait for the workers that needs none itself.
const PENDING: usize = 4096;
/// Sections start at multiples of it.
const SECTION: usize = 4096;

/// What was done instead of compressing, and how much was compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Bytes that were copied from earlier SIFs, as they are stored.
    pub bytes_copied: u64,
    /// Bytes that were given to the compressor.
    pub bytes_compressed: u64,
    /// Full blocks that were copied.
    pub blocks_reused: u64,
    /// Groups of tails that were copied.
    pub groups_reused: u64,
    /// Groups that were put together anew from tails of earlier ones.
    pub groups_mixed: u64,
}

impl std::ops::Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes_copied: self.bytes_copied + other.bytes_copied,
            bytes_compressed: self.bytes_compressed + other.bytes_compressed,
            blocks_reused: self.blocks_reused + other.blocks_reused,
            groups_reused: self.groups_reused + other.groups_reused,
            groups_mixed: self.groups_mixed + other.groups_mixed,
        }
    }
}

/// A file system that is written.
#[derive(Debug)]
pub struct Finished {
    /// Its length, padded to 4096.
    pub size: u64,
    /// Files of any type, several names of one counted once.
    pub inodes: u32,
    /// What was done for it.
    pub counters: Counters,
    /// What was copied: to be compared with its hashes by whoever reads the file next.
    pub copied: Vec<Copied>,
    /// What is not yet there: to be asked by whoever reads the file next.
    pub copying: Copying,
    /// What becomes the index of the SIF.
    pub pack: PackBuilder,
    /// The packs.
    pub memo: Memo,
}

/// What a block is for.
enum Use {
    /// A full block of a content.
    Block(Place, usize),
    /// The tails of these.
    Group(Vec<Member>),
}

/// What is written next, in this order.
enum Pending {
    /// Zeros to the next section's start.
    Section,
    /// From here on blocks of this content.
    File(Place),
    /// The pool's next block.
    Pool(PieceHash, Use),
    /// A block of a pack.
    Copy(usize, Stored, Use),
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
    pub(super) locations: Locations,
    pub(super) memo: Memo,
    pub(super) counters: Counters,
    pub(super) copied: Vec<Copied>,
    pub(super) pack: PackBuilder,
    /// For each fragment its number in `pack`.
    pub(super) packed_as: Vec<u32>,
    /// Blocks of a pack that lie behind each other are copied at once; `at` is behind them.
    run: Option<Range>,
    /// Started with the first range, where `out` is a file.
    copier: Option<Copier>,
    zero: PieceHash,
    groups: Groups,
    pool: Pool,
    pending: VecDeque<Pending>,
}

impl<W: Target> DataWriter<W> {
    /// Starts a file system at `base` of `out`, which is written from there on; `threads` compress
    /// what `memo` does not have.
    ///
    /// # Errors
    /// When an option cannot be or `out` cannot be written.
    pub fn begin(
        mut out: W,
        base: u64,
        options: Options,
        threads: NonZeroUsize,
        memo: Memo,
    ) -> Result<Self, SquashfsError> {
        let size = options.block_size;
        if !size.is_power_of_two() || !BLOCK_SIZES.contains(&size) {
            return Err(SquashfsError::Option {
                what: "block size",
                value: size.into(),
                why: "a power of two from 4096 to 1048576 is needed",
            });
        }
        let compressor = Compressor::new(options.codec, options.level, options.block_size)?;
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
            locations: Locations::default(),
            memo,
            counters: Counters::default(),
            copied: Vec::new(),
            pack: PackBuilder::default(),
            packed_as: Vec::new(),
            run: None,
            copier: None,
            zero: PieceHash::of(&vec![0; block_size]),
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
        self.locations.add()
    }

    /// Adds the next full block of the content that was started last; its buffer best comes from
    /// [`DataWriter::buffer`].
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn block(
        &mut self,
        place: Place,
        hash: PieceHash,
        block: Vec<u8>,
    ) -> Result<(), SquashfsError> {
        if self.known_block(place, hash)? {
            self.pool.give_back(block);
            return Ok(());
        }
        let at = self.next_block(place);
        self.compress(hash, Use::Block(place, at), block)
    }

    /// Adds the next full block of the content that was started last by its hash alone; false, and
    /// nothing is done, when no pack has it.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn known_block(&mut self, place: Place, hash: PieceHash) -> Result<bool, SquashfsError> {
        if hash == self.zero {
            self.next_block(place);
            self.blocks(place).sparse += u64::from(self.options.block_size);
            return Ok(true);
        }
        let Some((pack, stored)) = self.memo.block(&hash) else { return Ok(false) };
        let at = self.next_block(place);
        self.counters.blocks_reused += 1;
        self.pending.push_back(Pending::Copy(pack, stored, Use::Block(place, at)));
        self.write(false)?;
        Ok(true)
    }

    /// Whether a content can be written without its bytes: the hashes of its pieces and its length.
    #[must_use]
    pub fn can_copy(&self, pieces: &[PieceHash], size: u64) -> bool {
        let tail = u32::try_from(size % u64::from(self.options.block_size)).unwrap_or(0);
        let (blocks, rest) =
            pieces.split_at(pieces.len() - usize::from(tail > 0).min(pieces.len()));
        blocks.iter().all(|hash| *hash == self.zero || self.memo.has_block(hash))
            && rest.iter().all(|hash| self.memo.has_tail(hash, tail))
    }

    fn next_block(&mut self, place: Place) -> usize {
        let sizes = &mut self.blocks(place).sizes;
        let at = sizes.len();
        sizes.push(0);
        if at == 0 {
            self.pending.push_back(Pending::File(place));
        }
        at
    }

    /// Adds what is left behind the full blocks of a content: its bytes, or their number when
    /// [`DataWriter::can_copy`] says so. One section has only one kind.
    ///
    /// # Errors
    /// When the output cannot be written, or a pack is damaged.
    pub fn tail(
        &mut self,
        place: Place,
        (class, directory): (Class, u32),
        hash: PieceHash,
        bytes: Bytes<'_>,
    ) -> Result<(), SquashfsError> {
        if bytes.len() == 0 {
            return Ok(());
        }
        let closed = self.groups.add(class, directory, bytes, Some((place, hash)));
        closed.map_or(Ok(()), |group| self.submit_group(group))
    }

    /// A tail that takes its place in the layout, but is not live here.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn dead_tail(
        &mut self,
        (class, directory): (Class, u32),
        length: usize,
    ) -> Result<(), SquashfsError> {
        if length == 0 {
            return Ok(());
        }
        let closed = self.groups.add(class, directory, Bytes::Packed(length), None);
        closed.map_or(Ok(()), |group| self.submit_group(group))
    }

    /// Adds a whole content that is in memory; its tail counts as text of the first directory.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn add(&mut self, bytes: &[u8]) -> Result<Place, SquashfsError> {
        let place = self.begin_file();
        let blocks = bytes.chunks_exact(self.options.block_size as usize);
        let tail = blocks.remainder();
        for block in blocks {
            self.block(place, PieceHash::of(block), block.to_vec())?;
        }
        self.tail(place, (Class::Text, 0), PieceHash::of(tail), Bytes::Here(tail))?;
        Ok(place)
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

    /// Writes what is still on its way, and ends the workers; what follows needs their memory.
    /// Nothing may be added after that.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn end_data(&mut self) -> Result<(), SquashfsError> {
        self.write(true)?;
        self.pool.end();
        Ok(())
    }

    fn blocks(&mut self, place: Place) -> &mut Blocks {
        self.locations.blocks(place)
    }

    fn submit_group(&mut self, mut group: Group) -> Result<(), SquashfsError> {
        if group.members.is_empty() {
            return Ok(());
        }
        let key = group.key();
        if let Some((pack, stored)) = self.memo.block(&key) {
            self.counters.groups_reused += 1;
            self.pending.push_back(Pending::Copy(pack, stored, Use::Group(group.members)));
            return self.write(false);
        }
        if group.bytes.is_empty() {
            self.counters.groups_mixed += 1;
            for Member { hash, length, .. } in &group.members {
                self.memo.read_tail(hash, *length, &self.options, &mut group.bytes)?;
            }
        }
        self.compress(key, Use::Group(group.members), group.bytes)
    }

    fn compress(&mut self, key: PieceHash, what: Use, raw: Vec<u8>) -> Result<(), SquashfsError> {
        self.write(false)?;
        self.counters.bytes_compressed += raw.len() as u64;
        // a group's key is no hash of its bytes
        let hash = matches!(what, Use::Block(..)).then_some(key);
        self.pending.push_back(Pending::Pool(key, what));
        self.pool.submit(raw, hash);
        Ok(())
    }

    /// Writes the front of the queue: what waits for no worker, and more until the pool is no longer
    /// full, or all of it.
    fn write(&mut self, all: bool) -> Result<(), SquashfsError> {
        while let Some(next) = self.pending.front() {
            let wait = all || self.pool.is_full() || self.pending.len() > PENDING;
            if matches!(next, Pending::Pool(..)) && !wait {
                break;
            }
            match self.pending.pop_front() {
                None => break,
                Some(Pending::Section) => {
                    let gap = self.at.next_multiple_of(SECTION as u64) - self.at;
                    self.put(&[0; SECTION][..usize::try_from(gap).unwrap_or(0)], "padding")?;
                }
                Some(Pending::File(content)) => {
                    self.blocks(content).start = self.at;
                }
                Some(Pending::Pool(key, what)) => {
                    let block = self.pool.next()?;
                    let offset = self.base + self.at;
                    let stored = Stored { key, offset, size: stored_size(&block), sum: block.sum };
                    self.place(what, stored)?;
                    self.put(block.bytes(), "data")?;
                    self.pool.give_back_packed(block);
                }
                Some(Pending::Copy(pack, stored, what)) => self.copy(pack, stored, what)?,
            }
        }
        if all { self.end_run() } else { Ok(()) }
    }

    /// Notes what lies at the current end of the data.
    fn place(&mut self, what: Use, stored: Stored) -> Result<(), SquashfsError> {
        let number = u32::try_from(self.pack.blocks.len()).unwrap_or(u32::MAX);
        self.pack.blocks.push(stored);
        match what {
            Use::Block(content, index) => self.blocks(content).sizes[index] = stored.size,
            Use::Group(members) => {
                let index = u32::try_from(self.fragments.len()).unwrap_or(u32::MAX);
                if index == u32::MAX {
                    return Err(SquashfsError::TooMany { what: "fragments", limit: index.into() });
                }
                self.fragments.push(Fragment { place: self.at, size: stored.size });
                self.packed_as.push(number);
                for Member { place, offset, .. } in members {
                    self.locations.put_tail(place, index, offset);
                }
            }
        }
        Ok(())
    }

    /// Adds a block of a pack to the range that is to be copied.
    fn copy(&mut self, pack: usize, stored: Stored, what: Use) -> Result<(), SquashfsError> {
        let length = stored.size & !UNCOMPRESSED;
        if length > self.options.block_size {
            return Err(self.memo.damaged(pack, "its index names a block too large".into()));
        }
        let at = self.base + self.at;
        self.place(what, Stored { offset: at, ..stored })?;
        self.copied.push(Copied { at, length, sum: stored.sum, pack });
        self.counters.bytes_copied += u64::from(length);
        match &mut self.run {
            Some(run) if run.pack == pack && run.from + run.length == stored.offset => {
                run.length += u64::from(length);
            }
            _ => {
                self.end_run()?;
                let from = stored.offset;
                self.run = Some(Range { pack, from, to: at, length: length.into() });
            }
        }
        self.at += u64::from(length);
        Ok(())
    }

    fn end_run(&mut self) -> Result<(), SquashfsError> {
        let Some(run) = self.run.take() else { return Ok(()) };
        if self.copier.is_none() {
            let files = self.out.file().zip(self.memo.files());
            self.copier = files.map(|(out, packs)| Copier::start(out, packs));
        }
        if let Some(copier) = &mut self.copier {
            let behind = SeekFrom::Start(run.to + run.length);
            self.out.seek(behind).map_err(SquashfsError::writing("data"))?;
            let copied = copier.copy(run);
            return copied.map_err(|(pack, error)| copier::failed(&self.memo, pack, error));
        }
        let (pack, out) = (self.memo.file(run.pack), &mut self.out);
        copier::through_memory(pack, run.from, run.length, |bytes, _| out.write_all(bytes))
            .map_err(|error| copier::failed(&self.memo, run.pack, error))
    }

    pub(super) fn put(&mut self, bytes: &[u8], what: &'static str) -> Result<(), SquashfsError> {
        self.end_run()?;
        self.out.write_all(bytes).map_err(SquashfsError::writing(what))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Ends without tables: what was written becomes a pack of its own.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn into_pack(
        mut self,
        contents: &Contents,
        places: &[Option<Place>],
    ) -> Result<Finished, SquashfsError> {
        self.end_data()?;
        let locations = std::mem::take(&mut self.locations);
        self.pack.tails = self.tails(contents, places, &locations);
        let mut all = self.finished(0, 0);
        all.copying.ready(u64::MAX, &all.memo)?;
        Ok(all)
    }

    pub(super) fn finished(self, size: u64, inodes: u32) -> Finished {
        let Self { counters, copied, pack, memo, copier, .. } = self;
        Finished { size, inodes, counters, copied, copying: Copying(copier), pack, memo }
    }

    /// Where the tail of each content that was written lies.
    pub(super) fn tails(
        &self,
        contents: &Contents,
        places: &[Option<Place>],
        locations: &Locations,
    ) -> Vec<Tail> {
        // not by doubling: beside the contents it is the largest of all there is at the end
        let mut tails = Vec::with_capacity(places.len());
        for (id, place) in (0..).map(ContentId).zip(places) {
            if let Some((fragment, offset)) = place.and_then(|place| locations.tail(place))
                && let Some(hash) = contents.pieces(id).last().copied()
            {
                let group = self.packed_as[fragment as usize];
                let length = contents.get(id).size % u64::from(self.options.block_size);
                let length = u32::try_from(length).unwrap_or(0);
                tails.push(Tail { hash, group, offset, length });
            }
        }
        tails
    }
}

fn stored_size(block: &Packed) -> u32 {
    // at most a block size, which is far below the flag
    let size = u32::try_from(block.bytes().len()).unwrap_or(UNCOMPRESSED - 1);
    size | if block.stored { UNCOMPRESSED } else { 0 }
}
