//! Inodes: files of any type, whatever names lead to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ContentId, Names};

/// Extended attributes by full name (`security.capability`).
pub type Xattrs = Arc<BTreeMap<Vec<u8>, Vec<u8>>>;

/// Everything but the content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permissions with setuid, setgid and sticky: the low 12 bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change, seconds since 1970; may be negative.
    pub mtime: i64,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

impl Meta {
    /// What a directory gets that no layer describes: root's, 0755, at `mtime`.
    #[must_use]
    pub fn directory(mtime: i64) -> Self {
        Self { mode: 0o755, mtime, ..Self::default() }
    }
}

/// A type of file and what only this type has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory. Apart, because most inodes are none.
    Directory(Box<Names>),
    /// A regular file.
    File(ContentId),
    /// A symbolic link and where it points.
    Symlink(Box<[u8]>),
    /// A character device: major, minor.
    Character(u32, u32),
    /// A block device: major, minor.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// A file of any type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Mode, owner, time, attributes.
    pub meta: Meta,
    /// Type and content.
    pub kind: Kind,
    /// The layer whose archive holds it; names in upper layers may lead to it, too.
    pub layer: u32,
}
