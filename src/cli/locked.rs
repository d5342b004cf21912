//! What `moorline.lock` of the current directory holds, for those who take nothing else (`--locked`); no
//! network.

use std::path::Path;

use super::context::Context;
use super::name;
use super::output::{self, CliError, Report};
use crate::failure::Kind;
use crate::lock::{self, FILE, Lock, Named};
use crate::oci::{HubName, Platform, Reference, SifDigest};
use crate::pin::Pin;

/// The lock of the current directory; `None` when there is none.
///
/// # Errors
/// When it is malformed, or others can write it: as for the project file beside it.
pub fn read(context: &Context) -> Result<Option<Lock>, Report> {
    match context.project_file(FILE)? {
        Some(text) => Ok(Some(Lock::parse(&text, Path::new(FILE))?)),
        None => Ok(None),
    }
}

/// As [`read`], and it must be there.
///
/// # Errors
/// When there is none, and as [`read`].
pub fn existing(context: &Context) -> Result<Lock, Report> {
    read(context)?.ok_or_else(|| {
        CliError::new(Kind::NotFound, format!("there is no {FILE} in this directory"))
            .with_hint("moorline lock writes it")
            .into()
    })
}

/// The pin of a name, or of a reference that is locked under one; no network.
///
/// # Errors
/// 11 when it is not in the lock, or the name stands for another reference now.
pub fn pin(context: &Context, what: &str, platform: &Platform) -> Result<Pin, Report> {
    let lock = existing(context)?;
    if let Some(built) = context.settings().built.get(what) {
        let found = lock.find(what, platform).filter(|e| e.is(&Named::Built(built.clone())));
        return found
            .map(|entry| entry.pin.clone())
            .ok_or_else(|| refused(&format!("{what} ({built})"), platform));
    }
    let reference = lock::complete(&name::reference(context, what)?);
    let named = context.settings().images.contains_key(what);
    let is_image = |entry: &&lock::Entry| entry.sif.is_none();
    let of_place = |pin: &Pin| {
        let digest = reference.digest.is_some_and(|d| d == pin.manifest || Some(d) == pin.index);
        let same = (&pin.registry, &pin.repository) == (&reference.registry, &reference.repository);
        pin.asked == reference || digest && same
    };
    let found = if named {
        lock.find(what, platform).filter(|e| e.is(&Named::Reference(reference.clone())))
    } else {
        let meant =
            |e: &&lock::Entry| is_image(e) && platform.accepts(&e.pin.platform) && of_place(&e.pin);
        let entries = lock.entries().iter().filter(meant);
        entries.min_by_key(|e| platform.fit(&e.pin.platform))
    };
    found.map(|entry| entry.pin.clone()).ok_or_else(|| {
        let what = if named { format!("{what} ({reference})") } else { reference.to_string() };
        refused(&what, platform)
    })
}

/// As [`pin`], for a SIF that lies in a registry.
///
/// # Errors
/// 11 when it is not in the lock, or the name stands for another one now.
pub fn sif(
    context: &Context,
    what: &str,
    reference: &Reference,
    platform: &Platform,
) -> Result<(Pin, SifDigest), Report> {
    let lock = existing(context)?;
    let meant = Named::Sif(reference.clone());
    let named = context.settings().images.contains_key(what);
    let is = |entry: &&lock::Entry| {
        let by_digest = reference.digest == Some(entry.pin.manifest)
            && (&entry.pin.registry, &entry.pin.repository)
                == (&reference.registry, &reference.repository);
        platform.accepts(&entry.pin.platform)
            && (entry.is(&meant) && (!named || entry.name == what) || !named && by_digest)
    };
    let entries = lock.entries().iter().filter(is);
    let found = entries.min_by_key(|entry| platform.fit(&entry.pin.platform));
    found.and_then(|entry| Some((entry.pin.clone(), entry.sif?))).ok_or_else(|| {
        let what = if named { format!("{what} ({meant})") } else { meant.to_string() };
        refused(&what, platform)
    })
}

/// As [`pin`], for a SIF of a hub: its name with the file's digest.
///
/// # Errors
/// 11 when it is not in the lock, or the name stands for another one now.
pub fn hub(
    context: &Context,
    what: &str,
    meant: &HubName,
    platform: &Platform,
) -> Result<HubName, Report> {
    let name = context.settings().images.contains_key(what).then_some(what);
    let found = existing(context)?.hub(name, meant).map(|sif| meant.pinned(sif));
    found.ok_or_else(|| {
        let what = name.map_or_else(|| meant.to_string(), |name| format!("{name} ({meant})"));
        refused(&what, platform)
    })
}

/// Whether an image that was found otherwise is locked.
///
/// # Errors
/// 11 when it is not.
pub fn require(context: &Context, pin: &Pin) -> Result<(), Report> {
    let same = |other: &Pin| {
        (&other.registry, &other.repository, other.manifest)
            == (&pin.registry, &pin.repository, pin.manifest)
    };
    if existing(context)?.entries().iter().any(|entry| same(&entry.pin)) {
        return Ok(());
    }
    Err(refused(&pin.reference().to_string(), &pin.platform))
}

fn refused(what: &str, platform: &Platform) -> Report {
    let what = output::cell(what);
    CliError::new(Kind::Policy, format!("--locked: {FILE} has no pin of {what} for {platform}"))
        .with_hint(format!("moorline lock --check says what differs; after a look, moorline lock --platform {platform}"))
        .into()
}
