//! An image that is there already, or that somebody else is making.

use super::{Progress, StageError, Staged};
use crate::oci::Digest;
use crate::pin::{Image, Pin, Recipe};
use crate::registry::Client;
use crate::store::{Lease, SiteStore, Store, StoredSif, Turn};

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

pub(super) fn there(
    pin: Option<Pin>,
    manifest: Option<Digest>,
    sif: StoredSif,
    recipe: &Recipe,
) -> Staged {
    let StoredSif { digest, size, path: place, signed_by, tree } = sif;
    let image = Image::Sif { pin, manifest, digest, recipe: Some(recipe.clone()), tree };
    Staged { image, place, size, known: true, warnings: Vec::new(), done: None, signed_by }
}
