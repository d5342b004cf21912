//! A SIF file that the user named.
//!
//! ```text
//! path --opened once--> handle --read once--> digest and root of the hash tree, of the same bytes
//!                          +--what it is now--> an identity by which the reading may be remembered
//! ```
//!
//! A reading that is remembered costs nothing and gives nothing away: the worker checks each block against the root,
//! or hashes the file where it has no tree. Bytes that were changed in between never reach the program.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::StageError;
use crate::files::{ForeignFile, Identity};
use crate::oci::SifDigest;
use crate::pin::Image;
use crate::sif::SifReader;
use crate::sif::hash_tree::{HashTreeError, Once, once};

/// A file that changed so short a time ago may change again without another time of change.
const SETTLED: Duration = Duration::from_secs(2);

/// A SIF file that the user named, opened.
#[derive(Debug)]
pub struct NamedSif {
    path: PathBuf,
    file: File,
    length: u64,
    /// Its path without links.
    pub place: PathBuf,
    /// What it was when it was opened.
    pub identity: Identity,
}

/// What is known of a file once it was read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Digest and root.
    pub once: Once,
    /// Whether the next one who sees the same identity may believe it.
    pub settled: bool,
}

/// Opens a SIF file that the user named.
///
/// # Errors
/// When it cannot be read, or is not a SIF.
pub fn named(path: &Path) -> Result<NamedSif, StageError> {
    let fail = |source| StageError::File {
        path: path.to_owned(),
        source: crate::files::explained(path, source),
    };
    let place = std::fs::canonicalize(path).map_err(fail)?;
    let opened = ForeignFile::anyones(u64::MAX).open(&place);
    let opened = opened.map_err(|error| fail(error.into()))?;
    let (identity, length) = (Identity::of(opened.meta()), opened.meta().len());
    let mut file = opened.into_file();
    SifReader::open(&mut file)
        .map_err(|error| StageError::NotSif { path: path.to_owned(), why: error.to_string() })?;
    Ok(NamedSif { path: path.to_owned(), file, length, place, identity })
}

impl NamedSif {
    /// Reads it: its digest, and the root of its hash tree, are of the bytes as they are now.
    ///
    /// # Errors
    /// When it cannot be read, or is not a SIF any more.
    pub fn read(&self) -> Result<Reading, StageError> {
        let path = || self.path.clone();
        let once = once(&self.file, self.length).map_err(|error| match error {
            HashTreeError::Io { source, .. } => StageError::File { path: path(), source },
            other => StageError::NotSif { path: path(), why: other.to_string() },
        })?;
        let now = self.file.metadata();
        let same = now.is_ok_and(|meta| Identity::of(&meta) == self.identity);
        let settled = same && self.identity.is_older_than(SETTLED, SystemTime::now());
        Ok(Reading { once, settled })
    }
}

/// The image that a file is, as it was read.
#[must_use]
pub fn image_of(once: Once) -> Image {
    let Once { digest, root: tree } = once;
    Image::Sif { pin: None, manifest: None, digest, recipe: None, tree }
}

/// The digest of a SIF file that the user named.
///
/// # Errors
/// As [`named`].
pub fn digest_of(path: &Path) -> Result<SifDigest, StageError> {
    Ok(named(path)?.read()?.once.digest)
}
