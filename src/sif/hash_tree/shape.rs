//! How many hashes each level has, and where they stand. All of it follows from the file system's length.

/// Bytes of the file system that have one hash.
pub const BLOCK: u64 = 16 << 10;
/// Bytes in front of the levels.
pub(super) const HEAD: usize = 104;
/// Bytes of a hash.
pub(super) const HASH: u64 = 32;
/// Hashes that are hashed together, and their bytes.
pub(super) const FAN: u64 = 128;
pub(super) const NODE: u64 = FAN * HASH;

/// The levels of a tree, lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Bytes of the file system.
    pub(super) size: u64,
    /// For each level: its first byte, from the tree's start, and its number of hashes.
    pub(super) levels: Vec<(u64, u64)>,
}

impl Shape {
    /// The shape for a file system of so many bytes.
    pub(super) fn of(size: u64) -> Self {
        let mut levels = Vec::new();
        let (mut at, mut count) = (HEAD as u64, size.div_ceil(BLOCK).max(1));
        loop {
            levels.push((at, count));
            // no sum overflows: a level has at most 2^50 hashes, and the next one a 128th
            at += count * HASH;
            if count <= FAN {
                return Self { size, levels };
            }
            count = count.div_ceil(FAN);
        }
    }

    /// Bytes of the whole tree.
    pub(super) fn length(&self) -> u64 {
        self.levels.last().map_or(0, |(at, count)| at + count * HASH)
    }

    /// The bytes of a block: all but the last have [`BLOCK`].
    pub(super) fn block_length(&self, block: u64) -> usize {
        let left = self.size.saturating_sub(block.saturating_mul(BLOCK));
        usize::try_from(left.min(BLOCK)).unwrap_or(0)
    }

    /// Where a node of a level stands, from the tree's start, and its bytes.
    pub(super) fn node(&self, level: usize, number: u64) -> Option<(u64, usize)> {
        let (at, count) = self.levels.get(level)?;
        let from = number.checked_mul(FAN).filter(|from| from < count)?;
        let hashes = (count - from).min(FAN);
        Some((at + from * HASH, usize::try_from(hashes * HASH).ok()?))
    }
}

/// The bytes of the tree of a file system of so many bytes.
#[must_use]
pub fn length(size: u64) -> u64 {
    Shape::of(size).length()
}
