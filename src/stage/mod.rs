//! From a pin to an image that a job can run: fetched, verified, converted, in the store.
//!
//! ```text
//! pin --known?--> SIF in the store ----------------------------+
//!     --look---> signed SIF beside the image in its registry ----+    published.rs
//!     --fetch--> layers in the store --convert--> SIF, by digest +--> Image::Sif
//! ```
//!
//! An image in a file (`oci:DIR` and the like) takes the same way from its archive instead of a
//! registry; it has no [`Pin`], its SIF says the manifest's digest.
//!
//! Layers that were converted before are neither fetched nor read again (`memory.rs`): their blocks
//! are copied from the SIFs of the store.
//!
//! A digest that was converted before under the same recipe needs no network. Not promised: that
//! the registry still has it.

mod archived;
pub mod artifact;
mod compare;
pub mod convert;
mod known;
mod memory;
pub mod published;
mod supply;
pub mod verify;

use std::fs::File;
use std::io::{self, Seek};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use crate::archive::ArchiveError;
use crate::failure::{Failure, Kind, io_kind};
use crate::files::{ForeignFile, sha256};
use crate::layer::Limits;
use crate::oci::{Descriptor, Digest, Manifest, Sha256Digest, SifDigest};
use crate::pin::{Image, Pin, Recipe};
use crate::registry::{Client, ImageDocuments, RegistryError};
use crate::sign::PublicKey;
use crate::stage::convert::{ConvertError, Source, Work};
use crate::store::{Holder, Lease, SiteStore, Store, StoreError, StoredSif, Turn};

pub use archived::{Archived, Unconverted, archived};
pub use known::known_digest;
pub use memory::Remembered;
pub use supply::{Show, Supply};

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
    /// A hub's file is not the one that was pinned.
    #[error("{image} is another file now: its bytes have the digest {got}, not {expected}")]
    OtherFile {
        /// As it was named.
        image: String,
        /// What it must be.
        expected: Digest,
        /// What came.
        got: Digest,
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

/// What helps when the store's disk is full.
const STORE_IS_FULL: &str = "moorline cache prune makes room in the store; or set MOORLINE_CACHE to a \
                             directory on a larger disk";

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
            Self::OtherFile { .. } => Kind::Integrity,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            // what comes from a registry goes into the store
            Self::Registry(error) if error.kind() == Kind::NoSpace => Some(STORE_IS_FULL.into()),
            Self::Registry(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Archive(error) => error.hint(),
            Self::Layer { .. } => Some("nothing of it is kept; make the archive again".into()),
            // whatever step met it: a conversion writes into the store
            Self::Convert { source, .. } if source.kind() == Kind::NoSpace => {
                Some(STORE_IS_FULL.into())
            }
            Self::Convert { source, .. } => source.hint(),
            Self::OtherFile { .. } => {
                Some("nothing of it is kept; ask whoever keeps the hub's images".into())
            }
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
    /// So much of a layer came by now.
    Received {
        /// From 1.
        number: usize,
        /// Bytes.
        bytes: u64,
    },
    /// Somebody else makes the image; `None` when it cannot be read who.
    Waiting(Option<&'a Holder>),
    /// A layer of an archive is read: which of how many. [`Progress::Received`] says how much.
    Reading {
        /// From 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// What.
        layer: &'a Descriptor,
    },
    /// The layers become a SIF, maybe while some are still downloaded.
    Converting {
        /// Compressed bytes of the layers that are not known.
        bytes: u64,
    },
    /// So many more compressed bytes were read for it.
    Converted {
        /// Since the last time.
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
    /// What foreign layers may ask for at most; changes no byte.
    pub limits: Limits,
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
    /// What was done, unless it was there already.
    pub done: Option<Done>,
    /// On whose word it was taken, from the site's store or from beside its image in the registry, now or
    /// earlier; `None` when it was made here.
    pub signed_by: Option<PublicKey>,
}

/// What a conversion did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Done {
    /// SIFs that were downloaded, and nothing converted.
    pub sifs_fetched: u64,
    /// Layers that were downloaded.
    pub layers_fetched: u64,
    /// The rest.
    #[serde(flatten)]
    pub counters: convert::Counters,
}

/// The SIF of a pin when the store has it: no network is used.
///
/// # Errors
/// When the store cannot be read.
pub fn known(pin: &Pin, recipe: &Recipe, store: &Store) -> Result<Option<Staged>, StageError> {
    Ok(store.sif(&pin.manifest, recipe)?.map(|sif| there(Some(pin.clone()), None, sif, recipe)))
}

/// Whose turn it is to make an image.
#[derive(Debug)]
pub enum MyTurn {
    /// It is there, perhaps by somebody else's work.
    No(Box<Staged>),
    /// This process' turn, as long as the lease is kept.
    Yes(Lease),
}

/// Waits while somebody else makes the SIF of a pin.
///
/// # Errors
/// When the store cannot be read or written.
pub fn turn(
    pin: &Pin,
    recipe: &Recipe,
    store: &Store,
    show: &mut dyn FnMut(Progress<'_>),
) -> Result<MyTurn, StageError> {
    match store.turn(&pin.manifest, recipe, &mut |holder| show(Progress::Waiting(holder)))? {
        Turn::Made(sif) => Ok(MyTurn::No(Box::new(there(Some(pin.clone()), None, sif, recipe)))),
        Turn::Mine(lease) => Ok(MyTurn::Yes(lease)),
    }
}

/// The site's SIF of a pin. It is used only when the registry, asked now with the user's own
/// credential, still has the manifest for this user: the site's store is open to all, the image may not
/// be. One HEAD is enough for that.
///
/// # Errors
/// [`StageError::Store`] when what the site has cannot be believed, [`StageError::Registry`] when the
/// registry does not give the manifest.
pub async fn from_site(
    pin: &Pin,
    recipe: &Recipe,
    site: &SiteStore,
    client: &Client,
) -> Result<Option<Staged>, StageError> {
    let Some(sif) = site.sif(&pin.manifest, recipe)? else { return Ok(None) };
    client.may_read(&pin.registry, &pin.repository, &pin.manifest).await?;
    Ok(Some(there(Some(pin.clone()), None, sif, recipe)))
}

fn there(pin: Option<Pin>, manifest: Option<Digest>, sif: StoredSif, recipe: &Recipe) -> Staged {
    let StoredSif { digest, size, path: place, signed_by } = sif;
    let image = Image::Sif { pin, manifest, digest, recipe: Some(recipe.clone()), place };
    Staged { image, size, known: true, warnings: Vec::new(), done: None, signed_by }
}

/// The documents of a pin, and its layers, of which none is downloaded before [`Supply::want`] or
/// [`Supply::open`] ask for it. It must run on a runtime with several threads (see [`Supply`]).
///
/// # Errors
/// When the registry fails, or a document is not what its digest says.
pub async fn fetch(
    pin: &Pin,
    client: &Client,
    store: &Store,
    show: Show,
) -> Result<(ImageDocuments, Supply), StageError> {
    let mut documents = client.image(pin).await?;
    documents.config.platform = documents.config.platform.or(&pin.platform);
    let supply = Supply::registry(&documents.manifest.layers, store, pin, client, show);
    Ok((documents, supply))
}

/// Converts an image while its layers come, the upper ones first.
///
/// # Errors
/// When a layer cannot be had or is malformed, or the disk is full; no SIF stays in the store then.
pub fn convert(
    pin: &Pin,
    documents: ImageDocuments,
    supply: &Supply,
    how: How<'_>,
    store: &Store,
    show: &Show,
) -> Result<Staged, StageError> {
    let name = pin.reference().to_string();
    make((pin.manifest, &name, Some(pin)), documents, supply, how, store, show)
}

fn make(
    (manifest, name, pin): (Digest, &str, Option<&Pin>),
    documents: ImageDocuments,
    supply: &Supply,
    how: How<'_>,
    store: &Store,
    show: &Show,
) -> Result<Staged, StageError> {
    let Manifest { config, layers, .. } = &documents.manifest;
    let mut memory = Remembered::new(store, how.recipe);
    // from the top down, as they are read; one that has an index is opened only if that does not do
    let diff_ids = documents.config.rootfs.diff_ids.iter().enumerate().rev();
    let unknown: Vec<usize> =
        diff_ids.filter(|(_, diff_id)| !memory.knows(diff_id)).map(|(at, _)| at).collect();
    let sizes = unknown.iter().filter_map(|at| Some(layers.get(*at)?.size));
    show(Progress::Converting { bytes: sizes.sum() });
    // with it the SIF can be made again, and verified, from the store alone
    let mut kept = store.incoming()?;
    kept.write(&documents.config_bytes)?;
    store.publish_blob(kept, &config.digest, config.size)?;
    let mut incoming = store.incoming()?;
    for at in unknown {
        supply.want(at);
    }
    let writing = incoming.write_back()?;
    let out = incoming.file_mut();
    let report = write(manifest, documents, supply, how, &mut memory, out).map_err(|source| {
        let own = || StageError::Convert { image: name.to_owned(), source };
        supply.failure().unwrap_or_else(own)
    })?;
    writing.end()?;
    supply.finish()?;
    let sif = store.publish_sif(incoming, &manifest, how.recipe, report.sif, report.size)?;
    let mut warnings = report.warnings;
    if let Err(error) = memory.keep_pack(&report.pack, &sif) {
        warnings.push(format!("later conversions cannot use this one: {error}"));
    }
    Ok(Staged {
        image: Image::Sif {
            pin: pin.cloned(),
            manifest: pin.is_none().then_some(manifest),
            digest: sif.digest,
            recipe: Some(how.recipe.clone()),
            place: sif.path,
        },
        size: sif.size,
        known: false,
        warnings,
        done: Some(Done {
            sifs_fetched: 0,
            layers_fetched: supply.fetched(),
            counters: report.counters,
        }),
        signed_by: None,
    })
}

/// Writes the SIF of an image.
fn write(
    manifest: Digest,
    documents: ImageDocuments,
    supply: &Supply,
    how: How<'_>,
    memory: &mut dyn convert::Memory,
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
        layers,
    };
    let work = Work { limits: how.limits, ..Work::new(how.threads) };
    let mut open = |at| supply.open(at);
    convert::convert_with(&source, how.recipe, work, memory, &mut open, out)
}

/// A SIF file that the user named: pinned by the digest of its bytes as they are now.
///
/// # Errors
/// When it cannot be read, or is no SIF.
pub fn file(path: &Path) -> Result<Image, StageError> {
    let fail = |source| StageError::File {
        path: path.to_owned(),
        source: crate::files::explained(path, source),
    };
    let place = std::fs::canonicalize(path).map_err(fail)?;
    let opened = ForeignFile::anyones(u64::MAX).open(&place);
    let mut file = opened.map_err(|error| fail(error.into()))?.into_file();
    crate::sif::SifReader::open(&mut file)
        .map_err(|error| StageError::NotSif { path: path.to_owned(), why: error.to_string() })?;
    Ok(Image::Sif {
        pin: None,
        manifest: None,
        digest: measure(&mut file).map_err(fail)?,
        recipe: None,
        place,
    })
}

fn measure(file: &mut File) -> io::Result<SifDigest> {
    file.rewind()?;
    Ok(SifDigest::from_bytes(sha256(file)?.sha256))
}
