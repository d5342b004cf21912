//! The SIF of a job on the worker that pulls it: the one that the job names, or an error.
//!
//! ```text
//! the store has it            nobody is asked
//! somebody else makes it      wait (store/lease.rs)
//! a SIF beside the image      taken when a key of the job's signed it, and it is the job's
//! else                        the image by its digest, converted; it must come out as where the job was submitted
//! ```

use std::sync::Arc;

use super::error::AcquireError;
use super::manners::Manners;
use crate::failure::Report;
use crate::layer::Limits;
use crate::lock::SIF_SCHEME;
use crate::oci::{Reference, SifDigest};
use crate::pin::{Image, Pin, Recipe};
use crate::registry::Client;
use crate::resolve;
use crate::sign::PublicKey;
use crate::stage::{self, How, MyTurn, Progress, Show, Staged, published};
use crate::store::Store;

/// What it is done with.
pub struct OnWorker<'a> {
    /// The registry's client, with the credential that came with the job.
    pub client: &'a Client,
    /// The node's store.
    pub store: &'a Store,
    /// Who may have signed a SIF beside the image.
    pub keys: &'a [PublicKey],
    /// What foreign layers may ask for at most.
    pub limits: Limits,
    /// How much of the machine it takes.
    pub manners: Manners,
    /// What runs asynchronous work, on several threads.
    pub runtime: &'a tokio::runtime::Runtime,
}

/// The SIF of the job's image, in the node's store.
///
/// # Errors
/// As the registry, the conversion and the store say; when something else comes out than the job names.
pub fn on_worker(here: &OnWorker<'_>, image: &Image) -> Result<Staged, Report> {
    let Image::Sif { pin: Some(pin), digest, recipe, .. } = image else {
        return Err(AcquireError::NoSif.into());
    };
    let staged = match recipe {
        Some(recipe) => made(here, pin, recipe, *digest)?,
        None => fetched(here, pin)?,
    };
    match staged.image.sif() {
        Some(now) if now == *digest => Ok(staged),
        now => {
            let reference = pin.reference().to_string();
            let now = now.unwrap_or(*digest);
            Err(AcquireError::OtherBytes { reference, now, then: *digest }.into())
        }
    }
}

/// A SIF that lies in the registry as it is.
fn fetched(here: &OnWorker<'_>, pin: &Pin) -> Result<Staged, Report> {
    let reference = Reference { digest: Some(pin.manifest), ..pin.asked.clone() };
    tracing::debug!(reference = %format!("{SIF_SCHEME}{reference}"), "a SIF of a registry");
    let found = resolve::artifact::artifact(here.client, &reference, &pin.platform);
    let (pin, sif) = here.runtime.block_on(found)?;
    let mut show = |_: Progress<'_>| {};
    let fetched = stage::artifact::artifact(&pin, &sif, here.client, here.store, &mut show);
    Ok(here.runtime.block_on(fetched)?)
}

/// A SIF that is made of the image, or that somebody who is trusted made of it.
fn made(
    here: &OnWorker<'_>,
    pin: &Pin,
    recipe: &Recipe,
    expected: SifDigest,
) -> Result<Staged, Report> {
    let show: Show = Arc::new(|_| {});
    let lease = match stage::turn(pin, recipe, here.store, &mut |_| {})? {
        // a mapping to something else is nobody's word: the image is made again
        MyTurn::No(there) if there.image.sif() == Some(expected) => return Ok(*there),
        MyTurn::No(_) => None,
        MyTurn::Yes(lease) => Some(lease),
    };
    if let Some(taken) = beside(here, pin, recipe, expected, &show) {
        return Ok(taken);
    }
    let fetch = stage::fetch(pin, here.client, here.store, Arc::clone(&show));
    let (documents, supply) = here.runtime.block_on(fetch)?;
    let how = How { recipe, threads: here.manners.threads, limits: here.limits };
    let staged =
        here.manners.with(|| stage::convert(pin, documents, &supply, how, here.store, &show))?;
    drop(lease);
    Ok(staged)
}

/// The SIF beside the image, when it is signed and the job's. Whatever is wrong with it, the image can be converted.
fn beside(
    here: &OnWorker<'_>,
    pin: &Pin,
    recipe: &Recipe,
    expected: SifDigest,
    show: &Show,
) -> Option<Staged> {
    if here.keys.is_empty() {
        return None;
    }
    let place = (&pin.registry, &pin.repository);
    let look = published::look(place, &pin.manifest, recipe, here.keys, here.client);
    let found = here.runtime.block_on(look).ok().flatten()?;
    if found.digest() != expected {
        return None;
    }
    let take = published::take(&found, pin, recipe, here.client, here.store, show);
    here.runtime.block_on(take).ok()
}
