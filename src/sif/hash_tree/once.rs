//! Digest and tree of a SIF that somebody may write to, from one reading of it: two readings could be of different
//! bytes.
//!
//! ```text
//! descriptors as they are now: where do file system and tree lie?
//! the file, once --chunk--> SHA-256 of all                              its digest (a thread of its own)
//!                --chunk--> tree of what lies up to the end of the file system
//!                --chunk--> the front, and the tree that stands in it: kept
//! front --SifReader--> do they lie there?   kept tree = tree of the bytes?   then its root is the digest's
//! ```

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use super::HashTreeError;
use super::builder::Builder;
use super::open::{Front, MOST_FRONT, Whole, tree_of};
use super::shape::length as tree_length;
use crate::files::ReadAt;
use crate::oci::{Hasher, SifDigest, TreeRoot};
use crate::sif::SifReader;

/// Bytes that are read at once.
const CHUNK: u64 = 512 << 10;
/// Chunks that may wait to be hashed.
const WAITING: usize = 4;

/// What one reading of a SIF gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Once {
    /// The digest of all its bytes.
    pub digest: SifDigest,
    /// The root of the hash tree of these bytes; `None` when there is none in it, or another one.
    pub root: Option<TreeRoot>,
}

/// Reads a SIF of `length` bytes from its first to its last one.
///
/// # Errors
/// When it is no SIF, or cannot be read.
pub fn once(source: &impl ReadAt, length: u64) -> Result<Once, HashTreeError> {
    let said = SifReader::open(Whole { source, length, at: 0 })?;
    let mut tree = Places::of(&said).map(Tree::new);
    let (send, chunks) = sync_channel::<Arc<Vec<u8>>>(WAITING);
    let sum = std::thread::Builder::new().spawn(move || {
        let mut hasher = Hasher::default();
        for chunk in chunks {
            hasher.update(&chunk);
        }
        hasher.finish::<SifDigest>()
    });
    // no further thread: this one hashes, too
    let mut own = sum.is_err().then(Hasher::default);
    let mut at = 0;
    while at < length {
        let mut chunk = vec![0; usize::try_from((length - at).min(CHUNK)).unwrap_or(0)];
        source.read_exact_at(&mut chunk, at).map_err(HashTreeError::reading("bytes"))?;
        let chunk = Arc::new(chunk);
        match &mut own {
            Some(hasher) => hasher.update(&chunk),
            // gone is a thread that panicked, which is found below
            None => drop(send.send(Arc::clone(&chunk))),
        }
        if let Some(tree) = &mut tree {
            tree.update(&chunk, at);
        }
        at += chunk.len() as u64;
    }
    drop(send);
    let digest = match (own, sum) {
        (Some(hasher), _) => hasher.finish(),
        (None, Ok(thread)) => match thread.join() {
            Ok(digest) => digest,
            Err(panic) => std::panic::resume_unwind(panic),
        },
        (None, Err(source)) => return Err(HashTreeError::Io { what: "bytes", source }),
    };
    let root = tree.map_or(Ok(None), |tree| tree.finish(length))?;
    Ok(Once { digest, root })
}

/// Where the parts of a SIF lie.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Places {
    front: u64,
    end: u64,
    tree: u64,
    tree_end: u64,
}

impl Places {
    /// `None` for a SIF without a tree, and for one whose parts lie as no conversion leaves them.
    fn of<R: std::io::Read + std::io::Seek>(sif: &SifReader<R>) -> Option<Self> {
        let tree = tree_of(sif.descriptors()).ok()??;
        let partition = sif.partition().ok()?;
        let end = partition.offset.checked_add(partition.size)?;
        let tree_end = tree.offset.checked_add(tree.size)?;
        let fits = partition.offset <= MOST_FRONT
            && tree.offset >= end
            && tree.size == tree_length(partition.size);
        fits.then_some(Self { front: partition.offset, end, tree: tree.offset, tree_end })
    }
}

/// A tree that is built while the file is read.
struct Tree {
    places: Places,
    builder: Builder,
    front: Vec<u8>,
    found: Vec<u8>,
}

impl Tree {
    fn new(places: Places) -> Self {
        let builder = Builder::new(places.front);
        Self { places, builder, front: Vec::new(), found: Vec::new() }
    }

    fn update(&mut self, chunk: &[u8], at: u64) {
        let Places { front, end, tree, tree_end } = self.places;
        self.builder.update(part(chunk, at, 0, end));
        self.front.extend_from_slice(part(chunk, at, 0, front));
        self.found.extend_from_slice(part(chunk, at, tree, tree_end));
    }

    fn finish(self, length: u64) -> Result<Option<TreeRoot>, HashTreeError> {
        let sif = SifReader::open(Front::new(self.front.into(), length))?;
        let built = self.builder.finish();
        // somebody may have written to it between the two looks
        let same = Places::of(&sif) == Some(self.places) && built.bytes == self.found;
        Ok(same.then_some(built.root))
    }
}

/// The bytes of a chunk, which starts at `at`, that lie in `from..to` of the file.
fn part(chunk: &[u8], at: u64, from: u64, to: u64) -> &[u8] {
    let inside = |place: u64| {
        usize::try_from(place.saturating_sub(at)).unwrap_or(usize::MAX).min(chunk.len())
    };
    chunk.get(inside(from)..inside(to)).unwrap_or_default()
}
