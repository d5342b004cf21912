//! A SIF file that the user named.

use std::fs::File;
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

use super::StageError;
use crate::files::{ForeignFile, sha256};
use crate::oci::{Sha256Digest, SifDigest};
use crate::pin::Image;
use crate::sif::hash_tree;

/// A SIF file that the user named: pinned by the digest of its bytes as they are now; and its path without
/// links.
///
/// # Errors
/// When it cannot be read, or is not a SIF.
pub fn file(path: &Path) -> Result<(Image, PathBuf), StageError> {
    let fail = |source| StageError::File {
        path: path.to_owned(),
        source: crate::files::explained(path, source),
    };
    let place = std::fs::canonicalize(path).map_err(fail)?;
    let opened = ForeignFile::anyones(u64::MAX).open(&place);
    let mut file = opened.map_err(|error| fail(error.into()))?.into_file();
    crate::sif::SifReader::open(&mut file)
        .map_err(|error| StageError::NotSif { path: path.to_owned(), why: error.to_string() })?;
    let digest = measure(&mut file).map_err(fail)?;
    // whoever made it says what its tree is: it is believed once it is the one of the bytes
    let length = file.metadata().map_err(fail)?.len();
    let tree = hash_tree::check(&file, length).ok().flatten();
    Ok((Image::Sif { pin: None, manifest: None, digest, recipe: None, tree }, place))
}

fn measure(file: &mut File) -> io::Result<SifDigest> {
    file.rewind()?;
    Ok(SifDigest::from_bytes(sha256(file)?.sha256))
}
