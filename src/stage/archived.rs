//! An image of an archive: opened, then converted unless it is known.
//!
//! Its layers are read where they lie, and only those that are not known; each is compared with its
//! digest while it is read.

use super::{How, Progress, Show, StageError, Staged, Supply, there};
use crate::archive::{Archive, Location};
use crate::oci::{Digest, Platform};
use crate::pin::Recipe;
use crate::registry::ImageDocuments;
use crate::store::{Holder, Lease, Store, Turn};

/// An image of an archive.
#[derive(Debug)]
pub enum Archived {
    /// The store has it, perhaps by somebody else's work.
    Known(Box<Staged>),
    /// It is this process' turn to convert it.
    New(Box<Unconverted>),
}

/// An opened archive whose image the store lacks.
#[derive(Debug)]
pub struct Unconverted {
    archive: Archive,
    name: String,
    _lease: Lease,
}

/// Looks into an archive; waits while somebody else converts the same image. Also the digest of its
/// manifest.
///
/// # Errors
/// When the archive has no such image, or the store cannot be read or written.
pub fn archived(
    location: &Location,
    platform: &Platform,
    recipe: &Recipe,
    store: &Store,
    show: &Show,
) -> Result<(Digest, Archived), StageError> {
    let archive = Archive::open(location, platform)?;
    let manifest = archive.digest;
    let wait = &mut |holder: Option<&Holder>| show(Progress::Waiting(holder));
    let archived = match store.turn(&manifest, recipe, wait)? {
        Turn::Made(sif) => Archived::Known(Box::new(there(None, Some(manifest), sif, recipe))),
        Turn::Mine(lease) => {
            let name = location.to_string();
            Archived::New(Box::new(Unconverted { archive, name, _lease: lease }))
        }
    };
    Ok((manifest, archived))
}

impl Unconverted {
    /// Converts it.
    ///
    /// # Errors
    /// When a blob is not what its digest says, or as [`super::convert`].
    pub fn convert(self, how: How<'_>, store: &Store, show: &Show) -> Result<Staged, StageError> {
        let manifest = self.archive.digest;
        let (documents, supply) = opened(self.archive, &self.name, store, show)?;
        super::make((manifest, &self.name, None), documents, &supply, how, store, show)
    }
}

/// The documents and layers of an archive.
pub(super) fn opened(
    archive: Archive,
    name: &str,
    store: &Store,
    show: &Show,
) -> Result<(ImageDocuments, Supply), StageError> {
    let layers = &archive.manifest.layers;
    let pieces: Result<Vec<_>, _> = layers.iter().map(|layer| archive.layer(layer)).collect();
    let supply = Supply::pieces(layers, store, name, pieces?, Show::clone(show));
    let documents = ImageDocuments {
        manifest_bytes: archive.manifest_bytes,
        manifest: archive.manifest,
        config_bytes: archive.config_bytes,
        config: archive.config,
    };
    Ok((documents, supply))
}
