//! What `moorline.lock` of the current directory holds: a name that is in it keeps its pin, and `--locked` takes
//! nothing else; no network.

use std::path::Path;

use super::error::AcquireError;
use super::surroundings::Surroundings;
use crate::failure::Report;
use crate::lock::{self, FILE, Lock, LockEntry, Named};
use crate::oci::{HubName, Platform, Reference, SifDigest};
use crate::pin::{Built, Pin};
use crate::text::one_line;

/// The lock of the current directory; `None` when there is none.
///
/// # Errors
/// When it is malformed, or others can write it: as for the project file beside it.
pub fn read(here: &dyn Surroundings) -> Result<Option<Lock>, Report> {
    match here.project_file(FILE)? {
        Some(text) => Ok(Some(Lock::parse(&text, Path::new(FILE))?)),
        None => Ok(None),
    }
}

/// As [`read`], and it must be there.
///
/// # Errors
/// When there is none, and as [`read`].
pub fn existing(here: &dyn Surroundings) -> Result<Lock, Report> {
    Ok(read(here)?.ok_or(AcquireError::NoLock)?)
}

/// What a name is pinned to, for those who would resolve it otherwise: `None` where it has no pin. That it is
/// taken is said; so is a pin of something that the name no longer stands for, which is not taken.
///
/// # Errors
/// As [`read`].
pub(super) fn kept(
    here: &dyn Surroundings,
    name: Option<&str>,
    meant: &Named,
    platform: &Platform,
) -> Result<Option<LockEntry>, Report> {
    let Some((name, lock)) = name.zip(read(here)?) else { return Ok(None) };
    let found = lock.find(name, platform).filter(|entry| entry.is(meant)).cloned();
    tell(here, name, found.is_some(), lock.entries().iter().any(|entry| entry.name == name));
    Ok(found)
}

/// As [`kept`], for a SIF of a hub.
///
/// # Errors
/// As [`read`].
pub(super) fn kept_hub(
    here: &dyn Surroundings,
    name: Option<&str>,
    wanted: &HubName,
) -> Result<Option<HubName>, Report> {
    let Some((name, lock)) = name.zip(read(here)?) else { return Ok(None) };
    let found = lock.hub(Some(name), wanted).map(|sif| wanted.pinned(sif));
    tell(here, name, found.is_some(), lock.hubs().iter().any(|entry| entry.name == name));
    Ok(found)
}

fn tell(here: &dyn Surroundings, name: &str, found: bool, other: bool) {
    if found {
        here.say(&format!(
            "{name}: the pin of {FILE} is taken; moorline lock --update {name} moves it"
        ));
    } else if other {
        here.warn(&format!(
            "{FILE} pins {name} for something else than it stands for now, so it is resolved anew; \
             moorline lock pins it"
        ));
    }
}

/// The pin of a name that stands for a build; no network.
///
/// # Errors
/// 11 when it is not in the lock, or the name stands for another build now.
pub(super) fn built(
    here: &dyn Surroundings,
    name: &str,
    built: &Built,
    platform: &Platform,
) -> Result<Pin, Report> {
    let lock = existing(here)?;
    let found = lock.find(name, platform).filter(|e| e.is(&Named::Built(built.clone())));
    found
        .map(|entry| entry.pin.clone())
        .ok_or_else(|| refused(&format!("{name} ({built})"), platform).into())
}

/// The pin of a reference, or of the name that stands for it; no network.
///
/// # Errors
/// 11 when it is not in the lock, or the name stands for another reference now.
pub(super) fn image(
    here: &dyn Surroundings,
    name: Option<&str>,
    reference: &Reference,
    platform: &Platform,
) -> Result<Pin, Report> {
    let lock = existing(here)?;
    let reference = lock::complete(reference);
    let is_image = |entry: &&lock::LockEntry| entry.sif.is_none();
    let of_place = |pin: &Pin| {
        let digest = reference.digest.is_some_and(|d| d == pin.manifest || Some(d) == pin.index);
        let same = (&pin.registry, &pin.repository) == (&reference.registry, &reference.repository);
        pin.asked == reference || digest && same
    };
    let found = if let Some(name) = name {
        lock.find(name, platform).filter(|e| e.is(&Named::Reference(reference.clone())))
    } else {
        let meant = |e: &&lock::LockEntry| {
            is_image(e) && platform.accepts(&e.pin.platform) && of_place(&e.pin)
        };
        let entries = lock.entries().iter().filter(meant);
        entries.min_by_key(|e| platform.fit(&e.pin.platform))
    };
    found
        .map(|entry| entry.pin.clone())
        .ok_or_else(|| refused(&meant(name, &reference), platform).into())
}

/// As [`image`], for a SIF that lies in a registry.
///
/// # Errors
/// 11 when it is not in the lock, or the name stands for another one now.
pub(super) fn sif(
    here: &dyn Surroundings,
    name: Option<&str>,
    reference: &Reference,
    platform: &Platform,
) -> Result<(Pin, SifDigest), Report> {
    let lock = existing(here)?;
    let wanted = Named::Sif(reference.clone());
    let is = |entry: &&lock::LockEntry| {
        let by_digest = reference.digest == Some(entry.pin.manifest)
            && (&entry.pin.registry, &entry.pin.repository)
                == (&reference.registry, &reference.repository);
        platform.accepts(&entry.pin.platform)
            && (entry.is(&wanted) && name.is_none_or(|name| entry.name == name)
                || name.is_none() && by_digest)
    };
    let entries = lock.entries().iter().filter(is);
    let found = entries.min_by_key(|entry| platform.fit(&entry.pin.platform));
    found
        .and_then(|entry| Some((entry.pin.clone(), entry.sif?)))
        .ok_or_else(|| refused(&meant(name, &wanted), platform).into())
}

/// As [`image`], for a SIF of a hub: its name with the file's digest.
///
/// # Errors
/// 11 when it is not in the lock, or the name stands for another one now.
pub(super) fn hub(
    here: &dyn Surroundings,
    name: Option<&str>,
    wanted: &HubName,
    platform: &Platform,
) -> Result<HubName, Report> {
    let found = existing(here)?.hub(name, wanted).map(|sif| wanted.pinned(sif));
    found.ok_or_else(|| refused(&meant(name, wanted), platform).into())
}

/// Whether an image that was found otherwise is locked.
///
/// # Errors
/// 11 when it is not.
pub(super) fn require(here: &dyn Surroundings, pin: &Pin) -> Result<(), Report> {
    let same = |other: &Pin| {
        (&other.registry, &other.repository, other.manifest)
            == (&pin.registry, &pin.repository, pin.manifest)
    };
    if existing(here)?.entries().iter().any(|entry| same(&entry.pin)) {
        return Ok(());
    }
    Err(refused(&pin.reference().to_string(), &pin.platform).into())
}

fn meant(name: Option<&str>, what: &dyn std::fmt::Display) -> String {
    name.map_or_else(|| what.to_string(), |name| format!("{name} ({what})"))
}

fn refused(what: &str, platform: &Platform) -> AcquireError {
    AcquireError::NotLocked { what: one_line(what), platform: platform.clone() }
}
