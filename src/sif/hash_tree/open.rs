//! From a foreign file and a root to what can be believed: the SIF's front, and where its parts lie.
//!
//! ```text
//! descriptors as they are now --where is the tree?--> first bytes --SHA-256--> the root? no: refused
//!     first bytes: length and hash of the front --> front, read once into memory --SHA-256--> right? no: refused
//!     front --SifReader--> partition, objects          from memory: it cannot change any more
//! ```

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use super::HashTreeError;
use super::checked::Checked;
use super::head::Head;
use super::shape::{HEAD, Shape};
use crate::files::ReadAt;
use crate::oci::{Sha256Digest, TreeRoot};
use crate::sif::{DataType, Descriptor, HASH_TREE, Partition, SifReader};

/// The largest front that is read into memory, in bytes. Conversions write less than a mebibyte.
pub(super) const MOST_FRONT: u64 = 64 << 20;

/// A SIF whose front was checked against a root; its file system is checked when it is read.
#[derive(Clone, Debug)]
pub struct Sealed {
    root: TreeRoot,
    head: Head,
    /// Where the tree starts in the file.
    tree: u64,
    front: Arc<[u8]>,
    length: u64,
    partition: Partition,
}

/// The front of a SIF as a file that ends behind it; its length is the whole file's.
#[derive(Clone, Debug)]
pub struct Front {
    bytes: Arc<[u8]>,
    length: u64,
    at: u64,
}

impl Front {
    pub(super) fn new(bytes: Arc<[u8]>, length: u64) -> Self {
        Self { bytes, length, at: 0 }
    }
}

impl Sealed {
    /// Checks the front of a SIF of `length` bytes. However large it is, only its first bytes are read.
    ///
    /// # Errors
    /// [`HashTreeError::Absent`] when it has no tree; when it is not what `root` stands for, or cannot be read.
    pub fn open(source: &impl ReadAt, length: u64, root: TreeRoot) -> Result<Self, HashTreeError> {
        // anybody may have written these; they only say where to look
        let said = SifReader::open(Whole { source, length, at: 0 })?;
        let tree = tree_of(said.descriptors())?.ok_or(HashTreeError::Absent)?;
        let mut bytes = [0; HEAD];
        source
            .read_exact_at(&mut bytes, tree.offset)
            .map_err(HashTreeError::reading("hash tree"))?;
        let head = Head::decode(&bytes, root)?;
        if head.front > length.min(MOST_FRONT) {
            return Err(HashTreeError::Changed(
                "what lies in front of its file system is too long",
            ));
        }
        let mut front = vec![0; usize::try_from(head.front).unwrap_or(0)];
        source.read_exact_at(&mut front, 0).map_err(HashTreeError::reading("front"))?;
        if *TreeRoot::of(&front).bytes() != head.front_hash {
            return Err(HashTreeError::Changed("its header or an object was changed"));
        }
        let front: Arc<[u8]> = front.into();
        let sif = SifReader::open(Front::new(Arc::clone(&front), length))?;
        let partition = sif.partition()?;
        let tree = tree_of(sif.descriptors())?.ok_or(HashTreeError::Absent)?.offset;
        if (partition.offset, partition.size) != (head.front, head.size) {
            return Err(HashTreeError::Changed("its file system lies elsewhere"));
        }
        Ok(Self { root, head, tree, front, length, partition })
    }

    /// The root that it was checked against.
    #[must_use]
    pub fn root(&self) -> TreeRoot {
        self.root
    }

    /// Where its file system lies.
    #[must_use]
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// Its header, descriptors and objects in front of the file system, out of memory.
    ///
    /// # Errors
    /// As [`SifReader::open`]; it was opened once before.
    pub fn sif(&self) -> Result<SifReader<Front>, HashTreeError> {
        Ok(SifReader::open(Front::new(Arc::clone(&self.front), self.length))?)
    }

    /// The file system's bytes, from its first one on; each block is checked before it is handed on.
    pub fn checked<S: ReadAt>(&self, source: S) -> Checked<S> {
        Checked::new(source, self.head.front, self.tree, Shape::of(self.head.size), self.head.top)
    }
}

/// The tree's descriptor, where there is one.
pub(super) fn tree_of(all: &[Descriptor]) -> Result<Option<&Descriptor>, HashTreeError> {
    let mut trees = all.iter().filter(|d| d.data_type == DataType::Generic && d.name == HASH_TREE);
    let first = trees.next();
    match trees.next() {
        Some(_) => Err(HashTreeError::Changed("it has more than one hash tree")),
        None => Ok(first),
    }
}

/// The whole file, for who reads on from a place.
pub(super) struct Whole<'a, S> {
    pub(super) source: &'a S,
    pub(super) length: u64,
    pub(super) at: u64,
}

impl<S: ReadAt> Read for Whole<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.at);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        self.source.read_exact_at(&mut buffer[..count], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl<S> Seek for Whole<'_, S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = moved(to, self.at, self.length)?;
        Ok(self.at)
    }
}

impl Read for Front {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(self.at).unwrap_or(usize::MAX);
        let rest = self.bytes.get(from..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Front {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = moved(to, self.at, self.length)?;
        Ok(self.at)
    }
}

fn moved(to: SeekFrom, at: u64, length: u64) -> io::Result<u64> {
    let place = match to {
        SeekFrom::Start(at) => Some(at),
        SeekFrom::End(by) => length.checked_add_signed(by),
        SeekFrom::Current(by) => at.checked_add_signed(by),
    };
    place.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
