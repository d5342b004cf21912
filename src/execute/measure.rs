//! Measuring: the image is opened once, hashed through that handle, and run through that handle.
//!
//! Exchanging the path afterwards changes nothing. Writing into the very same file can be done by
//! its owner only, and shows in [`Identity`]; an attempt whose file changed has no evidence.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use super::ExecuteError;
use super::attend::still_wanted;
use crate::files::{ForeignFile, Identity, sha256};
use crate::oci::{Sha256Digest, SifDigest, TreeRoot};
use crate::sif::hash_tree::{HashTreeError, Sealed};

/// A measured image.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Of the whole file; only expected where it is `sealed`.
    pub(super) digest: SifDigest,
    pub(super) at: jiff::Timestamp,
    identity: Identity,
    /// What was checked instead of the whole file, when its blocks are to be checked as they are read.
    pub(super) sealed: Option<Sealed>,
}

/// Opens an image whose blocks are to be checked when they are read: only its front is looked at, so this takes as long
/// for a large one. `expected` is not measured.
///
/// # Errors
/// When it is not there, or its front is not what the root stands for.
pub(super) fn seal(
    path: &Path,
    expected: SifDigest,
    root: TreeRoot,
) -> Result<Measured, ExecuteError> {
    let missing = |source| ExecuteError::ImageMissing { path: path.to_owned(), source };
    let opened = ForeignFile::anyones(u64::MAX).through_links().open(path);
    let opened = opened.map_err(|error| missing(error.into()))?;
    let meta = opened.meta().clone();
    let file = opened.into_file();
    let sealed = Sealed::open(&file, meta.len(), root)
        .map_err(|source| ExecuteError::Sealed { path: path.to_owned(), source })?;
    let (at, identity) = (jiff::Timestamp::now(), Identity::of(&meta));
    Ok(Measured {
        file,
        path: path.to_owned(),
        digest: expected,
        at,
        identity,
        sealed: Some(sealed),
    })
}

/// Opens and hashes an image.
///
/// # Errors
/// When it is not there, has another digest, or changed while it was read.
pub(super) fn measure(path: &Path, expected: SifDigest) -> Result<Measured, ExecuteError> {
    let missing = |source| ExecuteError::ImageMissing { path: path.to_owned(), source };
    let opened = ForeignFile::anyones(u64::MAX).through_links().open(path);
    let opened = opened.map_err(|error| missing(error.into()))?;
    let before = opened.meta().clone();
    let mut file = opened.into_file();
    let reading = |source| ExecuteError::Io { what: format!("reading {}", path.display()), source };
    let mut attentive = Attentive { file: &mut file, told: None };
    let sum = sha256(&mut attentive);
    let told = attentive.told.map_or(Ok(()), Err);
    let found = SifDigest::from_bytes(told.and(sum.map_err(reading))?.sha256);
    file.rewind().map_err(reading)?;
    if found != expected {
        return Err(ExecuteError::Mismatch { path: path.to_owned(), found, expected });
    }
    let measured = Measured {
        file,
        path: path.to_owned(),
        digest: found,
        at: jiff::Timestamp::now(),
        identity: Identity::of(&before),
        sealed: None,
    };
    if !measured.unchanged() {
        return Err(ExecuteError::ChangedWhileRead(path.to_owned()));
    }
    Ok(measured)
}

/// Reads until the worker is told to end: an image of some gigabytes on a slow disk takes minutes.
struct Attentive<'a> {
    file: &'a mut File,
    told: Option<ExecuteError>,
}

impl Read for Attentive<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match still_wanted() {
            Ok(()) => self.file.read(buffer),
            Err(error) => {
                self.told = Some(error);
                Err(io::Error::other("the worker was told to end"))
            }
        }
    }
}

impl Measured {
    /// What is wrong with it, where it is sealed.
    pub(super) fn wrong(&self, source: HashTreeError) -> ExecuteError {
        ExecuteError::Sealed { path: self.path.clone(), source }
    }

    /// Whether the file that was hashed still has the same bytes, as far as its times tell.
    pub(super) fn unchanged(&self) -> bool {
        self.file.metadata().is_ok_and(|m| Identity::of(&m) == self.identity)
    }

    /// Whether the path still leads to the file that was hashed.
    pub(super) fn path_unchanged(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|m| Identity::of(&m) == self.identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_refuses_and_sees_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.sif");
        let digest = SifDigest::of(b"image");
        assert!(matches!(measure(&path, digest), Err(ExecuteError::ImageMissing { .. })));
        assert!(matches!(measure(dir.path(), digest), Err(ExecuteError::ImageMissing { .. })));
        std::fs::write(&path, "imagE").unwrap();
        assert_eq!(measure(&path, digest).unwrap_err().exit_code(), 211);
        std::fs::write(&path, "image").unwrap();
        let measured = measure(&path, digest).unwrap();
        assert!(measured.unchanged() && measured.path_unchanged());

        // another file at the path: the handle still has the measured one
        std::fs::rename(&path, dir.path().join("old")).unwrap();
        std::fs::write(&path, "other").unwrap();
        assert!(!measured.path_unchanged());
        let mut text = String::new();
        (&measured.file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "image");

        // the same file written to
        std::fs::write(dir.path().join("old"), "IMAGE!").unwrap();
        assert!(!measured.unchanged());
    }
}
