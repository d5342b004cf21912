//! Whether a pin still is what it was made from: the tag moved, the tag is gone, the digest is gone,
//! or no tag holds it any more and a cleanup will delete it.
//!
//! ```text
//!  pin.asked --tag--> what it names now       moved, gone
//!  pin.index -------> still there?            gone, or there without the platform's manifest
//!  pin.manifest ----> still there?            gone
//!  all tags --------> one that leads to it?   none: a cleanup will delete it
//! ```

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::oci::{Digest, Document, Registry, Repository};
use crate::pin::Pin;
use crate::registry::{Client, RegistryError, Wanted};

/// Tags of a repository that are looked at in search of one that holds an image.
const MOST_TAGS: usize = 500;

/// Pins, and tags of one repository, that are asked for at the same time.
const AT_ONCE: usize = 8;

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
    /// Whether a tag leads to it was not found out: the repository has too many.
    TooManyTags {
        /// How many tags there are.
        tags: usize,
    },
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
            Self::TooManyTags { tags } => {
                write!(f, "not looked for another tag that holds it: there are {tags}")
            }
        }
    }
}

/// Compares a pin with the registry now. Empty when all is as it was.
///
/// # Errors
/// As the registry says; a repository that is not ours to see is an error and no finding.
pub async fn drift(client: &Client, pin: &Pin) -> Result<Vec<Drift>, RegistryError> {
    compare(client, pin, &OnceCell::new()).await
}

/// Compares many pins, a bounded number at a time: the answers stand in the order of the pins, one
/// error does not lose the others, and each repository's tags are looked at once.
pub async fn drift_many(client: &Client, pins: &[Pin]) -> Vec<Result<Vec<Drift>, RegistryError>> {
    let mut repositories: BTreeMap<&Registry, BTreeMap<&Repository, Held>> = BTreeMap::new();
    for pin in pins {
        repositories.entry(&pin.registry).or_default().entry(&pin.repository).or_default();
    }
    let mut broken: BTreeMap<&Registry, RegistryError> = BTreeMap::new();
    for (registry, known) in &repositories {
        let names: Vec<Repository> = known.keys().map(|name| (*name).clone()).collect();
        if let Err(error) = client.announce(registry, &names).await {
            broken.insert(registry, error);
        }
    }
    let (broken, repositories) = (&broken, &repositories);
    stream::iter(pins)
        .map(async |pin| match broken.get(&pin.registry) {
            Some(error) => Err(error.clone()),
            None => compare(client, pin, &repositories[&pin.registry][&pin.repository]).await,
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// Every digest that a tag of a repository leads to, once somebody asked; else how many tags are
/// too many.
type Held = OnceCell<Result<HashSet<Digest>, usize>>;

async fn compare(client: &Client, pin: &Pin, tags: &Held) -> Result<Vec<Drift>, RegistryError> {
    let mut findings = Vec::new();
    let ask = async |wanted| ask(client, pin, wanted).await;
    let mut held = false;
    if let (Some(tag), None) = (&pin.asked.tag, &pin.asked.digest) {
        let name = tag.to_string();
        match ask(Wanted::Tag(tag.clone())).await? {
            None => findings.push(Drift::TagGone { tag: name }),
            Some((now, _)) if now == pin.index.unwrap_or(pin.manifest) => held = true,
            Some((now, document)) => {
                held = leads_to(now, &document, pin);
                findings.push(Drift::TagMoved { tag: name, now });
            }
        }
    }
    let there = ask(Wanted::Digest(pin.manifest)).await?.is_some();
    let index = match pin.index {
        None => None,
        Some(digest) => Some((digest, ask(Wanted::Digest(digest)).await?.is_some())),
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
    match tags.get_or_try_init(|| tagged(client, pin)).await? {
        Ok(held) if held.contains(&digest) => {}
        Ok(_) => findings.push(Drift::Untagged { digest }),
        Err(tags) => findings.push(Drift::TooManyTags { tags: *tags }),
    }
    Ok(findings)
}

async fn ask(
    client: &Client,
    pin: &Pin,
    wanted: Wanted,
) -> Result<Option<(Digest, Document)>, RegistryError> {
    match client.manifest(&pin.registry, &pin.repository, &wanted).await {
        Ok(fetched) => Ok(Some((fetched.digest, fetched.document))),
        Err(RegistryError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the tags of a pin's repository lead to.
async fn tagged(
    client: &Client,
    pin: &Pin,
) -> Result<Result<HashSet<Digest>, usize>, RegistryError> {
    let tags = match client.tags(&pin.registry, &pin.repository).await {
        Ok(tags) => tags,
        Err(RegistryError::Missing { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    if tags.len() > MOST_TAGS {
        return Ok(Err(tags.len()));
    }
    let named = stream::iter(tags)
        .map(|tag| ask(client, pin, Wanted::Tag(tag)))
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<_>>()
        .await?;
    let mut held = HashSet::new();
    for (now, document) in named.into_iter().flatten() {
        held.insert(now);
        if let Document::Index(index) = document {
            held.extend(index.manifests.iter().map(|entry| entry.descriptor.digest));
        }
    }
    Ok(Ok(held))
}

/// Whether what a tag names is the pin's manifest, or an index that holds it.
fn leads_to(now: Digest, document: &Document, pin: &Pin) -> bool {
    now == pin.manifest
        || matches!(document, Document::Index(index)
            if index.manifests.iter().any(|entry| entry.descriptor.digest == pin.manifest))
}
