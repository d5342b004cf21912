//! The file system's bytes: each block is read into memory of ours, checked there, and handed on from there.
//! What somebody does to the file in between changes nothing of what was checked.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::shape::{BLOCK, FAN, HASH, Shape};
use crate::files::ReadAt;
use crate::oci::{Sha256Digest, TreeRoot};
use crate::recent::Recent;

/// Bytes of the tree that are kept; 8 MiB stand for 4 GiB of the file system.
const NODES: usize = 8 << 20;
/// Bytes of checked blocks that are kept: metadata is read in small pieces that follow each other.
const BLOCKS: usize = 4 << 20;

/// A file system whose blocks are checked when they are read. Several threads may read.
pub struct Checked<S> {
    source: S,
    /// Where the file system and the tree start in `source`.
    at: u64,
    tree: u64,
    shape: Shape,
    top: [u8; 32],
    nodes: Mutex<Recent<Vec<u8>>>,
    blocks: Mutex<Recent<Vec<u8>>>,
    read: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// What was done, as far as it is known now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Blocks that were read and right, each time that they were.
    pub read: u64,
    /// Blocks that were not what the tree says, or that the file does not have any more.
    pub refused: u64,
    /// Reads that the machine did not carry out.
    pub failed: u64,
}

/// Why a block was refused; the reason inside an [`io::Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block {block} of the image is not what its hash tree says")]
pub struct Refused {
    /// Which, from 0.
    pub block: u64,
}

impl<S: ReadAt> Checked<S> {
    pub(super) fn new(source: S, at: u64, tree: u64, shape: Shape, top: [u8; 32]) -> Self {
        Self {
            source,
            at,
            tree,
            shape,
            top,
            nodes: Mutex::new(Recent::new(NODES)),
            blocks: Mutex::new(Recent::new(BLOCKS)),
            read: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// What was done so far.
    pub fn counted(&self) -> Counted {
        let now = |count: &AtomicU64| count.load(Relaxed);
        Counted { read: now(&self.read), refused: now(&self.refused), failed: now(&self.failed) }
    }

    /// Reads from the file. One that is shorter than it was is another file.
    fn fill(&self, buffer: &mut [u8], at: u64, block: u64) -> io::Result<()> {
        self.source.read_exact_at(buffer, at).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                return self.refuse(block);
            }
            self.failed.fetch_add(1, Relaxed);
            error
        })
    }

    fn refuse(&self, block: u64) -> io::Error {
        self.refused.fetch_add(1, Relaxed);
        io::Error::new(io::ErrorKind::InvalidData, Refused { block })
    }

    /// A node of the tree, checked; `block` is the one that it is wanted for.
    fn node(&self, level: usize, number: u64, block: u64) -> io::Result<Arc<Vec<u8>>> {
        let key = (number, u32::try_from(level).unwrap_or(u32::MAX));
        let nodes = || self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = nodes().get(key) {
            return Ok(node);
        }
        let (at, length) = self.shape.node(level, number).ok_or_else(|| self.refuse(block))?;
        let expected = if level + 1 == self.shape.levels.len() {
            self.top
        } else {
            // ends: there are at most eight levels
            hash_in(&self.node(level + 1, number / FAN, block)?, number % FAN)
        };
        let mut node = vec![0; length];
        self.fill(&mut node, self.tree.saturating_add(at), block)?;
        if *TreeRoot::of(&node).bytes() != expected {
            return Err(self.refuse(block));
        }
        let node = Arc::new(node);
        nodes().put(key, length, &node);
        Ok(node)
    }

    /// Whether bytes are those of a block.
    fn check(&self, block: u64, bytes: &[u8]) -> io::Result<()> {
        let node = self.node(0, block / FAN, block)?;
        if *TreeRoot::of(bytes).bytes() != hash_in(&node, block % FAN) {
            return Err(self.refuse(block));
        }
        self.read.fetch_add(1, Relaxed);
        Ok(())
    }

    /// A block of which only a part is wanted: what follows will mostly want the rest.
    fn kept(&self, block: u64) -> io::Result<Arc<Vec<u8>>> {
        let blocks = || self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = blocks().get((block, 0)) {
            return Ok(bytes);
        }
        let mut bytes = vec![0; self.shape.block_length(block)];
        self.fill(&mut bytes, self.at.saturating_add(block * BLOCK), block)?;
        self.check(block, &bytes)?;
        let bytes = Arc::new(bytes);
        blocks().put((block, 0), bytes.len(), &bytes);
        Ok(bytes)
    }

    /// Whole blocks, in one read.
    fn whole(&self, buffer: &mut [u8], first: u64) -> io::Result<()> {
        self.fill(buffer, self.at.saturating_add(first * BLOCK), first)?;
        let bytes = usize::try_from(BLOCK).unwrap_or(usize::MAX);
        let mut blocks = (first..).zip(buffer.chunks(bytes));
        let checked = blocks.try_for_each(|(block, bytes)| self.check(block, bytes));
        if checked.is_err() {
            buffer.fill(0);
        }
        checked
    }
}

/// A hash of a node; zeros, which no bytes have, for one that it does not have.
fn hash_in(node: &[u8], number: u64) -> [u8; 32] {
    let from = usize::try_from(number * HASH).unwrap_or(usize::MAX);
    let mut hash = [0; 32];
    if let Some(bytes) = from.checked_add(hash.len()).and_then(|to| node.get(from..to)) {
        hash.copy_from_slice(bytes);
    }
    hash
}

impl<S: ReadAt> ReadAt for Checked<S> {
    /// On an error the buffer holds nothing that was not checked.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
        let end = at.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.shape.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while !buffer.is_empty() {
            let (block, inside) = (at / BLOCK, usize::try_from(at % BLOCK).unwrap_or(0));
            let length = self.shape.block_length(block);
            let count = if inside == 0 && buffer.len() >= length {
                let blocks = buffer.len() as u64 / BLOCK;
                let count = usize::try_from(blocks * BLOCK).unwrap_or(length).max(length);
                self.whole(&mut buffer[..count], block)?;
                count
            } else {
                let bytes = self.kept(block)?;
                let count = buffer.len().min(length - inside);
                buffer[..count].copy_from_slice(&bytes[inside..inside + count]);
                count
            };
            buffer = &mut buffer[count..];
            at += count as u64;
        }
        Ok(())
    }
}
