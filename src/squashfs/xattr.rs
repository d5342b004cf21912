//! Extended attributes: each distinct set is stored once, inodes hold its number.
//!
//! ```text
//! metadata blocks   per attribute: u16 namespace, u16 length, name without namespace,
//!                                  u32 length, value
//! metadata blocks   per set: u64 reference of its first attribute, u32 count,
//!                            u32 bytes of the names as listxattr gives them
//! table             u64 place of the attributes, u32 sets, u32 0,   <- the superblock points here
//!                   u64 place of each block of sets
//! ```

use std::collections::HashMap;

use super::SquashfsError;
use super::compress::Compressor;
use super::metadata::MetadataWriter;
use crate::tree::Xattrs;

/// An inode without attributes.
pub(super) const NONE: u32 = u32::MAX;
/// Namespaces by number.
const NAMESPACES: [(&[u8], u16); 3] = [(b"user.", 0), (b"trusted.", 1), (b"security.", 2)];

#[derive(Default)]
pub(super) struct XattrTable {
    attributes: MetadataWriter,
    sets: Vec<u8>,
    known: HashMap<Xattrs, u32>,
}

impl XattrTable {
    /// The number of a set; [`NONE`] for the empty one.
    pub(super) fn index(
        &mut self,
        xattrs: &Xattrs,
        compressor: &mut Compressor,
    ) -> Result<u32, SquashfsError> {
        if let Some(index) = self.known.get(xattrs) {
            return Ok(*index);
        }
        let reference = self.attributes.position().reference();
        let (mut count, mut listed) = (0_u32, 0_u32);
        for (full, value) in xattrs.iter() {
            let split = |(space, number): &(&'static [u8], u16)| {
                Some((full.strip_prefix(*space)?, *number))
            };
            // the layer reader keeps only attributes of these namespaces
            let Some((name, number)) = NAMESPACES.iter().find_map(split) else { continue };
            let (Ok(name_length), Ok(value_length)) =
                (u16::try_from(name.len()), u32::try_from(value.len()))
            else {
                return Err(SquashfsError::TooMany {
                    what: "bytes of an attribute",
                    limit: 65_535,
                });
            };
            let mut out = Vec::with_capacity(8 + name.len() + value.len());
            out.extend(number.to_le_bytes());
            out.extend(name_length.to_le_bytes());
            out.extend(name);
            out.extend(value_length.to_le_bytes());
            out.extend(value);
            self.attributes.write(&out, compressor)?;
            count += 1;
            listed = listed.saturating_add(u32::try_from(full.len() + 1).unwrap_or(u32::MAX));
        }
        let index = if count == 0 { NONE } else { self.count() };
        if count > 0 {
            self.sets.extend(reference.to_le_bytes());
            self.sets.extend(count.to_le_bytes());
            self.sets.extend(listed.to_le_bytes());
        }
        self.known.insert(xattrs.clone(), index);
        Ok(index)
    }

    fn count(&self) -> u32 {
        u32::try_from(self.sets.len() / 16).unwrap_or(NONE)
    }

    /// The bytes of the tables and where the superblock has to point; `None` when no inode has
    /// attributes.
    pub(super) fn finish(
        self,
        at: u64,
        compressor: &mut Compressor,
    ) -> Result<Option<(Vec<u8>, u64)>, SquashfsError> {
        if self.sets.is_empty() {
            return Ok(None);
        }
        let count = self.count();
        let (mut bytes, _) = self.attributes.finish(compressor)?;
        let mut sets = MetadataWriter::default();
        sets.write(&self.sets, compressor)?;
        let (set_bytes, starts) = sets.finish(compressor)?;
        let sets_at = at + bytes.len() as u64;
        bytes.extend(set_bytes);
        let table = at + bytes.len() as u64;
        bytes.extend(at.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
        for start in starts {
            bytes.extend((sets_at + start).to_le_bytes());
        }
        Ok(Some((bytes, table)))
    }
}
