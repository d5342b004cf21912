//! The types of inodes, as inodes and directories number them.

/// A type's number in directories and short inodes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Directory = 1,
    File = 2,
    Symlink = 3,
    Block = 4,
    Character = 5,
    Fifo = 6,
}
