//! A SIF that lies in a registry as an OCI artifact (`oras://`), to its pin.
//!
//! ```text
//!  manifest  config  application/vnd.sylabs.sif.config.v1+json
//!            layers  application/vnd.sylabs.sif.layer.v1.sif     exactly one: the file itself
//! ```
//!
//! Source: what `apptainer push oras://` and `singularity push oras://` write; GitLab's registry
//! takes these media types. The pin's manifest is the artifact's; the layer's digest is the SIF's.
//!
//! Not promised: that the SIF is for the platform that the pin says; the file itself says that, when
//! it is fetched.

use super::ResolveError;
use super::named::named;
use crate::oci::media_type::essence;
pub use crate::oci::media_type::{SIF_CONFIG, SIF_LAYER};
use crate::oci::{ConfigDigest, Descriptor, Document, Platform, Reference, Sha256Digest};
use crate::pin::Pin;
use crate::registry::Client;

/// A SIF's types: the second was in use before the first was agreed on, with this spelling.
const SIF_LAYERS: [&str; 2] = [SIF_LAYER, "appliciation/vnd.sylabs.sif.layer.tar"];

/// Resolves a reference to a stored SIF: its pin, and the SIF itself.
///
/// # Errors
/// As [`super::resolve`]; what is not a SIF artifact is [`ResolveError::NotAnImage`].
pub async fn artifact(
    client: &Client,
    reference: &Reference,
    platform: &Platform,
) -> Result<(Pin, Descriptor), ResolveError> {
    let (asked, fetched) = named(client, reference).await?;
    let not_a_sif = |reason: String| ResolveError::NotASif { asked: asked.clone().into(), reason };
    let Document::Manifest(manifest) = fetched.document else {
        return Err(not_a_sif("an index".into()));
    };
    let is_sif = |layer: &Descriptor| SIF_LAYERS.contains(&essence(&layer.media_type).as_str());
    // other programs than apptainer put a SIF there with a configuration that says nothing
    if essence(&manifest.config.media_type) != SIF_CONFIG && !manifest.layers.iter().any(is_sif) {
        let reason = format!("its configuration is of the type {:?}", manifest.config.media_type);
        return Err(not_a_sif(reason));
    }
    let [layer] = manifest.layers.as_slice() else {
        return Err(not_a_sif(format!("it has {} files, not one", manifest.layers.len())));
    };
    if !is_sif(layer) {
        return Err(not_a_sif(format!("its file is of the type {:?}", layer.media_type)));
    }
    let pin = Pin {
        registry: asked.registry.clone(),
        repository: asked.repository.clone(),
        index: None,
        manifest: fetched.digest,
        config: ConfigDigest::from_bytes(*manifest.config.digest.bytes()),
        platform: platform.clone(),
        asked,
        resolved_at: jiff::Timestamp::now(),
        origin: None,
    };
    Ok((pin, layer.clone()))
}
