//! Images in files, without a registry: OCI layouts, the same in a tar, and docker archives.
//!
//! ```text
//! oci:DIR[:TAG]               layout.rs   index.json -> manifest -> blobs/sha256/HEX
//! oci-archive:FILE[:TAG]      the same in a tar (members.rs)
//! docker-archive:FILE[:TAG]   docker.rs   manifest.json -> configuration, layers
//! ```
//!
//! TAG is a name, a digest or a place (`choice.rs`).
//!
//! Floor 4. Manifest and configuration are verified when they are read; of a layer it is said where
//! it lies, and whoever reads it verifies it. The files may be written by anybody: sizes
//! are bounded, only regular files are opened, and no name in an archive is ever a path on this
//! machine.
//!
//! As in other tools the path ends at its first colon, so a path with a colon cannot be named.
//! Sources: OCI image specification 1.1, `image-layout.md`; docker image specification 1.2.
//! Not promised: compressed archives (they would have to be unpacked first).

mod choice;
mod docker;
mod error;
mod layout;
mod members;

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub use error::ArchiveError;
use members::Members;

use crate::oci::{Descriptor, Digest, ImageConfig, Manifest, Platform, Sha256Digest};

/// Bytes of an index or a manifest at most.
const MAX_MANIFEST: u64 = 4 << 20;
/// Bytes of a configuration at most.
const MAX_CONFIG: u64 = 8 << 20;

/// The forms that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A directory in OCI layout.
    Oci,
    /// A tar of such a directory.
    OciArchive,
    /// What `docker save` writes.
    DockerArchive,
}

impl Form {
    /// All with their schemes. `oci-archive:` does not start with `oci:`.
    const ALL: [(&'static str, Self); 3] = [
        ("oci:", Self::Oci),
        ("oci-archive:", Self::OciArchive),
        ("docker-archive:", Self::DockerArchive),
    ];
}

/// What a user typed: a form, a path, and which image in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// What is expected there.
    pub form: Form,
    /// Where.
    pub path: PathBuf,
    /// Which image, where there are several.
    pub tag: Option<String>,
}

impl Location {
    /// Reads `oci:DIR[:TAG]` and the like; `None` for texts without such a scheme or path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, form) = Form::ALL
            .iter()
            .find_map(|(scheme, form)| Some((text.strip_prefix(scheme)?, *form)))?;
        let (path, tag) = match rest.split_once(':') {
            // a digest as references write it
            Some((path, hex)) if path.len() > 7 && path.ends_with("@sha256") => {
                (&path[..path.len() - 7], Some(format!("sha256:{hex}")))
            }
            Some((path, tag)) => (path, Some(tag.to_owned()).filter(|tag| !tag.is_empty())),
            None => (rest, None),
        };
        (!path.is_empty()).then(|| Self { form, path: path.into(), tag })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = Form::ALL.iter().find(|(_, form)| *form == self.form).map_or("", |(s, _)| s);
        write!(f, "{scheme}{}", self.path.display())?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))
    }
}

/// One image of an archive, its documents verified.
#[derive(Debug)]
pub struct Archive {
    /// The digest of [`Archive::manifest_bytes`]: what identifies the image.
    pub digest: Digest,
    /// The manifest's bytes. For a docker archive they are made here (`docker.rs`).
    pub manifest_bytes: Vec<u8>,
    /// The same, read.
    pub manifest: Manifest,
    /// The configuration's bytes.
    pub config_bytes: Vec<u8>,
    /// The same, read; with what it does not say of its platform.
    pub config: ImageConfig,
    /// What it is for.
    pub platform: Platform,
    files: Files,
}

impl Archive {
    /// Opens an archive and finds the image for a platform in it.
    ///
    /// # Errors
    /// When it cannot be read, is malformed, has no such image, or several and none was named.
    pub fn open(location: &Location, platform: &Platform) -> Result<Self, ArchiveError> {
        let mut archive = match location.form {
            Form::Oci => layout::open(Files::Directory(location.path.clone()), location, platform),
            Form::OciArchive => {
                let members = Members::open(&location.path)?;
                layout::open(Files::Tar(members), location, platform)
            }
            Form::DockerArchive => docker::open(Members::open(&location.path)?, location, platform),
        }?;
        archive.config.platform = archive.config.platform.or(&archive.platform);
        Ok(archive)
    }

    /// Where a layer's blob lies: **not verified**, and whoever reads it finds at most its size and
    /// one byte more.
    ///
    /// # Errors
    /// When it is not there, or is no regular file.
    pub fn layer(&self, layer: &Descriptor) -> Result<Piece, ArchiveError> {
        let name = blob_name(&layer.digest);
        let mut piece = match &self.files {
            Files::Docker(members, names) => match names.iter().find(|(d, _)| *d == layer.digest) {
                Some((_, name)) => members.piece(name)?,
                None => members.piece(&name)?,
            },
            Files::Tar(members) => members.piece(&name)?,
            Files::Directory(root) => {
                let path = root.join(&name);
                let io = |source| ArchiveError::Io { path: path.clone(), source };
                let file = regular(&path).map_err(io)?;
                let size = file.metadata().map_err(io)?.len();
                Piece { file, at: 0, size }
            }
        };
        piece.size = piece.size.min(layer.size.saturating_add(1));
        Ok(piece)
    }
}

/// A part of a file.
#[derive(Debug)]
pub struct Piece {
    /// The file, open.
    pub file: File,
    /// The part's first byte.
    pub at: u64,
    /// Its length.
    pub size: u64,
}

impl Piece {
    /// Its bytes.
    ///
    /// # Errors
    /// When the file cannot be positioned.
    pub fn read(mut self) -> io::Result<impl Read> {
        self.file.seek(SeekFrom::Start(self.at))?;
        Ok(self.file.take(self.size))
    }
}

/// Where a blob lies in a layout.
fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The files of an archive by their names in it.
#[derive(Debug)]
enum Files {
    Directory(PathBuf),
    Tar(Members),
    /// With the members that hold the layers.
    Docker(Members, Vec<(Digest, String)>),
}

impl Files {
    /// `name` is ours: a fixed one, or made of a digest.
    fn file(&self, name: &str) -> Result<Box<dyn Read>, ArchiveError> {
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

    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        whole(self.file(name)?, &self.path(), name, limit)
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Directory(root) => root.clone(),
            Self::Tar(members) | Self::Docker(members, _) => members.path().to_owned(),
        }
    }

    /// A blob in memory, verified.
    fn blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let bytes = self.read(&blob_name(digest), limit)?;
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(ArchiveError::Corrupt { path: self.path(), expected: *digest, found });
        }
        Ok(bytes)
    }
}

/// Reads a small file whole.
fn whole(file: impl Read, path: &Path, name: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
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

/// Opens a regular file; does not wait for the other end of a named pipe.
fn regular(path: &Path) -> io::Result<File> {
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits();
    let flags = i32::try_from(nonblock).unwrap_or(0);
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
