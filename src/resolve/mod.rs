//! From a reference to a pin: ask the registry once, and keep only digests.
//!
//! ```text
//!  reference --manifest--> index? --platform's entry--> manifest --config--> platform, labels
//!                          |                            |           |
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

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, stream};

use crate::failure::{Failure, Kind};
use crate::oci::{
    ConfigDigest, Digest, Document, ImageConfig, Manifest, Platform, Reference, Registry,
    Repository, Sha256Digest, media_type,
};
use crate::pin::{Pin, Resolved};
use crate::registry::{Client, Fetched, RegistryError, Wanted};

/// References that are resolved at the same time in one call.
const AT_ONCE: usize = 32;

/// The configuration type of docker's own images, beside [`media_type::OCI_CONFIG`].
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

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
    #[error("{asked} has no image for {platform}; it has: {}", .offered.join(", "))]
    Platform {
        /// The reference.
        asked: Box<Reference>,
        /// What was wanted.
        platform: Platform,
        /// What is there.
        offered: Vec<String>,
    },
    /// An artifact, or an index of indexes.
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
                offered.first().map(|platform| format!("choose one with --platform {platform}"))
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
    let Descended { index, digest, manifest, entry, annotations } =
        descend(client, &asked, platform, fetched).await?;
    if ![media_type::OCI_CONFIG, DOCKER_CONFIG].contains(&manifest.config.media_type.as_str()) {
        let reason = format!("its configuration is of the type {:?}", manifest.config.media_type);
        return Err(not_an_image(&asked, reason));
    }
    let (_, config) =
        client.config(&asked.registry, &asked.repository, &manifest.config).await.map_err(fail)?;
    let platform = agreed(&asked, platform, entry, &config)?;
    let tag_points_here = match (&asked.digest, &asked.tag) {
        (Some(_), Some(tag)) => {
            let tag = Wanted::Tag(tag.clone());
            match client.manifest(&asked.registry, &asked.repository, &tag).await {
                Ok(now) => Some(leads_to(&now, top, digest, &platform)),
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

/// A platform's manifest, and what led to it.
struct Descended {
    index: Option<Digest>,
    digest: Digest,
    manifest: Manifest,
    entry: Option<Platform>,
    /// The manifest's annotations over those of the index, as far as they count.
    annotations: BTreeMap<String, String>,
}

/// From what was fetched to the platform's manifest, through the index if there is one.
async fn descend(
    client: &Client,
    asked: &Reference,
    platform: &Platform,
    fetched: Fetched,
) -> Result<Descended, ResolveError> {
    let index = match fetched.document {
        Document::Manifest(manifest) => {
            let annotations = labels::telling(&manifest.annotations).collect();
            let (index, digest, entry) = (None, fetched.digest, None);
            return Ok(Descended { index, digest, manifest, entry, annotations });
        }
        Document::Index(index) => index,
    };
    let Some(entry) = index.select(platform) else {
        return Err(ResolveError::Platform {
            asked: asked.clone().into(),
            platform: platform.clone(),
            offered: index.platforms(),
        });
    };
    let wanted = Wanted::Digest(entry.descriptor.digest);
    let child = client
        .manifest(&asked.registry, &asked.repository, &wanted)
        .await
        .map_err(|reason| ResolveError::Registry { asked: asked.clone().into(), reason })?;
    if child.bytes.len() as u64 != entry.descriptor.size {
        return Err(ResolveError::Contradiction {
            asked: asked.clone().into(),
            reason: format!(
                "the index says that {} has {} bytes, it has {}",
                child.digest,
                entry.descriptor.size,
                child.bytes.len()
            ),
        });
    }
    match child.document {
        Document::Manifest(manifest) => {
            let above = labels::telling(&index.annotations);
            let annotations = above.chain(labels::telling(&manifest.annotations)).collect();
            let (above, digest, entry) =
                (Some(fetched.digest), child.digest, entry.platform.clone());
            Ok(Descended { index: above, digest, manifest, entry, annotations })
        }
        Document::Index(_) => Err(not_an_image(asked, "an index that points to an index".into())),
    }
}

/// The platform of the pin, after the configuration had its say.
fn agreed(
    asked: &Reference,
    wanted: &Platform,
    entry: Option<Platform>,
    config: &ImageConfig,
) -> Result<Platform, ResolveError> {
    let Some(entry) = entry else {
        if wanted.accepts(&config.platform) {
            return Ok(config.platform.clone());
        }
        return Err(ResolveError::Platform {
            asked: asked.clone().into(),
            platform: wanted.clone(),
            offered: vec![config.platform.to_string()],
        });
    };
    // builders often leave the variant out of one of the two; another processor is another image
    if entry.os == config.platform.os && entry.architecture == config.platform.architecture {
        return Ok(entry);
    }
    Err(ResolveError::Contradiction {
        asked: asked.clone().into(),
        reason: format!(
            "the index offers it for {entry}, its configuration says {}",
            config.platform
        ),
    })
}

/// Whether what a tag names now is the image that a digest named: itself, the index above it, or
/// the index that was asked for.
fn leads_to(now: &Fetched, top: Digest, manifest: Digest, platform: &Platform) -> bool {
    now.digest == top
        || match &now.document {
            Document::Manifest(_) => now.digest == manifest,
            Document::Index(index) => {
                index.select(platform).is_some_and(|entry| entry.descriptor.digest == manifest)
            }
        }
}

fn not_an_image(asked: &Reference, reason: String) -> ResolveError {
    ResolveError::NotAnImage { asked: asked.clone().into(), reason }
}
