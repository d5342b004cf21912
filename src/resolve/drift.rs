//! Whether a pin still is what it was made from: the tag moved, the tag is gone, the digest is gone,
//! or no tag holds it any more and a cleanup will delete it.
//!
//! ```text
//!  pin.asked --tag--> what it names now       moved, gone
//!  pin.index -------> still there?            gone, or there without the platform's manifest
//!  pin.manifest ----> still there?            gone
//!  all tags --------> one that leads to it?   none: a cleanup will delete it
//! ```
//!
//! Tags are asked for with HEAD, one after the other until one leads to the image; the bytes are fetched only of
//! indexes. A document that cannot be read there (a manifest of schema 1) does not lead to an image of ours.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::sync::Mutex;

use crate::failure::{Failure, Kind};
use crate::oci::{Digest, Document, Registry, Repository, Tag, media_type};
use crate::pin::Pin;
use crate::registry::{Client, Named, RegistryError, Wanted};

/// Pins that are compared at the same time.
const AT_ONCE: usize = 8;

/// Indexes below one name that are read.
const MOST_INDEXES: usize = 64;

/// Tags of one repository that are asked for at the same time.
const TAGS_AT_ONCE: usize = 32;

/// A difference between a pin and the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "finding")]
pub enum Drift {
    /// The tag names another image.
    TagMoved {
        /// The tag.
        tag: String,
        /// What it names now: an index, or a manifest.
        now: Digest,
    },
    /// The tag is not there any more.
    TagGone {
        /// The tag.
        tag: String,
    },
    /// The platform's manifest is not there any more.
    DigestGone {
        /// The manifest.
        digest: Digest,
    },
    /// The index is not there any more; the manifest still is.
    IndexGone {
        /// The index.
        digest: Digest,
    },
    /// The index is there, and the platform's manifest below it is not any more.
    IndexChildMissing {
        /// The index.
        index: Digest,
        /// The platform's manifest.
        digest: Digest,
    },
    /// The manifest is there, and no tag leads to it.
    Untagged {
        /// The manifest.
        digest: Digest,
    },
    /// Whether another tag leads to it was not found out: the repository has too many. No finding.
    TooManyTags {
        /// How many are looked at.
        limit: u64,
    },
}

impl Drift {
    /// Whether something is the matter; else it says what was not found out.
    #[must_use]
    pub fn is_finding(&self) -> bool {
        !matches!(self, Self::TooManyTags { .. })
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TagMoved { tag, now } => write!(f, "tag {tag} moved: it names {now} now"),
            Self::TagGone { tag } => write!(f, "tag {tag} is gone"),
            Self::DigestGone { digest } => write!(f, "{digest} is gone from the registry"),
            Self::IndexGone { digest } => write!(f, "index {digest} is gone from the registry"),
            Self::IndexChildMissing { index, digest } => {
                write!(f, "{digest} is gone from the registry, its index {index} is still there")
            }
            Self::Untagged { digest } => {
                write!(f, "no tag holds {digest} any more: a cleanup will delete it")
            }
            Self::TooManyTags { limit } => {
                write!(f, "not looked for another tag that holds it: there are more than {limit}")
            }
        }
    }
}

/// A pin that was not compared: the registry did not answer as it should.
#[derive(Debug, thiserror::Error)]
#[error("{reference} was not compared: {error}")]
pub struct NotCompared {
    reference: String,
    error: RegistryError,
}

impl NotCompared {
    /// That of a pin.
    #[must_use]
    pub fn of(pin: &Pin, error: RegistryError) -> Self {
        Self { reference: pin.reference().to_string(), error }
    }
}

impl Failure for NotCompared {
    fn kind(&self) -> Kind {
        self.error.kind()
    }
    fn hint(&self) -> Option<String> {
        self.error.hint()
    }
}

/// Compares a pin with the registry now. Empty when all is as it was.
///
/// # Errors
/// As the registry says; a repository that is not ours to see is an error and no finding.
pub async fn drift(client: &Client, pin: &Pin) -> Result<Vec<Drift>, RegistryError> {
    compare(client, pin, &Walk::default()).await
}

/// Compares many pins, a bounded number at a time: the answers stand in the order of the pins, one
/// error does not lose the others, and each repository's tags are listed and asked for once.
pub async fn drift_many(client: &Client, pins: &[Pin]) -> Vec<Result<Vec<Drift>, RegistryError>> {
    let mut repositories: BTreeMap<&Registry, BTreeMap<&Repository, Walk>> = BTreeMap::new();
    for pin in pins {
        repositories.entry(&pin.registry).or_default().entry(&pin.repository).or_default();
    }
    let mut broken: BTreeMap<&Registry, BTreeMap<Repository, RegistryError>> = BTreeMap::new();
    for (registry, known) in &repositories {
        let names: Vec<Repository> = known.keys().map(|name| (*name).clone()).collect();
        broken.insert(registry, client.announce(registry, &names).await);
    }
    let (broken, repositories) = (&broken, &repositories);
    stream::iter(pins)
        .map(async |pin| match broken[&pin.registry].get(&pin.repository) {
            Some(error) => Err(error.clone()),
            None => compare(client, pin, &repositories[&pin.registry][&pin.repository]).await,
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}

async fn compare(client: &Client, pin: &Pin, walk: &Walk) -> Result<Vec<Drift>, RegistryError> {
    let mut findings = Vec::new();
    let named = async |wanted| client.names(&pin.registry, &pin.repository, &wanted).await;
    let mut held = false;
    if let (Some(tag), None) = (&pin.asked.tag, &pin.asked.digest) {
        let name = tag.to_string();
        match named(Wanted::Tag(tag.clone())).await? {
            None => findings.push(Drift::TagGone { tag: name }),
            Some(now) if now.digest == pin.index.unwrap_or(pin.manifest) => held = true,
            Some(now) => {
                held = leads_to(client, pin, &now).await?.contains(&pin.manifest);
                findings.push(Drift::TagMoved { tag: name, now: now.digest });
            }
        }
    }
    let there = named(Wanted::Digest(pin.manifest)).await?.is_some();
    let index = match pin.index {
        None => None,
        Some(digest) => Some((digest, named(Wanted::Digest(digest)).await?.is_some())),
    };
    let digest = pin.manifest;
    match index {
        Some((index, true)) if !there => findings.push(Drift::IndexChildMissing { index, digest }),
        _ if !there => findings.push(Drift::DigestGone { digest }),
        Some((index, false)) => findings.push(Drift::IndexGone { digest: index }),
        _ => {}
    }
    if held || !there {
        return Ok(findings);
    }
    match walk.holds(client, pin).await {
        Ok(true) => {}
        Ok(false) => findings.push(Drift::Untagged { digest }),
        Err(RegistryError::TooMany { limit, of: "tags", .. }) => {
            findings.push(Drift::TooManyTags { limit });
        }
        Err(error) => return Err(error),
    }
    Ok(findings)
}

/// The tags of a repository, as far as somebody had to look at them.
#[derive(Default)]
struct Walk(Mutex<Walked>);

#[derive(Default)]
struct Walked {
    /// Those that nobody looked at; `None` before they were listed.
    left: Option<Vec<Tag>>,
    /// What the others lead to.
    held: HashSet<Digest>,
}

impl Walk {
    /// Whether a tag leads to the pin's manifest; the tags are walked until one does.
    async fn holds(&self, client: &Client, pin: &Pin) -> Result<bool, RegistryError> {
        // held while walking: whoever comes later begins where this one stops
        let mut walked = self.0.lock().await;
        let Walked { left, held } = &mut *walked;
        let left = match left {
            Some(left) => left,
            None => left.insert(match client.tags(&pin.registry, &pin.repository).await {
                Ok(tags) => tags,
                Err(RegistryError::Missing { .. }) => Vec::new(),
                Err(error) => return Err(error),
            }),
        };
        while !held.contains(&pin.manifest) && !left.is_empty() {
            let next = &left[..left.len().min(TAGS_AT_ONCE)];
            let named: Vec<Option<Named>> = stream::iter(next)
                .map(async |tag| {
                    let wanted = Wanted::Tag(tag.clone());
                    match client.names(&pin.registry, &pin.repository, &wanted).await {
                        Err(error) if is_unreadable(&error) => Ok(None),
                        other => other,
                    }
                })
                .buffered(TAGS_AT_ONCE)
                .try_collect()
                .await?;
            let count = next.len();
            for now in named.into_iter().flatten() {
                if !held.contains(&now.digest) {
                    held.extend(leads_to(client, pin, &now).await?);
                }
            }
            left.drain(..count);
        }
        Ok(held.contains(&pin.manifest))
    }
}

/// Every digest that a name leads to: its own, and those below indexes that can be read.
async fn leads_to(client: &Client, pin: &Pin, now: &Named) -> Result<Vec<Digest>, RegistryError> {
    let mut held = vec![now.digest];
    let mut indexes = if now.may_be_index() { vec![now.digest] } else { vec![] };
    let mut read = HashSet::new();
    while let Some(digest) = indexes.pop() {
        if !read.insert(digest) || read.len() > MOST_INDEXES {
            continue;
        }
        let wanted = Wanted::Digest(digest);
        match client.manifest(&pin.registry, &pin.repository, &wanted).await {
            Ok(fetched) => {
                let Document::Index(index) = fetched.document else { continue };
                held.extend(index.manifests.iter().map(|entry| entry.descriptor.digest));
                let inner = index.manifests.iter().map(|entry| &entry.descriptor);
                let inner = inner.filter(|of| media_type::is_index(&of.media_type));
                indexes.extend(inner.map(|of| of.digest));
            }
            Err(error) if is_unreadable(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(held)
}

/// What is damaged, foreign or gone by now leads nowhere.
pub(super) fn is_unreadable(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::Document { .. }
            | RegistryError::Missing { .. }
            | RegistryError::Integrity { .. }
            | RegistryError::TooLarge { .. }
            | RegistryError::TooMany { .. }
    )
}
