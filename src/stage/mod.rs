//! From a pin to an image that a job can run: fetched, verified, converted, in the store.
//!
//! ```text
//! pin --known?--> SIF in the store ----------------------------+
//!     --fetch--> layers in the store --convert--> SIF, by digest +--> Image::Sif
//! ```
//!
//! An image in a file (`oci:DIR` and the like) takes the same way from its archive instead of a
//! registry; it has no [`Pin`], its SIF says the manifest's digest.
//!
//! A digest that was converted before under the same recipe needs no network. Not promised: that
//! the registry still has it.

pub mod artifact;
mod compare;
pub mod convert;
pub mod verify;

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use crate::archive::{Archive, ArchiveError, Location};
use crate::failure::{Failure, Kind, io_kind};
use crate::oci::{Descriptor, Digest, Hasher, Manifest, Platform, SifDigest};
use crate::pin::{Image, Pin, Recipe};
use crate::registry::{Client, ImageDocuments, RegistryError};
use crate::stage::convert::{ConvertError, Source, Work};
use crate::store::{Store, StoreError};

/// What went wrong on the way from a pin to an image.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A layer of an archive is not what its manifest says, or cannot be read.
    #[error("a layer of {archive} is corrupt: {source}")]
    Layer {
        /// As it was typed.
        archive: String,
        /// The difference.
        source: StoreError,
    },
    /// The conversion.
    #[error("cannot convert {image}: {source}")]
    Convert {
        /// The pinned reference.
        image: String,
        /// Why.
        source: ConvertError,
    },
    /// A SIF in a registry that cannot be used.
    #[error("{image} is no SIF that can be used here: {why}")]
    Artifact {
        /// The pinned reference.
        image: String,
        /// Why.
        why: String,
    },
    /// A SIF file that the user named.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A SIF file that is none.
    #[error("{} is no SIF file: {why}", path.display())]
    NotSif {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl Failure for StageError {
    fn kind(&self) -> Kind {
        match self {
            Self::Registry(error) => error.kind(),
            Self::Store(error) | Self::Layer { source: error, .. } => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Convert { source, .. } => source.kind(),
            Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Self::File { source, .. } => io_kind(source, Kind::Usage),
            Self::NotSif { .. } | Self::Artifact { .. } => Kind::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Archive(error) => error.hint(),
            Self::Layer { .. } => Some("nothing of it is kept; make the archive again".into()),
            Self::Convert { source, .. } => source.hint().or_else(|| {
                (source.kind() == Kind::NoSpace)
                    .then(|| "free space there, or set MOORLINE_CACHE to a larger disk".to_owned())
            }),
            Self::File { .. } | Self::NotSif { .. } | Self::Artifact { .. } => None,
        }
    }
}

/// What happens, for who watches.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// A layer is downloaded: which of how many.
    Layer {
        /// From 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// What.
        layer: &'a Descriptor,
    },
    /// The layers are there and become a SIF.
    Converting {
        /// Compressed bytes of all layers.
        bytes: u64,
    },
}

/// How an image is converted.
#[derive(Clone, Copy, Debug)]
pub struct How<'a> {
    /// What decides the bytes.
    pub recipe: &'a Recipe,
    /// How many threads compress; changes no byte.
    pub threads: NonZeroUsize,
}

/// An image in the store, and how it came there.
#[derive(Debug)]
pub struct Staged {
    /// What a job is made from.
    pub image: Image,
    /// The length of the SIF in bytes.
    pub size: u64,
    /// Whether it was there already.
    pub known: bool,
    /// What the conversion could not keep (for example POSIX ACLs).
    pub warnings: Vec<String>,
}

/// The SIF of a pin when the store has it: no network is used.
///
/// # Errors
/// When the store cannot be read.
pub fn known(pin: &Pin, recipe: &Recipe, store: &Store) -> Result<Option<Staged>, StageError> {
    Ok(store.sif(&pin.manifest, recipe)?.map(|sif| Staged {
        image: Image::Sif {
            pin: Some(pin.clone()),
            digest: sif.digest,
            recipe: Some(recipe.clone()),
            place: sif.path,
        },
        size: sif.size,
        known: true,
        warnings: Vec::new(),
    }))
}

/// Downloads what the store lacks of an image; each blob is verified before it has its name.
///
/// # Errors
/// When the registry or the store fails, or a blob is not what its digest says.
pub async fn fetch(
    pin: &Pin,
    client: &Client,
    store: &Store,
    show: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<ImageDocuments, StageError> {
    let documents = client.image(pin).await?;
    let layers = &documents.manifest.layers;
    for (i, layer) in layers.iter().enumerate() {
        if store.blob(&layer.digest).is_some() {
            continue;
        }
        show(Progress::Layer { number: i + 1, of: layers.len(), layer });
        let mut incoming = store.incoming()?;
        client.blob(&pin.registry, &pin.repository, layer, &mut incoming).await?;
        store.publish_blob(incoming, &layer.digest, layer.size)?;
    }
    Ok(documents)
}

/// Converts an image whose layers are in the store.
///
/// # Errors
/// When a layer is malformed, or the disk is full; nothing stays in the store then.
pub fn convert(
    pin: &Pin,
    documents: ImageDocuments,
    how: How<'_>,
    store: &Store,
    show: &mut dyn FnMut(Progress<'_>),
) -> Result<Staged, StageError> {
    let name = pin.reference().to_string();
    make(pin.manifest, &name, Some(pin), documents, how, store, show)
}

fn make(
    manifest: Digest,
    name: &str,
    pin: Option<&Pin>,
    documents: ImageDocuments,
    how: How<'_>,
    store: &Store,
    show: &mut dyn FnMut(Progress<'_>),
) -> Result<Staged, StageError> {
    let Manifest { config, layers, .. } = &documents.manifest;
    show(Progress::Converting { bytes: layers.iter().map(|layer| layer.size).sum() });
    // with it the SIF can be made again, and verified, from the store alone
    let mut kept = store.incoming()?;
    kept.write(&documents.config_bytes)?;
    store.publish_blob(kept, &config.digest, config.size)?;
    let mut incoming = store.incoming()?;
    let report = write(manifest, documents, how, store, incoming.file_mut())
        .map_err(|source| StageError::Convert { image: name.to_owned(), source })?;
    let sif = store.publish_sif(incoming, &manifest, how.recipe, report.sif, report.size)?;
    Ok(Staged {
        image: Image::Sif {
            pin: pin.cloned(),
            digest: sif.digest,
            recipe: Some(how.recipe.clone()),
            place: sif.path,
        },
        size: sif.size,
        known: false,
        warnings: report.warnings,
    })
}

/// Writes the SIF of an image whose layers are in the store.
fn write(
    manifest: Digest,
    documents: ImageDocuments,
    how: How<'_>,
    store: &Store,
    out: &mut File,
) -> Result<convert::Report, ConvertError> {
    let layers = documents.manifest.layers;
    let source = Source {
        // not the registry's name: the same manifest gives the same bytes wherever it lies
        reference: manifest.to_string(),
        manifest,
        manifest_bytes: documents.manifest_bytes,
        config_bytes: documents.config_bytes,
        config: documents.config,
        layers: layers.clone(),
    };
    let mut open = |i: usize| -> io::Result<Box<dyn Read + Send>> {
        let layer = layers.get(i).ok_or(io::ErrorKind::InvalidInput)?;
        let path = store.blob(&layer.digest).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(File::open(path)?))
    };
    convert::convert(&source, how.recipe, Work::new(how.threads), &mut open, out)
}

/// An image of an archive: verified, its layers in the store, converted. Also the digest of its
/// manifest.
///
/// # Errors
/// When the archive has no such image, a blob is not what its digest says, or as [`convert`].
pub fn archive(
    location: &Location,
    platform: &Platform,
    how: How<'_>,
    store: &Store,
    show: &mut dyn FnMut(Progress<'_>),
) -> Result<(Digest, Staged), StageError> {
    let archive = Archive::open(location, platform)?;
    let manifest = archive.digest;
    if let Some(sif) = store.sif(&manifest, how.recipe)? {
        let (digest, place) = (sif.digest, sif.path);
        let image = Image::Sif { pin: None, digest, recipe: Some(how.recipe.clone()), place };
        return Ok((manifest, Staged { image, size: sif.size, known: true, warnings: Vec::new() }));
    }
    let of = archive.manifest.layers.len();
    for (i, layer) in archive.manifest.layers.iter().enumerate() {
        if store.blob(&layer.digest).is_some() {
            continue;
        }
        show(Progress::Layer { number: i + 1, of, layer });
        let mut incoming = store.incoming()?;
        let path = location.path.clone();
        io::copy(&mut archive.layer(layer)?, &mut incoming)
            .map_err(|source| StageError::File { path, source })?;
        store.publish_blob(incoming, &layer.digest, layer.size).map_err(|source| match source {
            StoreError::Mismatch { .. } => {
                StageError::Layer { archive: location.to_string(), source }
            }
            other => other.into(),
        })?;
    }
    let documents = ImageDocuments {
        manifest_bytes: archive.manifest_bytes,
        manifest: archive.manifest,
        config_bytes: archive.config_bytes,
        config: archive.config,
    };
    let staged = make(manifest, &location.to_string(), None, documents, how, store, show)?;
    Ok((manifest, staged))
}

/// A SIF file that the user named: pinned by the digest of its bytes as they are now.
///
/// # Errors
/// When it cannot be read, or is no SIF.
pub fn file(path: &Path) -> Result<Image, StageError> {
    let fail = |source| StageError::File { path: path.to_owned(), source };
    let place = std::fs::canonicalize(path).map_err(fail)?;
    let mut file = File::open(&place).map_err(fail)?;
    crate::sif::SifReader::open(&mut file)
        .map_err(|error| StageError::NotSif { path: path.to_owned(), why: error.to_string() })?;
    Ok(Image::Sif { pin: None, digest: measure(&place).map_err(fail)?, recipe: None, place })
}

fn measure(path: &Path) -> io::Result<SifDigest> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}
