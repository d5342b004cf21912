//! From WHAT to a pin: taken from `moorline.lock` when a name of it was typed, else asked of the registry now.

use super::locked;
use super::surroundings::{Surroundings, block_on};
use super::what::{Asked, What};
use crate::failure::Report;
use crate::lock::Named;
use crate::oci::{Platform, Reference};
use crate::pin::{Pin, Resolved};
use crate::resolve;

/// Resolves one reference now.
///
/// # Errors
/// As the registry says.
pub fn resolve(
    here: &dyn Surroundings,
    reference: &Reference,
    platform: &Platform,
) -> Result<Resolved, Report> {
    let client = here.client()?;
    Ok(block_on(here, resolve::resolve(&client, reference, platform))??)
}

/// The pin of what was asked for, which is said.
///
/// # Errors
/// As GitLab and the registry say; 2 when nothing was named or it has no pin, 11 when it is not locked and
/// has to be.
pub fn pin(here: &dyn Surroundings, asked: &Asked, platform: &Platform) -> Result<Pin, Report> {
    let name = asked.name(here);
    let pin = match asked.what()? {
        What::Built(build) => {
            if let Some(name) = name.filter(|_| asked.locked) {
                locked::built(here, name, &build.built, platform)?
            } else if let Some(kept) =
                locked::kept(here, name, &Named::Built(build.built.clone()), platform)?
            {
                kept.pin
            } else {
                let pin = build.find(here, platform)?.resolved.pin;
                if asked.locked {
                    locked::require(here, &pin)?;
                }
                pin
            }
        }
        what => {
            let reference =
                what.clone().into_reference(asked.word.as_deref().unwrap_or_default())?;
            if asked.locked {
                locked::image(here, name, &reference, platform)?
            } else if let Some(kept) =
                locked::kept(here, name, &Named::Reference(reference.clone()), platform)?
            {
                kept.pin
            } else {
                resolve(here, &reference, platform)?.pin
            }
        }
    };
    here.say(&format!("pinned {}", pin.reference()));
    Ok(pin)
}
