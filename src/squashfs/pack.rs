//! A pack's index: where in a finished SIF each block lies, by what is in it.
//!
//! ```text
//! 0    8   "moorpck" and the version, 1
//! 8    32  SHA-256 of the SIF
//! 40   8   its length
//! 48   4   number of blocks
//! 52   4   number of tails
//! 56   76  blocks, sorted by key:  32 key | u64 offset in the SIF | u32 size as squashfs
//!                                  writes it | 32 BLAKE3 of the stored bytes
//!      44  tails, sorted by hash:  32 hash | u32 number of its group's block | u32 offset in the
//!                                  group | u32 length
//! end  32  its seal (sealed.rs)
//! ```
//!
//! A full block's key is the hash of its bytes; a group's is the hash of the list of its live tails (hash and length),
//! so that it is known before the bytes are. Numbers are little endian. The file is used as it is, without decoding.
//! Hashes are spread evenly, so a lookup begins at the place where a hash of this value is to be expected.
//!
//! The SIF is the pack: nothing is stored twice. What an index says is checked when it is used
//! (`memo.rs`): the stored bytes must have their hash.

use std::io::{self, Write};

use crate::oci::{Sha256Digest, SifDigest};
use crate::sealed::{self, Sealing};
use crate::tree::PieceHash;

const MAGIC: &[u8; 8] = b"moorpck\x01";
const HEADER: usize = 56;
const BLOCK: usize = 76;
const TAIL: usize = 44;

/// The meaning of a group's list of tails.
const GROUP: &str = "moorline 1: tails of a group";

/// The key of a group with these live tails: hash and length of each.
pub(super) fn group_key<'a>(tails: impl IntoIterator<Item = (&'a PieceHash, u32)>) -> PieceHash {
    PieceHash::of_list(GROUP, tails)
}

/// A block as it lies in a SIF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// What it holds.
    pub(super) key: PieceHash,
    /// From the beginning of the SIF.
    pub(super) offset: u64,
    /// Bytes, with the flag of an uncompressed block.
    pub(super) size: u32,
    /// Of the stored bytes.
    pub(super) sum: PieceHash,
}

/// A tail in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) hash: PieceHash,
    /// The number of its group among the blocks.
    pub(super) group: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// The index of a SIF.
#[derive(Clone, Debug)]
pub struct PackIndex {
    bytes: Vec<u8>,
    blocks: usize,
    tails: usize,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn hash(bytes: &[u8], at: usize) -> PieceHash {
    PieceHash(bytes.get(at..at + 32).and_then(|b| b.try_into().ok()).unwrap_or_default())
}

impl PackIndex {
    /// Takes an index; `None` when it is damaged, of another version, or not that of this SIF.
    #[must_use]
    pub fn read(bytes: Vec<u8>, sif: &SifDigest, size: u64) -> Option<Self> {
        let bytes = sealed::open(bytes).filter(|bytes| bytes.len() >= HEADER)?;
        let fits = bytes[..8] == *MAGIC
            && bytes[8..40] == *sif.bytes()
            && bytes[40..48] == size.to_le_bytes();
        let blocks = usize::try_from(word(&bytes, 48)).ok()?;
        let tails = usize::try_from(word(&bytes, 52)).ok()?;
        let length = blocks.checked_mul(BLOCK)?.checked_add(tails.checked_mul(TAIL)?)?;
        (fits && HEADER.checked_add(length)? == bytes.len()).then_some(Self {
            bytes,
            blocks,
            tails,
        })
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    fn block_at(&self, number: usize) -> &[u8] {
        &self.bytes[HEADER + number * BLOCK..][..BLOCK]
    }

    fn tail_at(&self, number: usize) -> &[u8] {
        &self.bytes[HEADER + self.blocks * BLOCK + number * TAIL..][..TAIL]
    }

    /// The block with this number.
    pub(super) fn stored(&self, number: u32) -> Option<Stored> {
        let number = usize::try_from(number).ok().filter(|n| *n < self.blocks)?;
        let block = self.block_at(number);
        let offset = u64::from(word(block, 32)) | u64::from(word(block, 36)) << 32;
        let (size, sum) = (word(block, 40), hash(block, 44));
        Some(Stored { key: hash(block, 0), offset, size, sum })
    }

    /// A block by its key.
    pub(super) fn block(&self, key: &PieceHash) -> Option<Stored> {
        let number = search(self.blocks, key, |n| &self.block_at(n)[..32])?;
        self.stored(u32::try_from(number).ok()?)
    }

    /// A tail of this hash and length.
    pub(super) fn tail(&self, wanted: &PieceHash) -> Option<Tail> {
        let number = search(self.tails, wanted, |n| &self.tail_at(n)[..32])?;
        let tail = self.tail_at(number);
        let (group, offset, length) = (word(tail, 32), word(tail, 36), word(tail, 40));
        Some(Tail { hash: *wanted, group, offset, length })
    }
}

/// The number of the record with this key, of `count` sorted ones: sought where hashes of that size
/// are to be expected, then halved.
fn search<'a>(count: usize, key: &PieceHash, at: impl Fn(usize) -> &'a [u8]) -> Option<usize> {
    let first = u64::from_be_bytes(key.0[..8].try_into().unwrap_or_default());
    let guess = (u128::from(first) * count as u128) >> u64::BITS;
    let guess = usize::try_from(guess).unwrap_or(count);
    let mut step = count.isqrt();
    let (mut low, mut high) = (guess.saturating_sub(step), (guess + step).min(count));
    // doubled, so that whatever stands there costs no more than halving all
    while low > 0 && at(low) > &key.0[..] {
        step *= 2;
        low = low.saturating_sub(step);
    }
    while high < count && at(high) <= &key.0[..] {
        step *= 2;
        high = (high + step).min(count);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        match at(middle).cmp(&key.0) {
            std::cmp::Ordering::Equal => return Some(middle),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

/// What a conversion wrote, to become the index of its SIF.
#[derive(Clone, Debug, Default)]
pub struct PackBuilder {
    pub(super) blocks: Vec<Stored>,
    /// [`Tail::group`] is a number in `blocks` as they stand here.
    pub(super) tails: Vec<Tail>,
}

/// The same in the order of its index, which takes a while for many files.
#[derive(Clone, Debug)]
pub struct SortedPack(PackBuilder);

impl PackBuilder {
    /// Brings it into the order of its index.
    #[must_use]
    pub fn sort(self) -> SortedPack {
        let Self { blocks, mut tails } = self;
        let mut order: Vec<u32> = (0..).take(blocks.len()).collect();
        order.sort_unstable_by_key(|n| (blocks[*n as usize].key, blocks[*n as usize].offset));
        let mut numbers = vec![0; blocks.len()];
        for (number, block) in (0..).zip(&order) {
            numbers[*block as usize] = number;
        }
        for tail in &mut tails {
            tail.group = numbers.get(tail.group as usize).copied().unwrap_or(u32::MAX);
        }
        tails.sort_unstable_by_key(|tail| (tail.hash, tail.group, tail.offset));
        let blocks = order.into_iter().map(|n| blocks[n as usize]).collect();
        SortedPack(Self { blocks, tails })
    }
}

impl SortedPack {
    /// Writes the index of the SIF that was written.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, sif: &SifDigest, size: u64, out: &mut dyn Write) -> io::Result<()> {
        let Self(PackBuilder { blocks, tails }) = self;
        let count = |n: usize| {
            u32::try_from(n).map_err(|_| io::Error::other("more than 2^32 blocks or tails"))
        };
        let mut out = Sealing::new(out);
        out.write_all(MAGIC)?;
        out.write_all(sif.bytes())?;
        out.write_all(&size.to_le_bytes())?;
        out.write_all(&count(blocks.len())?.to_le_bytes())?;
        out.write_all(&count(tails.len())?.to_le_bytes())?;
        for block in blocks {
            out.write_all(&block.key.0)?;
            out.write_all(&block.offset.to_le_bytes())?;
            out.write_all(&block.size.to_le_bytes())?;
            out.write_all(&block.sum.0)?;
        }
        for tail in tails {
            out.write_all(&tail.hash.0)?;
            out.write_all(&tail.group.to_le_bytes())?;
            out.write_all(&tail.offset.to_le_bytes())?;
            out.write_all(&tail.length.to_le_bytes())?;
        }
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(keys: &[u8]) -> (PackBuilder, Vec<u8>) {
        let mut packed = PackBuilder::default();
        for (n, key) in (0..).zip(keys) {
            let (key, sum) = (PieceHash::of(&[*key]), PieceHash::of(&[n, 1]));
            let offset = (1 << 33) + u64::from(n);
            packed.blocks.push(Stored { key, offset, size: n.into(), sum });
            let group = u32::from(n);
            packed.tails.push(Tail { hash: sum, group, offset: 1, length: 2 });
        }
        let mut bytes = Vec::new();
        packed.clone().sort().write(&SifDigest::of(b"sif"), 3, &mut bytes).unwrap();
        (packed, bytes)
    }

    proptest! {
        #[test]
        fn what_was_written_is_found(keys in prop::collection::btree_set(any::<u8>(), 0..60)) {
            let keys: Vec<u8> = keys.into_iter().collect();
            let (packed, bytes) = sample(&keys);
            let index = PackIndex::read(bytes, &SifDigest::of(b"sif"), 3).unwrap();
            for (stored, tail) in packed.blocks.iter().zip(&packed.tails) {
                prop_assert_eq!(index.block(&stored.key), Some(*stored));
                let found = index.tail(&tail.hash).unwrap();
                prop_assert_eq!(index.stored(found.group), Some(*stored));
                prop_assert_eq!((found.offset, found.length), (1, 2));
            }
            prop_assert_eq!(index.block(&PieceHash::of(b"nothing")), None);
        }

        #[test]
        fn a_changed_index_is_none_or_answers(
            keys in prop::collection::vec(any::<u8>(), 0..20),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let (packed, mut bytes) = sample(&keys);
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            let sif = SifDigest::of(b"sif");
            prop_assert!(PackIndex::read(bytes.clone(), &sif, 3).is_none());
            sealed::seal_again(&mut bytes);
            if let Some(index) = PackIndex::read(bytes, &sif, 3) {
                for (stored, tail) in packed.blocks.iter().zip(&packed.tails) {
                    let _ = (index.block(&stored.key), index.tail(&tail.hash));
                }
            }
        }

        #[test]
        fn any_bytes_are_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(PackIndex::read(bytes, &SifDigest::of(b"sif"), 3).is_none());
        }
    }

    #[test]
    fn another_sif_length_or_version_is_none() {
        let (_, bytes) = sample(&[1, 2, 3]);
        let sif = SifDigest::of(b"sif");
        assert!(PackIndex::read(bytes.clone(), &sif, 3).is_some());
        assert!(PackIndex::read(bytes.clone(), &SifDigest::of(b"other"), 3).is_none());
        assert!(PackIndex::read(bytes.clone(), &sif, 4).is_none());
        let mut newer = bytes;
        newer[7] = 2;
        sealed::seal_again(&mut newer);
        assert!(PackIndex::read(newer, &sif, 3).is_none());
    }
}
