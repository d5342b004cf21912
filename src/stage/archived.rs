//! An image of an archive: opened, then converted unless it is known.
//!
//! Its layers are read where they lie, and only those that are not known; each is compared with its
//! digest while it is read.

use super::{How, Progress, Show, StageError, Staged, Supply, there};
use crate::archive::{Archive, Location};
use crate::oci::{Digest, Fit, Platform};
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
    warning: Option<String>,
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
) -> Result<(Digest, Platform, Archived), StageError> {
    let archive = Archive::open(location, platform)?;
    let (manifest, found) = (archive.digest, archive.platform.clone());
    let warning = matches!(platform.fit(&archive.platform), Fit::Newer(_)).then(|| {
        let needs = &archive.platform;
        format!("there is nothing but an image for {needs}: older processors cannot run it")
    });
    let wait = &mut |holder: Option<&Holder>| show(Progress::Waiting(holder));
    let archived = match store.turn(&manifest, recipe, wait)? {
        Turn::Made(sif) => {
            let mut staged = there(None, Some(manifest), sif, recipe);
            staged.warnings.extend(warning);
            Archived::Known(Box::new(staged))
        }
        Turn::Mine(lease) => {
            let name = location.to_string();
            Archived::New(Box::new(Unconverted { archive, name, warning, _lease: lease }))
        }
    };
    Ok((manifest, found, archived))
}

impl Unconverted {
    /// Converts it.
    ///
    /// # Errors
    /// When a blob is not what its digest says, or as [`super::convert`].
    pub fn convert(self, how: How<'_>, store: &Store, show: &Show) -> Result<Staged, StageError> {
        let manifest = self.archive.digest;
        let (documents, supply) = opened(self.archive, &self.name, store, show)?;
        let place = (manifest, self.name.as_str(), None);
        let mut staged = super::make(place, documents, &supply, how, store, show)?;
        staged.warnings.extend(self.warning);
        Ok(staged)
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
