//! From a reference to a pin: ask the registry once, and keep only digests.
//!
//! ```text
//!  reference --manifest--> index? --platform's entry--> manifest --config--> platform, labels
//!                          |         (oci/walk.rs)      |           |
//!                          pin.index                    pin.manifest pin.config
//! ```
//!
//! "What CI built" becomes references first (`facts`), of which the registry knows one (`origin`);
//! whether a pin still is what its tag names is `drift`'s question.
//!
//! Floor 5. A typed digest decides; a typed tag beside it is only compared.

pub mod artifact;
pub mod drift;
pub mod facts;
pub mod labels;
pub mod origin;
mod remote;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, stream};

use crate::failure::{Failure, Kind};
use crate::oci::walk::{self, Chosen, WalkError};
use crate::oci::{
    ConfigDigest, Digest, Document, Fit, Platform, Reference, Registry, Repository, Sha256Digest,
    media_type,
};
use crate::pin::{Pin, Resolved};
use crate::registry::{Client, Fetched, RegistryError, Wanted};

/// References that are resolved at the same time in one call.
const AT_ONCE: usize = 32;

/// Why a reference has no pin.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ResolveError {
    /// The registry did not give what was asked.
    #[error("cannot resolve {asked}: {reason}")]
    Registry {
        /// The reference.
        asked: Box<Reference>,
        /// What the registry room says.
        reason: RegistryError,
    },
    /// No image for this platform.
    #[error("{asked} has no image for {platform}; {}", walk::instead(.offered, .passed))]
    Platform {
        /// The reference.
        asked: Box<Reference>,
        /// What was wanted.
        platform: Platform,
        /// What is there.
        offered: Vec<Platform>,
        /// Why what may have been meant was passed by.
        passed: Vec<String>,
    },
    /// An artifact.
    #[error("{asked} is no container image: {reason}")]
    NotAnImage {
        /// The reference.
        asked: Box<Reference>,
        /// What it is.
        reason: String,
    },
    /// Named as a SIF and something else.
    #[error("{asked} is no SIF in a registry: {reason}")]
    NotASif {
        /// The reference.
        asked: Box<Reference>,
        /// What it is.
        reason: String,
    },
    /// Index, manifest and configuration do not agree.
    #[error("{asked} contradicts itself: {reason}")]
    Contradiction {
        /// The reference.
        asked: Box<Reference>,
        /// How.
        reason: String,
    },
}

impl Failure for ResolveError {
    fn kind(&self) -> Kind {
        match self {
            Self::Registry { reason, .. } => reason.kind(),
            Self::Platform { .. } => Kind::NotFound,
            Self::NotAnImage { .. } => Kind::Conversion,
            Self::NotASif { .. } => Kind::Usage,
            Self::Contradiction { .. } => Kind::Integrity,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Registry { reason, .. } => reason.hint(),
            Self::Platform { offered, .. } => {
                let first = offered.iter().find(|platform| platform.can_be_asked_for());
                first.map(|platform| format!("choose one with --platform {platform}"))
            }
            Self::NotAnImage { reason, .. } if reason.contains("sylabs.sif") => {
                Some("it is a SIF: write oras:// in front of it".into())
            }
            Self::NotASif { .. } => Some("a container image is named without oras://".into()),
            Self::NotAnImage { .. } | Self::Contradiction { .. } => None,
        }
    }
}

/// Resolves one reference for one platform.
///
/// # Errors
/// As the variants of [`ResolveError`] say; nothing is returned that was not hashed.
pub async fn resolve(
    client: &Client,
    reference: &Reference,
    platform: &Platform,
) -> Result<Resolved, ResolveError> {
    let mut asked = reference.clone();
    if asked.tag.is_none() && asked.digest.is_none() {
        asked.tag = "latest".parse().ok();
    }
    let wanted = match (&asked.digest, &asked.tag) {
        (Some(digest), _) => Wanted::Digest(*digest),
        (None, Some(tag)) => Wanted::Tag(tag.clone()),
        (None, None) => return Err(not_an_image(&asked, "neither tag nor digest".into())),
    };
    let fail = |reason| ResolveError::Registry { asked: asked.clone().into(), reason };
    let fetched =
        client.manifest(&asked.registry, &asked.repository, &wanted).await.map_err(fail)?;
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

/// Resolves many references, a bounded number at a time: the answers stand in the order of the
/// questions, repeated questions are asked once, one error does not lose the others.
pub async fn resolve_many(
    client: &Client,
    wanted: &[(Reference, Platform)],
) -> Vec<Result<Resolved, ResolveError>> {
    let mut unique: Vec<&(Reference, Platform)> = Vec::new();
    let mut place = std::collections::HashMap::new();
    for question in wanted {
        place.entry(question).or_insert_with(|| {
            unique.push(question);
            unique.len() - 1
        });
    }
    let mut repositories: BTreeMap<&Registry, Vec<Repository>> = BTreeMap::new();
    for (reference, _) in &unique {
        repositories.entry(&reference.registry).or_default().push(reference.repository.clone());
    }
    let mut broken: BTreeMap<&Registry, BTreeMap<Repository, RegistryError>> = BTreeMap::new();
    for (registry, repositories) in repositories {
        broken.insert(registry, client.announce(registry, &repositories).await);
    }
    let broken = &broken;
    let answers: Vec<Arc<Result<Resolved, ResolveError>>> = stream::iter(unique)
        .map(async |(reference, platform)| {
            let of_registry = broken.get(&reference.registry);
            Arc::new(match of_registry.and_then(|all| all.get(&reference.repository)) {
                Some(reason) => Err(ResolveError::Registry {
                    asked: reference.clone().into(),
                    reason: reason.clone(),
                }),
                None => resolve(client, reference, platform).await,
            })
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    wanted.iter().map(|question| (*answers[place[question]]).clone()).collect()
}

/// What a walk's end means for who asked.
fn walked(asked: &Reference, platform: &Platform, error: WalkError<RegistryError>) -> ResolveError {
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
async fn leads_to(
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

fn not_an_image(asked: &Reference, reason: String) -> ResolveError {
    ResolveError::NotAnImage { asked: asked.clone().into(), reason }
}
