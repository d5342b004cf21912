//! A SIF file that the user named.

use std::fs::File;
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

use super::StageError;
use crate::files::{ForeignFile, sha256};
use crate::oci::{Sha256Digest, SifDigest};
use crate::pin::Image;

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
    // no root of a hash tree: a second reading could be of other bytes than the digest is, when somebody else can
    // write the file. So the worker hashes it whole
    Ok((Image::Sif { pin: None, manifest: None, digest, recipe: None, tree: None }, place))
}

fn measure(file: &mut File) -> io::Result<SifDigest> {
    file.rewind()?;
    Ok(SifDigest::from_bytes(sha256(file)?.sha256))
}
