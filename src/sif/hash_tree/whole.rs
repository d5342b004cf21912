//! Whether a file's tree is the one of its bytes: for `verify`, and where a file is pinned that somebody else made.

use super::HashTreeError;
use super::builder::Builder;
use super::open::{Whole, tree_of};
use crate::files::ReadAt;
use crate::oci::TreeRoot;
use crate::sif::SifReader;

/// Bytes that are read at once.
const CHUNK: u64 = 512 << 10;

/// Hashes the whole SIF and compares; the root when its tree is right, `None` when it has none.
///
/// # Errors
/// [`HashTreeError::Changed`] when the tree is another; when the file cannot be read.
pub fn check(source: &impl ReadAt, length: u64) -> Result<Option<TreeRoot>, HashTreeError> {
    let sif = SifReader::open(Whole { source, length, at: 0 })?;
    let Some(tree) = tree_of(sif.descriptors())? else { return Ok(None) };
    let partition = sif.partition()?;
    let mut builder = Builder::new(partition.offset);
    let (mut at, end) = (0, partition.offset.saturating_add(partition.size));
    let mut chunk = Vec::new();
    while at < end {
        chunk.resize(usize::try_from((end - at).min(CHUNK)).unwrap_or(0), 0);
        source.read_exact_at(&mut chunk, at).map_err(HashTreeError::reading("file system"))?;
        builder.update(&chunk);
        at += chunk.len() as u64;
    }
    let built = builder.finish();
    let another = HashTreeError::Changed("its hash tree is not that of its bytes");
    if tree.size != built.bytes.len() as u64 {
        return Err(another);
    }
    let mut found = vec![0; built.bytes.len()];
    source.read_exact_at(&mut found, tree.offset).map_err(HashTreeError::reading("hash tree"))?;
    if found == built.bytes { Ok(Some(built.root)) } else { Err(another) }
}
