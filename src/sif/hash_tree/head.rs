//! The first 104 bytes; see the drawing in `mod.rs`.

use super::HashTreeError;
use super::shape::{BLOCK, HEAD};
use crate::oci::{Sha256Digest, TreeRoot};

const MAGIC: &[u8; 16] = b"moorline-hashes\0";
const VERSION: u32 = 1;

/// What stands in a tree's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the file system.
    pub(super) size: u64,
    /// Bytes in front of it.
    pub(super) front: u64,
    /// Their SHA-256.
    pub(super) front_hash: [u8; 32],
    /// The SHA-256 of the highest level.
    pub(super) top: [u8; 32],
}

impl Head {
    pub(super) fn encode(&self) -> [u8; HEAD] {
        let mut out = [0; HEAD];
        out[..16].copy_from_slice(MAGIC);
        out[16..20].copy_from_slice(&VERSION.to_le_bytes());
        // fits: 2^14
        out[20..24].copy_from_slice(&BLOCK.to_le_bytes()[..4]);
        out[24..32].copy_from_slice(&self.size.to_le_bytes());
        out[32..40].copy_from_slice(&self.front.to_le_bytes());
        out[40..72].copy_from_slice(&self.front_hash);
        out[72..].copy_from_slice(&self.top);
        out
    }

    /// Reads one whose root is known: other bytes are refused before a number of them is used.
    pub(super) fn decode(bytes: &[u8; HEAD], root: TreeRoot) -> Result<Self, HashTreeError> {
        let found = TreeRoot::of(bytes);
        if found != root {
            return Err(HashTreeError::Root { found, expected: root });
        }
        let word = |at: usize| u32::from_le_bytes(part(bytes, at));
        let long = |at: usize| u64::from_le_bytes(part(bytes, at));
        if bytes[..16] != *MAGIC || word(16) != VERSION || u64::from(word(20)) != BLOCK {
            return Err(HashTreeError::Version { version: word(16), block: word(20) });
        }
        Ok(Self {
            size: long(24),
            front: long(32),
            front_hash: part(bytes, 40),
            top: part(bytes, 72),
        })
    }
}

/// Bytes of a record whose length was checked by its type.
fn part<const N: usize>(bytes: &[u8; HEAD], at: usize) -> [u8; N] {
    let mut out = [0; N];
    for (slot, byte) in out.iter_mut().zip(bytes.iter().skip(at)) {
        *slot = *byte;
    }
    out
}
