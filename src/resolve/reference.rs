//! One reference, one pin.

use std::collections::BTreeMap;

use super::named::named;
use super::{ResolveError, drift, labels, remote};
use crate::oci::walk::{Chosen, WalkError};
use crate::oci::{
    ConfigDigest, Digest, Document, Fit, Platform, Reference, Sha256Digest, media_type, walk,
};
use crate::pin::{Pin, Resolved};
use crate::registry::{Client, Fetched, RegistryError, Wanted};

/// Resolves one reference for one platform.
///
/// # Errors
/// As the variants of [`ResolveError`] say; nothing is returned that was not hashed.
pub async fn resolve(
    client: &Client,
    reference: &Reference,
    platform: &Platform,
) -> Result<Resolved, ResolveError> {
    let (asked, fetched) = named(client, reference).await?;
    let fail = |reason| ResolveError::Registry { asked: asked.clone().into(), reason };
    let top = fetched.digest;
    let mut annotations: BTreeMap<String, String> = BTreeMap::new();
    let mut remote =
        remote::Remote { client, registry: &asked.registry, repository: &asked.repository };
    let mut index = None;
    let chosen = match fetched.document {
        Document::Manifest(manifest) => {
            walk::whole(&mut remote, (fetched.digest, fetched.bytes, manifest), platform).await
        }
        Document::Index(found) => {
            index = Some(fetched.digest);
            annotations.extend(labels::telling(&found.annotations));
            walk::choose(&mut remote, &found, platform).await
        }
    };
    let Chosen { digest, manifest, config, platform, indexes, .. } =
        chosen.map_err(|error| walked(&asked, platform, error))?;
    for inner in &indexes {
        annotations.extend(labels::telling(&inner.annotations));
    }
    annotations.extend(labels::telling(&manifest.annotations));
    let tag_points_here = match (&asked.digest, &asked.tag) {
        (Some(_), Some(tag)) => {
            let tag = Wanted::Tag(tag.clone());
            match client.manifest(&asked.registry, &asked.repository, &tag).await {
                Ok(now) => {
                    let leads = leads_to(&mut remote, &now, (top, digest), &platform).await;
                    Some(leads.map_err(fail)?)
                }
                Err(RegistryError::Missing { .. }) => Some(false),
                Err(reason) => return Err(fail(reason)),
            }
        }
        (None, Some(_)) => Some(true),
        (_, None) => None,
    };
    let size = manifest
        .layers
        .iter()
        .fold(manifest.config.size, |size, layer| size.saturating_add(layer.size));
    let labels = config.container().labels;
    let words = labels::Words { labels: &labels, annotations: &annotations };
    let origin = labels::origin(words, &asked.repository);
    Ok(Resolved {
        pin: Pin {
            registry: asked.registry.clone(),
            repository: asked.repository.clone(),
            index,
            manifest: digest,
            config: ConfigDigest::from_bytes(*manifest.config.digest.bytes()),
            platform,
            asked,
            resolved_at: jiff::Timestamp::now(),
            origin,
        },
        size,
        created: config.created,
        labels,
        annotations,
        tag_points_here,
    })
}

/// What a walk's end means for who asked.
pub(super) fn walked(
    asked: &Reference,
    platform: &Platform,
    error: WalkError<RegistryError>,
) -> ResolveError {
    let asked = Box::new(asked.clone());
    match error {
        WalkError::Read(reason) => ResolveError::Registry { asked, reason },
        WalkError::Platform { offered, passed } => {
            ResolveError::Platform { asked, platform: platform.clone(), offered, passed }
        }
        WalkError::NotAnImage(reason) => ResolveError::NotAnImage { asked, reason },
        WalkError::Contradiction(reason) => ResolveError::Contradiction { asked, reason },
    }
}

/// Whether what a tag names now is the image that a digest named: itself, the index above it, or
/// the index that was asked for.
pub(super) async fn leads_to(
    remote: &mut remote::Remote<'_>,
    now: &Fetched,
    (top, manifest): (Digest, Digest),
    platform: &Platform,
) -> Result<bool, RegistryError> {
    let index = match &now.document {
        _ if now.digest == top => return Ok(true),
        Document::Manifest(_) => return Ok(now.digest == manifest),
        Document::Index(index) => index,
    };
    // nobody needs to be asked when the index itself says it
    if let Some((Fit::Whole, entry)) = index.serving(platform).first()
        && !media_type::is_index(&entry.descriptor.media_type)
    {
        return Ok(entry.descriptor.digest == manifest);
    }
    match walk::choose(remote, index, platform).await {
        Ok(chosen) => Ok(chosen.digest == manifest),
        Err(WalkError::Read(error)) if !drift::is_unreadable(&error) => Err(error),
        Err(_) => Ok(false),
    }
}
