//! Inodes. Each type has a short form and a long one, which is used only where the short one has no
//! room.
//!
//! ```text
//! all          u16 type, u16 mode, u16 uid index, u16 gid index, u32 mtime, u32 number
//!  1 directory   u32 block, u32 links, u16 size + 3, u16 offset, u32 parent
//!  8   long      u32 links, u32 size + 3, u32 block, u32 parent, u16 indexes, u16 offset, u32 xattr,
//!                indexes: u32 offset in the listing, u32 block, u32 name length - 1, name
//!  2 file        u32 start, u32 fragment, u32 offset, u32 size, u32 block sizes[]
//!  9   long      u64 start, u64 size, u64 sparse, u32 links, u32 fragment, u32 offset, u32 xattr,
//!                u32 block sizes[]
//!  3 symlink     u32 links, u32 length, target                 10 long: + u32 xattr
//!  4 block device, 5 character device   u32 links, u32 device  11, 12 long: + u32 xattr
//!  6 fifo        u32 links                                     13 long: + u32 xattr
//! ```
//!
//! A file without tail has the fragment 0xFFFFFFFF. Directories count their names as if `.` and `..`
//! took 3 bytes. The parent of the root is the number behind the last inode.

use super::directory::Listing;
use super::fragment::NO_FRAGMENT;
use super::inode_type::Type;
use super::location::Location;
use super::xattr;

/// From the short form's type to the long form's.
const LONG: u16 = 7;

/// What every inode has.
#[derive(Clone, Copy)]
pub(super) struct Common {
    pub(super) mode: u16,
    pub(super) uid: u16,
    pub(super) gid: u16,
    pub(super) mtime: u32,
    pub(super) number: u32,
    pub(super) links: u32,
    /// The number of its attributes, or [`xattr::NONE`].
    pub(super) xattr: u32,
}

impl Common {
    fn start(&self, kind: Type, long: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        let kind = kind as u16 + if long { LONG } else { 0 };
        for half in [kind, self.mode, self.uid, self.gid] {
            out.extend(half.to_le_bytes());
        }
        out.extend(self.mtime.to_le_bytes());
        out.extend(self.number.to_le_bytes());
        out
    }

    fn has_xattrs(&self) -> bool {
        self.xattr != xattr::NONE
    }

    pub(super) fn file(&self, size: u64, at: &Location<'_>) -> Vec<u8> {
        let (fragment, offset) = at.tail.unwrap_or((NO_FRAGMENT, 0));
        let short = u32::try_from(at.start).ok().zip(u32::try_from(size).ok());
        let plain = self.links == 1 && !self.has_xattrs() && at.sparse == 0;
        let mut out = self.start(Type::File, !(plain && short.is_some()));
        match short {
            Some((start, size)) if plain => {
                words(&mut out, &[start, fragment, offset, size]);
            }
            _ => {
                for long in [at.start, size, at.sparse] {
                    out.extend(long.to_le_bytes());
                }
                words(&mut out, &[self.links, fragment, offset, self.xattr]);
            }
        }
        words(&mut out, at.blocks);
        out
    }

    pub(super) fn directory(&self, listing: &Listing, parent: u32) -> Vec<u8> {
        let size = listing.size + 3;
        let short = u16::try_from(size).ok().filter(|_| !self.has_xattrs());
        let mut out = self.start(Type::Directory, short.is_none());
        if let Some(size) = short {
            words(&mut out, &[listing.block, self.links]);
            out.extend(size.to_le_bytes());
            out.extend(listing.offset.to_le_bytes());
            words(&mut out, &[parent]);
            return out;
        }
        // the count is 16 bits; what comes behind is found by walking on
        let indexes = &listing.indexes[..listing.indexes.len().min(usize::from(u16::MAX))];
        words(&mut out, &[self.links, size, listing.block, parent]);
        out.extend(u16::try_from(indexes.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend(listing.offset.to_le_bytes());
        words(&mut out, &[self.xattr]);
        for index in indexes {
            let length = u32::try_from(index.name.len()).unwrap_or(1);
            words(&mut out, &[index.offset, index.block, length - 1]);
            out.extend(&*index.name);
        }
        out
    }

    pub(super) fn symlink(&self, target: &[u8]) -> Vec<u8> {
        let mut out = self.start(Type::Symlink, self.has_xattrs());
        words(&mut out, &[self.links, u32::try_from(target.len()).unwrap_or(0)]);
        out.extend(target);
        self.end(out)
    }

    pub(super) fn device(&self, kind: Type, major: u32, minor: u32) -> Vec<u8> {
        let mut out = self.start(kind, self.has_xattrs());
        // Linux' new_encode_dev: 12 bits of major between 8 and 12 bits of minor
        let device = (minor & 0xFF) | (major & 0xFFF) << 8 | (minor & 0xF_FF00) << 12;
        words(&mut out, &[self.links, device]);
        self.end(out)
    }

    pub(super) fn fifo(&self) -> Vec<u8> {
        let mut out = self.start(Type::Fifo, self.has_xattrs());
        words(&mut out, &[self.links]);
        self.end(out)
    }

    fn end(&self, mut out: Vec<u8>) -> Vec<u8> {
        if self.has_xattrs() {
            words(&mut out, &[self.xattr]);
        }
        out
    }
}

fn words(out: &mut Vec<u8>, words: &[u32]) {
    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}
