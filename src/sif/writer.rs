//! Writes a SIF from front to back; the sizes that are known only at the end are filled in last.
//!
//! ```text
//! begin() -> object() ... -> partition() -> the caller writes the squashfs -> finish(its size)
//!                                           the caller writes the hash tree of all this behind it
//! ```
//!
//! The partition comes behind the objects because only then may its size be unknown while it is written. The length of
//! the hash tree follows from that size; its bytes follow from all before it.

use std::io::{Seek, SeekFrom, Write};

use super::{
    Arch, DataType, Descriptor, HASH_TREE, Header, SifError, descriptor, hash_tree, header,
};

/// Apptainer's number of descriptor places; kept, so that it can add a signature.
const PLACES: usize = 48;
const DESCRIPTORS_OFFSET: u64 = 4096;
const DATA_OFFSET: u64 = DESCRIPTORS_OFFSET + (PLACES * descriptor::LEN) as u64;
/// Descriptors behind the objects: the partition's and the hash tree's.
const BEHIND: usize = 2;
/// Loop devices and page-aligned copies need it.
const ALIGNMENT: u64 = 4096;

/// What apptainer makes anew on every build and Moorline derives from digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The file's id.
    pub uuid: [u8; 16],
    /// Seconds since 1970 for header and objects.
    pub time: i64,
    /// The processor.
    pub arch: Arch,
}

/// Where the parts of a SIF lie, in bytes from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The partition's first byte.
    pub partition: u64,
    /// Behind its last one.
    pub end: u64,
    /// The hash tree's first byte; what is between is zeros.
    pub tree: u64,
    /// The whole length.
    pub length: u64,
}

/// A SIF that is being written.
pub struct SifWriter<W> {
    out: W,
    identity: Identity,
    descriptors: Vec<Descriptor>,
    end: u64,
}

impl<W: Write + Seek> SifWriter<W> {
    /// Starts a SIF at the beginning of `out`, with room for header and descriptors.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn begin(mut out: W, identity: Identity) -> Result<Self, SifError> {
        out.rewind().map_err(SifError::writing("header"))?;
        zeros(&mut out, DATA_OFFSET).map_err(SifError::writing("header"))?;
        Ok(Self { out, identity, descriptors: Vec::new(), end: DATA_OFFSET })
    }

    /// Adds a small object. Only the first 46 fit, so that the partition and the tree keep their places.
    ///
    /// # Errors
    /// When `out` cannot be written or there is no descriptor left.
    pub fn object(&mut self, kind: DataType, name: &str, bytes: &[u8]) -> Result<(), SifError> {
        if self.descriptors.len() + BEHIND >= PLACES {
            return Err(SifError::Damaged {
                what: "the number of objects".into(),
                value: i64::try_from(self.descriptors.len()).unwrap_or(i64::MAX),
                why: format!("at most {} fit beside the partition", PLACES - BEHIND),
            });
        }
        self.out.write_all(bytes).map_err(SifError::writing("object"))?;
        let size = bytes.len() as u64;
        self.describe(kind, name, self.end, size, size, None);
        self.end += size;
        Ok(())
    }

    /// Pads to the partition's place and tells where that is. The caller then writes `out` at and
    /// behind it, nothing before it.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn partition(&mut self) -> Result<(&mut W, u64), SifError> {
        let at = self.end.next_multiple_of(ALIGNMENT);
        zeros(&mut self.out, at - self.end).map_err(SifError::writing("padding"))?;
        Ok((&mut self.out, at))
    }

    /// What the SIF is written to.
    pub fn inner(&mut self) -> &mut W {
        &mut self.out
    }

    /// Ends the SIF behind a partition of `size` bytes and returns the file's whole length.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn finish(self, size: u64) -> Result<u64, SifError> {
        self.end(size, false).map(|ended| ended.length)
    }

    /// As [`Self::finish`], with a hash tree behind the partition, which the caller writes.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn finish_with_tree(self, size: u64) -> Result<Ended, SifError> {
        self.end(size, true)
    }

    fn end(mut self, size: u64, with_tree: bool) -> Result<Ended, SifError> {
        let at = self.end.next_multiple_of(ALIGNMENT);
        let padded = at - self.end + size;
        self.describe(DataType::Partition, "", at, size, padded, Some(self.identity.arch));
        let end = at + size;
        let (mut tree, mut length) = (end, end);
        if with_tree {
            tree = end.next_multiple_of(ALIGNMENT);
            let bytes = hash_tree::length(size);
            self.describe(DataType::Generic, HASH_TREE, tree, bytes, tree - end + bytes, None);
            length = tree + bytes;
        }

        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let header = Header {
            arch: self.identity.arch,
            uuid: self.identity.uuid,
            created: self.identity.time,
            modified: self.identity.time,
            free: signed((PLACES - self.descriptors.len()) as u64),
            total: signed(PLACES as u64),
            descriptors_offset: signed(DESCRIPTORS_OFFSET),
            descriptors_size: signed(DATA_OFFSET - DESCRIPTORS_OFFSET),
            data_offset: signed(DATA_OFFSET),
            data_size: signed(length - DATA_OFFSET),
        };
        let mut front = [0; header::LEN].to_vec();
        front.copy_from_slice(&header.encode());
        front.resize(usize::try_from(DESCRIPTORS_OFFSET).unwrap_or(4096), 0);
        for descriptor in &self.descriptors {
            front.extend(descriptor.encode());
        }
        self.out.rewind().map_err(SifError::writing("header"))?;
        self.out.write_all(&front).map_err(SifError::writing("header"))?;
        self.out.seek(SeekFrom::Start(length)).map_err(SifError::writing("end"))?;
        self.out.flush().map_err(SifError::writing("end"))?;
        Ok(Ended { partition: at, end, tree, length })
    }

    fn describe(
        &mut self,
        data_type: DataType,
        name: &str,
        offset: u64,
        size: u64,
        padded_size: u64,
        primary: Option<Arch>,
    ) {
        let id = u32::try_from(self.descriptors.len() + 1).unwrap_or(u32::MAX);
        self.descriptors.push(Descriptor {
            data_type,
            id,
            offset,
            size,
            padded_size,
            time: self.identity.time,
            name: name.to_owned(),
            primary,
            squashfs: primary.is_some(),
        });
    }
}

fn zeros(out: &mut impl Write, count: u64) -> std::io::Result<()> {
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), count), out).map(|_| ())
}
