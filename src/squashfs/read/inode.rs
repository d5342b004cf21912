//! Inodes, short and long; see the drawing in the writer's `inode.rs`. Sockets are 7 and 14.

use super::metadata::{Cursor, Position};
use super::{Image, ReadAt, ReadError, half, id, word};

const WHAT: &str = "inode table";
const NO_FRAGMENT: u32 = u32::MAX;
const NO_XATTRS: u32 = u32::MAX;
/// Linux' `PATH_MAX` without the NUL.
const MAX_TARGET: u32 = 4095;

/// Everything but the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Its number, from 1 to the number of inodes.
    pub number: u32,
    /// Permissions with setuid, setgid and sticky: the low 12 bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change, seconds since 1970.
    pub mtime: u32,
    /// How many links it says it has.
    pub links: u32,
    /// Its set of attributes; see [`Image::xattrs`].
    pub(super) xattr: Option<u32>,
    /// Type and what only this type has.
    pub kind: Kind,
}

/// A type of file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory(Listing),
    /// A regular file.
    File(File),
    /// A symbolic link and where it points: 1 to 4095 bytes without NUL.
    Symlink(Vec<u8>),
    /// A block device: major, minor.
    Block(u32, u32),
    /// A character device: major, minor.
    Character(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Where a directory's names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Reference into the directory table.
    pub(super) reference: u64,
    /// Bytes.
    pub(super) size: u32,
}

/// A file's length and where its bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Bytes.
    pub size: u64,
    /// Its first block, from the superblock.
    pub(super) start: u64,
    /// Number and offset of the fragment that holds its tail.
    pub(super) tail: Option<(u32, u32)>,
    /// Where the sizes of its blocks stand in the inode table.
    pub(super) sizes: Position,
}

/// The type's number in directories, which is that of the short form.
pub(super) fn short(kind: u16) -> u16 {
    if kind > 7 { kind - 7 } else { kind }
}

/// Reads an inode, and its type's number.
pub(super) fn read<S: ReadAt>(image: &Image<S>, reference: u64) -> Result<(Inode, u16), ReadError> {
    let damaged = |why: String| ReadError::damaged(WHAT, why);
    let mut cursor = image.cursor(image.inodes, reference)?;
    let common: [u8; 16] = cursor.array()?;
    let (number, kind, mode) = (word(&common, 12), half(&common, 0), half(&common, 2));
    if number == 0 || number > image.superblock.inodes {
        let all = image.superblock.inodes;
        return Err(damaged(format!("inode {number}, the superblock has {all}")));
    }
    // type bits would be added to the type's own by a kernel
    if mode & !0o7777 != 0 {
        return Err(damaged(format!("inode {number} has the mode {mode:o}")));
    }
    let mut inode = Inode {
        number,
        mode,
        uid: id::get(image, half(&common, 4))?,
        gid: id::get(image, half(&common, 6))?,
        mtime: word(&common, 8),
        links: 1,
        xattr: None,
        kind: Kind::Fifo,
    };
    let xattr = |number: u32| (number != NO_XATTRS).then_some(number);
    inode.kind = match kind {
        1 => {
            let [block, links, sizes, _parent] = words(&mut cursor)?;
            inode.links = links;
            let sizes = sizes.to_le_bytes();
            let (size, offset) = (half(&sizes, 0), half(&sizes, 2));
            listing(block, offset, size.into())
        }
        8 => {
            let [links, size, block, _parent] = words(&mut cursor)?;
            let indexes: [u8; 4] = cursor.array()?;
            inode.links = links;
            inode.xattr = xattr(cursor.word()?);
            listing(block, half(&indexes, 2), size)
        }
        2 => {
            let [start, fragment, offset, size] = words(&mut cursor)?;
            file(&cursor, start.into(), size.into(), fragment, offset)
        }
        9 => {
            let (start, size, _sparse) = (cursor.long()?, cursor.long()?, cursor.long()?);
            let [links, fragment, offset, number] = words(&mut cursor)?;
            inode.links = links;
            inode.xattr = xattr(number);
            file(&cursor, start, size, fragment, offset)
        }
        3 | 10 => {
            let [links, length] = words(&mut cursor)?;
            inode.links = links;
            if length == 0 || length > MAX_TARGET {
                return Err(damaged(format!("a symbolic link's target of {length} bytes")));
            }
            let target = cursor.vec(length as usize)?;
            if target.contains(&0) {
                return Err(damaged("a symbolic link's target holds a NUL byte".into()));
            }
            Kind::Symlink(target)
        }
        4 | 5 | 11 | 12 => {
            let [links, device] = words(&mut cursor)?;
            inode.links = links;
            // Linux' new_decode_dev
            let (major, minor) = (device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xF_FF00);
            if short(kind) == 4 { Kind::Block(major, minor) } else { Kind::Character(major, minor) }
        }
        6 | 7 | 13 | 14 => {
            inode.links = cursor.word()?;
            if short(kind) == 6 { Kind::Fifo } else { Kind::Socket }
        }
        other => return Err(damaged(format!("inode {number} has the type {other}"))),
    };
    if (10..=14).contains(&kind) {
        inode.xattr = xattr(cursor.word()?);
    }
    Ok((inode, short(kind)))
}

fn words<const N: usize, S: ReadAt>(cursor: &mut Cursor<'_, S>) -> Result<[u32; N], ReadError> {
    let mut out = [0; N];
    for slot in &mut out {
        *slot = cursor.word()?;
    }
    Ok(out)
}

/// Sizes count 3 bytes for `.` and `..`, which are not there.
fn listing(block: u32, offset: u16, size: u32) -> Kind {
    let reference = u64::from(block) << 16 | u64::from(offset);
    Kind::Directory(Listing { reference, size: size.saturating_sub(3) })
}

/// The cursor is behind the fixed part, where the sizes of the blocks start.
fn file<S: ReadAt>(
    cursor: &Cursor<'_, S>,
    start: u64,
    size: u64,
    fragment: u32,
    offset: u32,
) -> Kind {
    let tail = (fragment != NO_FRAGMENT).then_some((fragment, offset));
    Kind::File(File { size, start, tail, sizes: cursor.position() })
}
