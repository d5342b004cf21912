//! From what was asked for to an OCI archive in the store, for runtimes that take no SIF; or to the pin alone, for
//! workers that take a published tree.

use std::path::PathBuf;
use std::sync::Arc;

use super::error::AcquireError;
use super::obtain::{Ready, tell};
use super::pin::pin;
use super::surroundings::{Surroundings, block_on};
use super::what::{Asked, What};
use crate::failure::Report;
use crate::job::Delivery;
use crate::oci::Platform;
use crate::pin::{Image, Pin};
use crate::stage;

/// The image of what was asked for, its archive being in the store.
///
/// # Errors
/// As the steps of the line say; when the image is in no registry.
pub fn obtain_archive(
    here: &dyn Surroundings,
    asked: &Asked,
    platform: &Platform,
) -> Result<Ready, Report> {
    archived(here, in_registry(here, asked, platform, AcquireError::NoArchive)?)
}

/// The image of what was asked for, of which nothing is fetched: where it runs its tree is published.
///
/// # Errors
/// As the registry says; when the image is in no registry.
pub fn obtain_published(
    here: &dyn Surroundings,
    asked: &Asked,
    platform: &Platform,
) -> Result<Ready, Report> {
    let pin = in_registry(here, asked, platform, AcquireError::NotPublished)?;
    Ok(Ready { image: Image::Oci { pin }, delivery: Delivery::Cvmfs {} })
}

/// The pin of what was asked for; `otherwise` when it is in no registry.
fn in_registry(
    here: &dyn Surroundings,
    asked: &Asked,
    platform: &Platform,
    otherwise: AcquireError,
) -> Result<Pin, Report> {
    match asked.what()? {
        What::Reference(_) | What::Built(_) => pin(here, asked, platform),
        _ => Err(otherwise.into()),
    }
}

/// The image of a pin, its archive being in the store.
///
/// # Errors
/// As the registry and the store say.
pub(super) fn archived(here: &dyn Surroundings, pin: Pin) -> Result<Ready, Report> {
    let place = archive(here, &pin)?;
    Ok(Ready { image: Image::Oci { pin }, delivery: Delivery::Shared { place } })
}

fn archive(here: &dyn Surroundings, pin: &Pin) -> Result<PathBuf, Report> {
    let store = here.store()?;
    let known = store.archive(&pin.manifest);
    tell(here, &store);
    if let Some(known) = known {
        return Ok(known);
    }
    here.suits(&store);
    here.has_room(&store);
    let (client, show) = (here.client()?, here.show());
    let fetch = stage::fetch(pin, &client, &store, Arc::clone(&show));
    let (documents, supply) = block_on(here, fetch)??;
    let made = stage::oci_archive(pin, &documents, &supply, &store)?;
    // the bars go before anything is said
    drop((supply, show));
    tell(here, &store);
    Ok(made)
}
