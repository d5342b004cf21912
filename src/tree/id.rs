//! An inode's place in its tree.

/// An inode's place in its tree; stable, but not the number that is written to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeId(pub(super) u32);

impl InodeId {
    /// As an index into per-inode tables.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}
