//! The files of an archive by their names in it.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::members::Members;
use super::{ArchiveError, regular};
use crate::oci::{Digest, Sha256Digest};

/// Bytes of an index or a manifest at most.
pub(super) const MAX_MANIFEST: u64 = 4 << 20;

/// Bytes of a configuration at most.
pub(super) const MAX_CONFIG: u64 = 8 << 20;

/// Where a blob lies in a layout.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The files of an archive by their names in it.
#[derive(Debug)]
pub(super) enum Files {
    Directory(PathBuf),
    Tar(Members),
    /// With the members that hold the layers.
    Docker(Members, Vec<(Digest, String)>),
}

impl Files {
    /// `name` is ours: a fixed one, or made of a digest.
    pub(super) fn file(&self, name: &str) -> Result<Box<dyn Read>, ArchiveError> {
        match self {
            Self::Directory(root) => {
                let path = root.join(name);
                let file = regular(&path).map_err(|source| ArchiveError::Io {
                    source: crate::files::explained(&path, source),
                    path: path.clone(),
                })?;
                Ok(Box::new(file))
            }
            Self::Tar(members) | Self::Docker(members, _) => members.file(name),
        }
    }

    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        whole(self.file(name)?, &self.path(), name, limit)
    }

    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::Directory(root) => root.clone(),
            Self::Tar(members) | Self::Docker(members, _) => members.path().to_owned(),
        }
    }

    /// A blob in memory, verified.
    pub(super) fn blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let bytes = self.read(&blob_name(digest), limit)?;
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(ArchiveError::Corrupt { path: self.path(), expected: *digest, found });
        }
        Ok(bytes)
    }
}

/// Reads a small file whole.
pub(super) fn whole(
    file: impl Read,
    path: &Path,
    name: &str,
    limit: u64,
) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|source| {
        let path = path.join(name);
        ArchiveError::Io { source: crate::files::explained(&path, source), path }
    })?;
    if bytes.len() as u64 > limit {
        let why = format!("{name} has more than {limit} bytes");
        return Err(ArchiveError::malformed(path, why));
    }
    Ok(bytes)
}
