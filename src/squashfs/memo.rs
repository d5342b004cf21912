//! Blocks that earlier conversions compressed, by what is in them.
//!
//! ```text
//! key of a block or group --pack.rs--> a range of an older SIF --copy--> the SIF that is written
//! hash of a tail          --pack.rs--> group --read, inflate--> the tail's bytes
//! ```
//!
//! It is only a memory of `compress(bytes, recipe)`: which bytes are written where follows from the layers, never from
//! what is found here. So packs must come from the same recipe. Nothing that is found is trusted: copied ranges are
//! listed ([`Copied`]) and hashed again in the finished file, and tails are hashed when they are read. Ranges are read
//! with `pread` and never mapped, because another process may write to that file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::FileExt;

use super::fragment::UNCOMPRESSED;
use super::pack::{PackIndex, Stored, Tail};
use super::{Options, SquashfsError};
use crate::pin::Codec;
use crate::tree::PieceHash;

/// Groups whose bytes are kept: tails that lie together are mostly wanted together.
const KEPT: usize = 8;

/// An older SIF and its index.
#[derive(Debug)]
pub struct Pack {
    /// What a message calls it.
    pub name: String,
    /// The SIF.
    pub file: File,
    /// Its index.
    pub index: PackIndex,
}

/// What is written to.
pub trait Target: Write + Seek {
    /// The file behind it, for a thread that writes ranges of it beside; `None` when there is none,
    /// then ranges are copied in their turn.
    fn file(&self) -> Option<File> {
        None
    }
}

impl<T: Target + ?Sized> Target for &mut T {
    fn file(&self) -> Option<File> {
        (**self).file()
    }
}

impl Target for io::Cursor<Vec<u8>> {}

impl Target for File {
    fn file(&self) -> Option<File> {
        self.try_clone().ok()
    }
}

/// A range of the finished file that was copied from a pack, and the hash that it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// From the beginning of the file.
    pub at: u64,
    /// In bytes.
    pub length: u32,
    /// Of these bytes.
    pub sum: PieceHash,
    /// From which pack, in the order in which they were given.
    pub pack: usize,
}

/// The packs of a conversion.
#[derive(Debug, Default)]
pub struct Memo {
    packs: Vec<Pack>,
    inflated: VecDeque<((usize, u32), Vec<u8>)>,
}

impl Memo {
    /// Asks the packs in this order.
    #[must_use]
    pub fn new(packs: Vec<Pack>) -> Self {
        Self { packs, inflated: VecDeque::new() }
    }

    /// Asks one more pack, behind the others.
    pub fn add(&mut self, pack: Pack) {
        self.packs.push(pack);
    }

    /// What messages call a pack.
    #[must_use]
    pub fn name(&self, pack: usize) -> &str {
        self.packs.get(pack).map_or("", |pack| &pack.name)
    }

    pub(super) fn file(&self, pack: usize) -> &File {
        &self.packs[pack].file
    }

    /// The files of all packs once more; `None` when the process may not open so many.
    pub(super) fn files(&self) -> Option<Vec<File>> {
        self.packs.iter().map(|pack| pack.file.try_clone().ok()).collect()
    }

    /// The block or group with this key.
    pub(super) fn block(&self, key: &PieceHash) -> Option<(usize, Stored)> {
        if self.packs.is_empty() {
            return None;
        }
        let found = |(n, pack): (usize, &Pack)| pack.index.block(key).map(|stored| (n, stored));
        self.packs.iter().enumerate().find_map(found)
    }

    fn tail(&self, hash: &PieceHash, length: u32) -> Option<(usize, Tail)> {
        let found = |(n, pack): (usize, &Pack)| {
            let tail = pack.index.tail(hash).filter(|tail| tail.length == length);
            tail.map(|tail| (n, tail))
        };
        self.packs.iter().enumerate().find_map(found)
    }

    /// Whether a full block can be copied.
    #[must_use]
    pub fn has_block(&self, hash: &PieceHash) -> bool {
        self.block(hash).is_some()
    }

    /// Whether a tail can be read.
    #[must_use]
    pub fn has_tail(&self, hash: &PieceHash, length: u32) -> bool {
        self.tail(hash, length).is_some()
    }

    /// Appends a tail's bytes.
    ///
    /// # Errors
    /// When no pack has it, or what it has is damaged.
    pub(super) fn read_tail(
        &mut self,
        hash: &PieceHash,
        length: u32,
        options: &Options,
        out: &mut Vec<u8>,
    ) -> Result<(), SquashfsError> {
        let (number, tail) = self.tail(hash, length).ok_or(SquashfsError::Missing)?;
        let kept = self.inflated.iter().position(|(of, _)| *of == (number, tail.group));
        let group = if let Some(kept) = kept {
            &self.inflated[kept].1
        } else {
            let bytes = self.read_group(number, tail.group, options)?;
            self.inflated.truncate(KEPT - 1);
            self.inflated.push_front(((number, tail.group), bytes));
            &self.inflated[0].1
        };
        let start = tail.offset as usize;
        match group.get(start..start.saturating_add(length as usize)) {
            Some(bytes) if PieceHash::of(bytes) == *hash => {
                out.extend(bytes);
                Ok(())
            }
            _ => {
                let why = "a group in it does not hold what its index says";
                Err(self.damaged(number, why.into()))
            }
        }
    }

    fn read_group(
        &self,
        number: usize,
        group: u32,
        options: &Options,
    ) -> Result<Vec<u8>, SquashfsError> {
        let pack = &self.packs[number];
        let stored = pack.index.stored(group);
        let stored =
            stored.ok_or_else(|| self.damaged(number, "its index leads nowhere".into()))?;
        read_block(&pack.file, stored, options).map_err(|e| self.damaged(number, e.to_string()))
    }

    /// The error of a pack that is not what its index says.
    #[must_use]
    pub fn damaged(&self, pack: usize, why: String) -> SquashfsError {
        SquashfsError::Pack { name: self.name(pack).to_owned(), why }
    }
}

/// Reads and decompresses a block of an older SIF.
fn read_block(file: &File, stored: Stored, options: &Options) -> io::Result<Vec<u8>> {
    let most = options.block_size as usize;
    let size = (stored.size & !UNCOMPRESSED) as usize;
    if size > most {
        return Err(io::Error::other("its index names a block that is too large"));
    }
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, stored.offset)?;
    if PieceHash::of(&bytes) != stored.sum {
        return Err(io::Error::other("a block in it has changed"));
    }
    if stored.size & UNCOMPRESSED != 0 {
        return Ok(bytes);
    }
    match options.codec {
        Codec::Zstd => zstd::bulk::decompress(&bytes, most),
        Codec::Lz4 => lz4_flex::block::decompress(&bytes, most).map_err(io::Error::other),
        Codec::Gzip => {
            let mut out = Vec::new();
            let inflated = flate2::read::ZlibDecoder::new(&bytes[..]);
            inflated.take(most as u64 + 1).read_to_end(&mut out)?;
            Ok(out)
        }
    }
}
