//! Manifests, indexes and tag lists.
//!
//! One GET is all: a HEAD before it would only add a round trip, because the digest in its header
//! is a claim that nothing may be built on; the bytes are hashed here.

use std::fmt;

use reqwest::header::{CONTENT_TYPE, LINK};
use serde::Deserialize;

use super::call::{Ask, protocol};
use super::transport::{Cut, host_of};
use super::{Client, RegistryError};
use crate::oci::{Digest, Document, Registry, Repository, Sha256Digest, Tag, media_type};

/// Which manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The one that a tag names now.
    Tag(Tag),
    /// The one with this digest.
    Digest(Digest),
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl Wanted {
    fn named(&self) -> String {
        match self {
            Self::Tag(tag) => format!("tag {tag}"),
            Self::Digest(digest) => format!("manifest {digest}"),
        }
    }
}

/// A manifest or index whose bytes were hashed.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The digest of the bytes.
    pub digest: Digest,
    /// The bytes as they came.
    pub bytes: Vec<u8>,
    /// What they say.
    pub document: Document,
}

impl Client {
    /// Fetches a manifest or an index.
    ///
    /// # Errors
    /// [`RegistryError::Missing`] when the tag or digest is not there,
    /// [`RegistryError::NotGranted`] when the repository is not ours to see,
    /// [`RegistryError::Integrity`] when the bytes have another digest than asked for or than the
    /// registry says, [`RegistryError::TooLarge`] beyond [`super::Limits::manifest`].
    pub async fn manifest(
        &self,
        registry: &Registry,
        repository: &Repository,
        wanted: &Wanted,
    ) -> Result<Fetched, RegistryError> {
        let what = wanted.named();
        let accept = media_type::MANIFESTS.join(", ");
        let ask = Ask {
            registry,
            repository,
            path: &format!("manifests/{wanted}"),
            accept: Some(&accept),
            from: 0,
            what: &what,
        };
        let whole = self.whole(&ask, self.0.options.limits.manifest).await?;
        let digest = Digest::of(&whole.bytes);
        let corrupt = |reason: String| RegistryError::Integrity {
            what: what.clone(),
            registry: registry.clone(),
            repository: repository.clone(),
            reason,
        };
        if let Wanted::Digest(asked) = wanted
            && *asked != digest
        {
            return Err(corrupt(format!("its bytes have the digest {digest}")));
        }
        if let Some(claimed) = &whole.claimed_digest
            && *claimed != digest.to_string()
        {
            return Err(corrupt(format!(
                "the registry calls it {claimed:.80}, its bytes have the digest {digest}"
            )));
        }
        let document =
            Document::parse(&whole.bytes, whole.content_type.as_deref()).map_err(|reason| {
                RegistryError::Document {
                    what: what.clone(),
                    registry: registry.clone(),
                    repository: repository.clone(),
                    reason: reason.into(),
                }
            })?;
        Ok(Fetched { digest, bytes: whole.bytes, document })
    }

    /// All tags of a repository, in the registry's order.
    ///
    /// # Errors
    /// As [`Client::manifest`]; a repository without any image is [`RegistryError::Missing`].
    pub async fn tags(
        &self,
        registry: &Registry,
        repository: &Repository,
    ) -> Result<Vec<Tag>, RegistryError> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let limits = self.0.options.limits;
        let mut tags = Vec::new();
        let mut path = "tags/list".to_owned();
        loop {
            let what = "its tag list";
            let ask = Ask { registry, repository, path: &path, accept: None, from: 0, what };
            let whole = self.whole(&ask, limits.tag_page).await?;
            let page: Page = serde_json::from_slice(&whole.bytes)
                .map_err(|e| protocol(&whole.url, what, &format!("no tag list: {e}")))?;
            // names that are no tags cannot be asked for, so they are of no use to anybody
            tags.extend(page.tags.unwrap_or_default().iter().filter_map(|t| t.parse().ok()));
            if tags.len() > limits.tags {
                return Err(RegistryError::TooLarge {
                    what: "the tag list".into(),
                    host: host_of(&whole.url),
                    limit: limits.tags as u64,
                });
            }
            match whole.next {
                Some(query) if path != format!("tags/list?{query}") => {
                    path = format!("tags/list?{query}");
                }
                _ => return Ok(tags),
            }
        }
    }

    /// A whole small body; a connection that breaks in the middle starts it again.
    pub(super) async fn whole(&self, ask: &Ask<'_>, limit: u64) -> Result<Whole, RegistryError> {
        let mut budget = self.0.transport.budget();
        loop {
            let answered = self.call(ask, &mut budget).await?;
            let response = self.success(ask, answered).await?;
            let url = response.url().clone();
            let header = |name: &str| {
                response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
            };
            let content_type = header(CONTENT_TYPE.as_str());
            let claimed_digest = header("docker-content-digest");
            let next = header(LINK.as_str()).as_deref().and_then(next_query);
            match self.0.transport.read(response, limit).await {
                Ok(bytes) => {
                    return Ok(Whole { bytes, content_type, claimed_digest, next, url });
                }
                Err(Cut::TooLarge) => {
                    return Err(RegistryError::TooLarge {
                        what: ask.what.to_owned(),
                        host: host_of(&url),
                        limit,
                    });
                }
                Err(Cut::Broken(reason)) => {
                    if !budget.spend(None).await {
                        return Err(RegistryError::Unreachable {
                            doing: "read from",
                            host: host_of(&url),
                            reason,
                        });
                    }
                }
            }
        }
    }

    /// The response if it is a success, else the error that its status means.
    pub(super) async fn success(
        &self,
        ask: &Ask<'_>,
        answered: super::call::Answered,
    ) -> Result<reqwest::Response, RegistryError> {
        let status = answered.response.status().as_u16();
        if matches!(status, 200 | 206) {
            return Ok(answered.response);
        }
        let host = host_of(answered.response.url());
        let said = self.said(answered.response, &answered.hide).await;
        Err(match status {
            404 | 410 => RegistryError::Missing {
                what: ask.what.to_owned(),
                registry: ask.registry.clone(),
                repository: ask.repository.clone(),
                said,
            },
            403 => RegistryError::NotGranted {
                registry: ask.registry.clone(),
                repository: ask.repository.clone(),
                tried: vec![said.to_string()],
            },
            _ => RegistryError::Answer { host, what: ask.what.to_owned(), said },
        })
    }
}

/// A small body and the headers that matter.
pub(super) struct Whole {
    pub(super) bytes: Vec<u8>,
    content_type: Option<String>,
    claimed_digest: Option<String>,
    /// The query of the next page.
    next: Option<String>,
    url: reqwest::Url,
}

/// The query of `Link: </v2/a/b/tags/list?last=x&n=100>; rel="next"`. The rest of the address is
/// not taken from the server: the next page is in the same place.
fn next_query(link: &str) -> Option<String> {
    let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let query = address.split_once('?')?.1;
    let plain = query.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    (parameters.contains("next") && plain).then(|| query.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_only_a_query() {
        let next = r#"<https://evil.example/v2/a/tags/list?last=x&n=2>; rel="next""#;
        assert_eq!(next_query(next).as_deref(), Some("last=x&n=2"));
        assert_eq!(next_query(r#"</x?y=1>; rel="prev""#), None);
        assert_eq!(next_query("nonsense"), None);
    }
}
