//! Whether a pin still is what it was made from: the tag moved, the tag is gone, the digest is gone,
//! or no tag holds it any more and a cleanup will delete it.

use std::fmt;

use serde::Serialize;

use crate::oci::{Digest, Document};
use crate::pin::Pin;
use crate::registry::{Client, RegistryError, Wanted};

/// Tags of a repository that are looked at in search of one that holds an image.
const MOST_TAGS: usize = 100;

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
    let mut findings = Vec::new();
    let ask = async |wanted: Wanted| -> Result<Option<(Digest, Document)>, RegistryError> {
        match client.manifest(&pin.registry, &pin.repository, &wanted).await {
            Ok(fetched) => Ok(Some((fetched.digest, fetched.document))),
            Err(RegistryError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    };
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
    if ask(Wanted::Digest(pin.manifest)).await?.is_none() {
        findings.push(Drift::DigestGone { digest: pin.manifest });
        return Ok(findings);
    }
    if let Some(index) = pin.index
        && ask(Wanted::Digest(index)).await?.is_none()
    {
        findings.push(Drift::IndexGone { digest: index });
    }
    if held {
        return Ok(findings);
    }
    let tags = match client.tags(&pin.registry, &pin.repository).await {
        Ok(tags) => tags,
        Err(RegistryError::Missing { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    if tags.len() > MOST_TAGS {
        findings.push(Drift::TooManyTags { tags: tags.len() });
        return Ok(findings);
    }
    for tag in tags {
        if let Some((now, document)) = ask(Wanted::Tag(tag)).await?
            && leads_to(now, &document, pin)
        {
            return Ok(findings);
        }
    }
    findings.push(Drift::Untagged { digest: pin.manifest });
    Ok(findings)
}

/// Whether what a tag names is the pin's manifest, or an index that holds it.
fn leads_to(now: Digest, document: &Document, pin: &Pin) -> bool {
    now == pin.manifest
        || matches!(document, Document::Index(index)
            if index.manifests.iter().any(|entry| entry.descriptor.digest == pin.manifest))
}
