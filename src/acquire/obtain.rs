//! From what was asked for to a staged image: known, fetched or converted now.

use std::path::Path;
use std::sync::Arc;

use super::error::AcquireError;
use super::locked;
use super::manners::Manners;
use super::pin::pin;
use super::published::{self, Taken};
use super::surroundings::{Surroundings, block_on};
use super::what::{Asked, What};
use crate::archive::Location;
use crate::failure::{Failure, Kind, Report};
use crate::job::Delivery;
use crate::lock::{LockEntry, Named, SIF_SCHEME};
use crate::oci::{Digest, HubName, Platform, Reference, SifDigest};
use crate::pin::{Image, Pin, Recipe};
use crate::resolve;
use crate::stage::{self, Archived, How, MyTurn, Reading, StageError, Staged};
use crate::store::Store;
use crate::text::one_line;

/// Warnings of a conversion that are told one by one.
const MAX_WARNINGS: usize = 200;

/// A staged image and what it was made from.
pub struct Obtained {
    /// The image.
    pub staged: Staged,
    /// The platform's manifest.
    pub manifest: Digest,
    /// The pin, unless the image came from an archive.
    pub pin: Option<Pin>,
}

/// An image that a job can be made from, and where it lies.
pub struct Ready {
    /// The image.
    pub image: Image,
    /// A worker that sees the same files reads it there.
    pub delivery: Delivery,
}

impl From<Staged> for Ready {
    fn from(staged: Staged) -> Self {
        Self { image: staged.image, delivery: Delivery::Shared { place: staged.place } }
    }
}

/// The image of what was asked for, as a job runs it.
///
/// # Errors
/// As the steps of the line say.
pub fn obtain(
    here: &dyn Surroundings,
    asked: &Asked,
    platform: &Platform,
    recipe: &Recipe,
) -> Result<Ready, Report> {
    let name = asked.name(here);
    match asked.what()? {
        What::File(_) if asked.locked => Err(AcquireError::Lockless("a SIF file").into()),
        What::File(file) => {
            let named = stage::named(Path::new(file))?;
            let once = if let Some(once) = here.read_before(&named.identity) {
                once
            } else {
                let Reading { once, settled } = named.read()?;
                if settled {
                    here.note_reading(&named.identity, once);
                }
                once
            };
            let (image, place) = (stage::image_of(once), named.place);
            Ok(Ready { image, delivery: Delivery::File { place } })
        }
        What::Hub(hub) => {
            let hub = if asked.locked {
                locked::hub(here, name, hub, platform)?
            } else {
                locked::kept_hub(here, name, hub)?.unwrap_or_else(|| hub.clone())
            };
            let (pinned, staged) = of_hub(here, &hub, Some(platform))?;
            here.say(&format!("pinned {pinned}"));
            Ok(staged.into())
        }
        What::Oras(reference) if asked.locked => {
            let (pin, sif) = locked::sif(here, name, reference, platform)?;
            let by_digest = Reference { digest: Some(pin.manifest), ..pin.asked.clone() };
            same(&pin, &sif, stored(here, &by_digest, platform)?)
        }
        What::Oras(reference) => {
            match locked::kept(here, name, &Named::Sif(reference.clone()), platform)? {
                Some(LockEntry { pin, sif: Some(sif), .. }) => {
                    let by_digest = Reference { digest: Some(pin.manifest), ..pin.asked.clone() };
                    same(&pin, &sif, stored(here, &by_digest, platform)?)
                }
                _ => Ok(stored(here, reference, platform)?.into()),
            }
        }
        What::Archive(_) | What::Reference(_) | What::Built(_) => {
            Ok(convert(here, asked, platform, recipe, here.manners(None))?.staged.into())
        }
    }
}

/// As [`obtain`], without SIFs that lie ready: what is to be converted.
///
/// # Errors
/// As the steps of the line say.
pub fn convert(
    here: &dyn Surroundings,
    asked: &Asked,
    platform: &Platform,
    recipe: &Recipe,
    manners: Manners,
) -> Result<Obtained, Report> {
    match asked.what()? {
        What::Archive(_) if asked.locked => {
            return Err(AcquireError::Lockless("an archive").into());
        }
        What::Archive(location) => return archived(here, location, platform, recipe, manners),
        What::Reference(reference) if !asked.locked => {
            let store = here.store()?;
            let known = match reference.digest {
                Some(_) => stage::known_digest(reference, platform, recipe, &store)?,
                None => None,
            };
            tell(here, &store);
            if let Some((pin, staged)) = known {
                here.say(&format!("pinned {}", pin.reference()));
                published::still_trusted(here, &staged);
                return Ok(Obtained { staged, manifest: pin.manifest, pin: Some(pin) });
            }
        }
        _ => {}
    }
    let pin = pin(here, asked, platform)?;
    let staged = sif(here, &pin, recipe, manners)?;
    Ok(Obtained { staged, manifest: pin.manifest, pin: Some(pin) })
}

/// Fetches a SIF that lies in a registry.
pub(super) fn stored(
    here: &dyn Surroundings,
    reference: &Reference,
    platform: &Platform,
) -> Result<Staged, Report> {
    let client = here.client()?;
    let resolved = resolve::artifact::artifact(&client, reference, platform);
    let (pin, sif) = block_on(here, resolved)??;
    here.say(&format!("pinned {SIF_SCHEME}{}, the SIF {}", pin.reference(), sif.digest));
    let (store, show) = (here.store()?, here.show());
    let mut show = |progress: stage::Progress<'_>| show(progress);
    let fetched = stage::artifact::artifact(&pin, &sif, &client, &store, &mut show);
    Ok(block_on(here, fetched)??)
}

/// The SIF of a hub: from the store when its digest was typed and it is there, else fetched. Without
/// a platform it may be for any.
///
/// # Errors
/// As the hub and the store say.
pub fn of_hub(
    here: &dyn Surroundings,
    name: &HubName,
    platform: Option<&Platform>,
) -> Result<(HubName, Staged), Report> {
    let store = here.store()?;
    if let Some(known) = stage::artifact::of_hub(name, platform, &store)? {
        return Ok((name.clone(), known));
    }
    let (client, endpoint) = (here.client()?, here.hub()?);
    let fetched = async {
        let file = client.hub(&endpoint, name).await.map_err(StageError::from)?;
        stage::artifact::from_hub(name, &file, &client, &store).await
    };
    let sif = block_on(here, fetched)?.map_err(|error| match error {
        StageError::Registry(error) if error.kind() == Kind::Network => {
            let endpoint = endpoint.to_string();
            Report::from(AcquireError::HubAway { endpoint, error: Box::new(error) })
        }
        error => error.into(),
    })?;
    let pinned = name.pinned(sif);
    match stage::artifact::of_hub(&pinned, platform, &store)? {
        Some(staged) => Ok((pinned, staged)),
        None => Err(AcquireError::Pruned(pinned.to_string()).into()),
    }
}

/// The image of an archive: known, or converted now.
fn archived(
    here: &dyn Surroundings,
    location: &Location,
    platform: &Platform,
    recipe: &Recipe,
    manners: Manners,
) -> Result<Obtained, Report> {
    let store = here.store()?;
    here.suits(&store);
    let show = here.show();
    let (manifest, found, archived) = stage::archived(location, platform, recipe, &store, &show)?;
    here.is_for(found);
    tell(here, &store);
    let staged = match archived {
        Archived::Known(staged) => *staged,
        Archived::New(image) => {
            here.has_room(&store);
            let how = How { recipe, threads: manners.threads, limits: here.limits() };
            manners.with(|| image.convert(how, &store, &show))?
        }
    };
    // the bars go before anything is said
    drop(show);
    tell(here, &store);
    here.say(&format!("pinned {manifest}"));
    if !staged.known {
        here.stored(&staged.image);
    }
    warn(here, &staged);
    Ok(Obtained { staged, manifest, pin: None })
}

/// Says what the store met: an image that is made again was there before.
pub fn tell(here: &dyn Surroundings, store: &Store) {
    for what in store.told() {
        here.warn(&what);
    }
}

fn warn(here: &dyn Surroundings, staged: &Staged) {
    for warning in staged.warnings.iter().take(MAX_WARNINGS) {
        here.warn(warning);
    }
    if let Some(more) = staged.warnings.len().checked_sub(MAX_WARNINGS).filter(|more| *more > 0) {
        here.warn(&format!("{more} more warnings; --json lists them all"));
    }
}

/// The SIF of a pin: from the store, the site's, beside the image in its registry, or made now.
///
/// # Errors
/// As the registry, the conversion and the store say.
pub(super) fn sif(
    here: &dyn Surroundings,
    pin: &Pin,
    recipe: &Recipe,
    manners: Manners,
) -> Result<Staged, Report> {
    let store = here.store()?;
    let known = stage::known(pin, recipe, &store)?;
    tell(here, &store);
    if let Some(known) = known {
        published::still_trusted(here, &known);
        return Ok(known);
    }
    if let Some(site) = here.site_store() {
        let client = here.client()?;
        match block_on(here, stage::from_site(pin, recipe, &site, &client))? {
            Ok(Some(staged)) => return Ok(staged),
            Ok(None) => {}
            // what cannot be believed is as good as absent, but somebody should know
            Err(StageError::Store(error)) => {
                here.warn(&one_line(&format!("the site's image is not used: {error}")));
            }
            Err(error) => return Err(error.into()),
        }
    }
    here.suits(&store);
    here.has_room(&store);
    let show = here.show();
    let lease = match stage::turn(pin, recipe, &store, &mut |p| show(p))? {
        MyTurn::No(made) => return Ok(*made),
        MyTurn::Yes(lease) => lease,
    };
    let client = here.client()?;
    let unused = match published::take(here, pin, recipe, &client, &store)? {
        Taken::Yes(staged) => {
            drop(lease);
            here.stored(&staged.image);
            return Ok(*staged);
        }
        Taken::No(unused) => unused,
    };
    let fetch = stage::fetch(pin, &client, &store, Arc::clone(&show));
    let (documents, supply) = block_on(here, fetch)??;
    let how = How { recipe, threads: manners.threads, limits: here.limits() };
    let staged = manners.with(|| stage::convert(pin, documents, &supply, how, &store, &show))?;
    // the bars go before anything is said
    drop((lease, supply, show));
    tell(here, &store);
    here.stored(&staged.image);
    warn(here, &staged);
    if let (Some(unused), Image::Sif { digest, .. }) = (unused, &staged.image) {
        unused.compare(here, digest);
    }
    Ok(staged)
}

/// The image that an earlier job used, or an error.
pub(super) fn same(pin: &Pin, digest: &SifDigest, staged: Staged) -> Result<Ready, Report> {
    match &staged.image {
        Image::Sif { digest: now, .. } if now != digest => {
            let reference = pin.reference().to_string();
            Err(AcquireError::OtherBytes { reference, now: *now, then: *digest }.into())
        }
        _ => Ok(staged.into()),
    }
}
