//! Single inodes by their reference, and directories as lists: for a file system server, which answers the kernel and
//! keeps no tree.

use super::directory::Names;
use super::error::check;
use super::inode::{self, Listing};
use super::{Image, Inode, ReadAt, ReadError};

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its bytes.
    pub name: Vec<u8>,
    /// What [`Image::inode`] takes; one for each inode.
    pub reference: u64,
    /// As the directory has it.
    pub kind: Type,
}

/// A type of file, as directories hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A block device.
    Block,
    /// A character device.
    Character,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl Type {
    fn of(number: u16) -> Result<Self, ReadError> {
        Ok(match number {
            1 => Self::Directory,
            2 => Self::File,
            3 => Self::Symlink,
            4 => Self::Block,
            5 => Self::Character,
            6 => Self::Fifo,
            7 => Self::Socket,
            other => {
                return Err(ReadError::damaged("directory table", format!("the type {other}")));
            }
        })
    }
}

impl<S: ReadAt> Image<S> {
    /// The root's reference.
    pub fn root(&self) -> u64 {
        self.superblock.root
    }

    /// How many inodes the superblock says that there are, and how many bytes.
    pub fn amount(&self) -> (u32, u64) {
        (self.superblock.inodes, self.superblock.bytes_used)
    }

    /// Whether it has extended attributes at all.
    pub fn has_xattrs(&self) -> bool {
        self.xattrs.is_some()
    }

    /// Where the bytes come from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The inode at a reference that a [`Named`] or [`Image::root`] gave.
    ///
    /// # Errors
    /// When the table is damaged.
    pub fn inode(&self, reference: u64) -> Result<Inode, ReadError> {
        inode::read(self, reference).map(|(inode, _)| inode)
    }

    /// The names in a directory, in the order of their bytes.
    ///
    /// # Errors
    /// When its table is damaged, or there are more than the limit of entries.
    pub fn list(&self, listing: Listing) -> Result<Vec<Named>, ReadError> {
        let mut names = Names::new(self, listing)?;
        let mut all = Vec::new();
        while let Some(name) = names.next()? {
            let kind = Type::of(name.kind)?;
            all.push(Named { name: name.bytes, reference: name.reference, kind });
            check("entries", all.len() as u64, self.limits.entries)?;
        }
        Ok(all)
    }
}
