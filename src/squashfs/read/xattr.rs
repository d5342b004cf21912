//! Extended attributes.
//!
//! A value may lie elsewhere: then the namespace has the bit 0x100 and the value is the reference of
//! the place where length and bytes stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::check;
use super::table::{Attributes, Lookup, Table};
use super::{Image, Inode, ReadAt, ReadError, half, long, word};
use crate::squashfs::superblock::LEN;
use crate::tree::Xattrs;

const WHAT: &str = "attribute table";
const ELSEWHERE: u16 = 0x100;

/// Where an image's attributes are; `None` when the image has no attributes.
pub(super) fn read<S: ReadAt>(image: &Image<S>) -> Result<Option<Attributes>, ReadError> {
    let Some(table) = image.superblock.xattr_table else { return Ok(None) };
    let mut header = [0; 16];
    image.bytes(WHAT, &mut header, table)?;
    let (start, count) = (long(&header, 0), word(&header, 8));
    if !(LEN as u64..=table).contains(&start) {
        return Err(ReadError::damaged(WHAT, format!("it starts at {start}")));
    }
    let end = image.superblock.bytes_used;
    let sets = Lookup::new(WHAT, table + 16, count, 16, end)?;
    Ok(Some(Attributes { values: Table { what: WHAT, start, end: table }, sets }))
}

impl<S: ReadAt> Image<S> {
    /// An inode's extended attributes by full name.
    ///
    /// # Errors
    /// When they cannot be read, or are more than [`super::Limits::xattr_bytes`].
    pub fn xattrs(&self, of: &Inode) -> Result<Xattrs, ReadError> {
        let Some(number) = of.xattr else { return Ok(Xattrs::default()) };
        let damaged = |why: String| ReadError::damaged(WHAT, why);
        let place =
            self.xattrs.as_ref().ok_or_else(|| damaged(format!("set {number}, but no table")))?;
        let set: [u8; 16] = self.record(&place.sets, number)?;
        let (reference, count) = (long(&set, 0), word(&set, 8));
        let mut cursor = self.cursor(place.values, reference)?;
        let limit = self.limits.xattr_bytes;
        let bounded = |sum: u64| check("xattr bytes", sum, limit);
        let mut sum = 0;
        let mut all = BTreeMap::new();
        for _ in 0..count {
            let key: [u8; 4] = cursor.array()?;
            let (kind, length) = (half(&key, 0), half(&key, 2));
            let space: &[u8] = match kind & !ELSEWHERE {
                0 => b"user.",
                1 => b"trusted.",
                2 => b"security.",
                other => return Err(damaged(format!("namespace {other}"))),
            };
            sum += space.len() as u64 + u64::from(length);
            bounded(sum)?;
            let name = [space, &cursor.vec(usize::from(length))?].concat();
            if name.len() == space.len() || name.contains(&0) {
                return Err(damaged(format!("the name {:?}", crate::tree::show(&name))));
            }
            let length = cursor.word()?;
            let elsewhere = kind & ELSEWHERE != 0;
            let value = if elsewhere {
                if length != 8 {
                    return Err(damaged(format!("a reference of {length} bytes")));
                }
                let reference = cursor.long()?;
                let mut there = self.cursor(place.values, reference)?;
                let length = there.word()?;
                sum += u64::from(length);
                bounded(sum)?;
                there.vec(length as usize)?
            } else {
                sum += u64::from(length);
                bounded(sum)?;
                cursor.vec(length as usize)?
            };
            let shown = crate::tree::show(&name);
            if all.insert(name, value).is_some() {
                return Err(damaged(format!("{shown:?} comes twice")));
            }
        }
        Ok(Arc::new(all))
    }
}
