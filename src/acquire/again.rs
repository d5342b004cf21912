//! The image of an earlier job, for a job that does the same again.

use std::path::Path;

use super::archive::archived;
use super::error::AcquireError;
use super::obtain::{Ready, same, sif, stored};
use super::surroundings::Surroundings;
use crate::failure::Report;
use crate::job::Delivery;
use crate::oci::Reference;
use crate::pin::Image;

/// The image of an earlier job where it is now: the same digest, or an error.
///
/// # Errors
/// When it is gone, or converts to other bytes than it did.
pub fn restage(
    here: &dyn Surroundings,
    image: &Image,
    delivery: &Delivery,
) -> Result<Ready, Report> {
    let as_it_was = || Ready { image: image.clone(), delivery: delivery.clone() };
    let place = delivery.place().unwrap_or(Path::new(""));
    // a published tree is looked for where the job runs
    if place.is_file() || matches!(delivery, Delivery::Cvmfs {}) {
        return Ok(as_it_was());
    }
    let (pin, digest, recipe) = match image {
        Image::Sif { pin, digest, recipe, .. } => (pin, digest, recipe),
        Image::Oci { pin } => return archived(here, pin.clone()),
        Image::Other { .. } => return Ok(as_it_was()),
    };
    if let (Some(pin), None) = (pin, recipe) {
        // it was fetched as a SIF, and is that again by its digest
        let by_digest = Reference { digest: Some(pin.manifest), ..pin.asked.clone() };
        return same(pin, digest, stored(here, &by_digest, &pin.platform)?);
    }
    let (Some(pin), Some(recipe)) = (pin, recipe) else {
        return Err(AcquireError::Gone(place.to_owned()).into());
    };
    let staged = sif(here, pin, recipe, here.manners(None))?;
    same(pin, digest, staged)
}
