//! An image that was named by its digest and is in the store: no server has to be asked.
//!
//! ```text
//! reference@sha256:... --pins/--> SIF --oci-manifest.json, hashed--> configuration in the store --> pin
//! ```
//!
//! The own store only: whoever has the SIF there was allowed to read the image once.

use std::fs::File;

use super::{StageError, Staged, known, verify};
use crate::oci::{ConfigDigest, Digest, Document, Platform, Reference, Sha256Digest};
use crate::pin::{Pin, Recipe};
use crate::sif::SifReader;
use crate::store::Store;

/// The image of a reference that is a digest alone, when the store has it; no network is used.
/// `None` also when something is not as it should be: then the registry's answer decides.
///
/// # Errors
/// When the store cannot be read.
pub fn known_digest(
    asked: &Reference,
    platform: &Platform,
    recipe: &Recipe,
    store: &Store,
) -> Result<Option<(Pin, Staged)>, StageError> {
    // a tag beside it would have to be compared
    let (Some(manifest), None) = (asked.digest, &asked.tag) else { return Ok(None) };
    let Some(sif) = store.sif(&manifest, recipe)? else { return Ok(None) };
    let Some((config, of)) = config(&sif.path, manifest, store) else { return Ok(None) };
    if !platform.accepts(&of) {
        return Ok(None);
    }
    let pin = Pin {
        registry: asked.registry.clone(),
        repository: asked.repository.clone(),
        index: None,
        manifest,
        config,
        platform: of,
        asked: asked.clone(),
        resolved_at: jiff::Timestamp::now(),
        origin: None,
    };
    Ok(known(&pin, recipe, store)?.map(|staged| (pin, staged)))
}

/// The configuration that the manifest in a SIF names, and its platform.
fn config(
    sif: &std::path::Path,
    expected: Digest,
    store: &Store,
) -> Option<(ConfigDigest, Platform)> {
    let mut sif = SifReader::open(File::open(sif).ok()?).ok()?;
    let bytes = sif.object(crate::sif::MANIFEST).ok()?;
    if Digest::of(&bytes) != expected {
        return None;
    }
    let Ok(Document::Manifest(manifest)) = Document::parse(&bytes, None) else { return None };
    let (bytes, config) = verify::stored_config(&manifest, store)?;
    Some((ConfigDigest::of(&bytes), config.platform))
}
