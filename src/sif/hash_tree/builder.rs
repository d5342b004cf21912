//! From the file's bytes to a tree, in one pass and in 32 bytes of memory for each block.

use super::head::Head;
use super::shape::{BLOCK, NODE, Shape};
use crate::oci::{Hasher, Sha256Digest, TreeRoot};

/// Hashes the bytes of a SIF as they come: first all in front of the file system, then the file system.
pub struct Builder {
    /// Bytes in front of the file system, and of these that did not come yet.
    front: u64,
    left: u64,
    front_hash: Hasher,
    block: Hasher,
    /// Bytes in `block`.
    filled: u64,
    size: u64,
    hashes: Vec<u8>,
}

/// A tree, and what stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Its root.
    pub root: TreeRoot,
    /// The object.
    pub bytes: Vec<u8>,
}

impl Builder {
    /// For a file whose file system starts at byte `front`.
    #[must_use]
    pub fn new(front: u64) -> Self {
        Self {
            front,
            left: front,
            front_hash: Hasher::default(),
            block: Hasher::default(),
            filled: 0,
            size: 0,
            hashes: Vec::new(),
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let front = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        if front > 0 {
            self.front_hash.update(&bytes[..front]);
            self.left -= front as u64;
            bytes = &bytes[front..];
        }
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = usize::try_from(BLOCK - self.filled).unwrap_or(usize::MAX).min(bytes.len());
            self.block.update(&bytes[..room]);
            self.filled += room as u64;
            bytes = &bytes[room..];
            if self.filled == BLOCK {
                self.end_block();
            }
        }
    }

    fn end_block(&mut self) {
        let hash: TreeRoot = std::mem::take(&mut self.block).finish();
        self.hashes.extend(hash.bytes());
        self.filled = 0;
    }

    /// Ends the file system and gives its tree.
    #[must_use]
    pub fn finish(mut self) -> Built {
        if self.filled > 0 || self.size == 0 {
            self.end_block();
        }
        let shape = Shape::of(self.size);
        let mut levels = self.hashes;
        let mut from = 0;
        for _ in 1..shape.levels.len() {
            let to = levels.len();
            let above: Vec<u8> = levels[from..to]
                .chunks(usize::try_from(NODE).unwrap_or(usize::MAX))
                .flat_map(|node| *TreeRoot::of(node).bytes())
                .collect();
            levels.extend(above);
            from = to;
        }
        let front_hash: TreeRoot = self.front_hash.finish();
        let head = Head {
            size: self.size,
            front: self.front,
            front_hash: *front_hash.bytes(),
            top: *TreeRoot::of(&levels[from..]).bytes(),
        };
        let head = head.encode();
        Built { root: TreeRoot::of(&head), bytes: [&head[..], &levels].concat() }
    }
}
