//! The image of a job on this machine: looked at, and compared with what the job is pinned to.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::ExecuteError;
use super::measure::Measured;
use crate::archive::{Archive, ArchiveError, Form, Location};
use crate::failure::{Failure, Kind};
use crate::oci::{ConfigDigest, ImageConfig, Sha256Digest};
use crate::pin::Pin;

/// An image in the form that its runtime takes.
pub(super) enum Image {
    /// A SIF; the whole file was hashed, or its blocks are checked when they are read.
    Sif(Box<Measured>),
    /// An OCI archive; its manifest and configuration have the digests of the pin. Its layers were not read:
    /// they are compared where they are loaded.
    Oci(Box<Archived>),
    /// A tree that a site publishes; its name is the pin's, its files were not looked at.
    Directory(Box<Directory>),
}

/// A published tree.
pub(super) struct Directory {
    /// Where, without links.
    pub(super) path: PathBuf,
    /// The image's configuration, which has the pin's digest.
    pub(super) config: ImageConfig,
}

/// The image of an archive.
pub(super) struct Archived {
    /// Where the archive is.
    pub(super) path: PathBuf,
    /// Its documents.
    pub(super) archive: Archive,
}

impl Image {
    /// The SIF.
    ///
    /// # Errors
    /// When it is none: the runtime was chosen by the form, so nobody gets here.
    pub(super) fn sif(&self) -> Result<&Measured, ExecuteError> {
        match self {
            Self::Sif(measured) => Ok(measured),
            other => Err(ExecuteError::NotSif(other.path().display().to_string())),
        }
    }

    /// The archive.
    ///
    /// # Errors
    /// When it is none; as [`Image::sif`].
    pub(super) fn archived(&self) -> Result<&Archived, ExecuteError> {
        match self {
            Self::Oci(archived) => Ok(archived),
            other => Err(ExecuteError::NotOci(other.path().display().to_string())),
        }
    }

    /// The file of a SIF.
    pub(super) fn sif_file(&self) -> Option<&File> {
        match self {
            Self::Sif(measured) => Some(&measured.file),
            Self::Oci(_) | Self::Directory(_) => None,
        }
    }

    /// The published tree, where it is one.
    pub(super) fn directory(&self) -> Option<&Directory> {
        match self {
            Self::Directory(directory) => Some(directory),
            Self::Sif(_) | Self::Oci(_) => None,
        }
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Sif(measured) => &measured.path,
            Self::Oci(archived) => &archived.path,
            Self::Directory(directory) => &directory.path,
        }
    }
}

impl Archived {
    /// Opens the archive and finds the pinned image in it.
    ///
    /// # Errors
    /// When it is not there, or holds no image with the pin's digests.
    pub(super) fn open(path: &Path, pin: &Pin) -> Result<Self, ExecuteError> {
        let tag = Some(pin.manifest.to_string());
        let location = Location { form: Form::OciArchive, path: path.to_owned(), tag };
        let archive = Archive::open(&location, &pin.platform).map_err(|error| match error {
            ArchiveError::Io { source, .. } => {
                ExecuteError::ImageMissing { path: path.to_owned(), source }
            }
            error if error.kind() == Kind::Integrity => ExecuteError::OtherImage {
                what: path.display().to_string(),
                why: error.to_string(),
            },
            error => ExecuteError::Archive { path: path.to_owned(), why: error.to_string() },
        })?;
        let other = |what: &str, found: String, expected: String| {
            Err(ExecuteError::OtherImage {
                what: path.display().to_string(),
                why: format!("its {what} is {found}, the job is pinned to {expected}"),
            })
        };
        if archive.digest != pin.manifest {
            return other("manifest", archive.digest.to_string(), pin.manifest.to_string());
        }
        let config = ConfigDigest::from_bytes(*archive.manifest.config.digest.bytes());
        if config != pin.config {
            return other("configuration", config.to_string(), pin.config.to_string());
        }
        Ok(Self { path: path.to_owned(), archive })
    }
}
