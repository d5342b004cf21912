//! Manifests, indexes and tag lists.
//!
//! ```text
//!  tag ------HEAD--> a digest --known here--> those bytes, hashed again
//!    |                  \-------not known----> GET by that digest, bytes hashed
//!     \---no digest, HEAD refused------------> GET by the tag, bytes hashed, the header compared
//!  digest ---known here--HEAD: is it still there?--> those bytes
//!     \------not known------------------------> GET
//! ```
//!
//! The digest in a HEAD's header is a claim: it only says what to ask for. A registry that limits
//! requests counts GETs (Docker Hub), so what is known is not fetched again.

use std::fmt;
use std::sync::atomic::Ordering;

use reqwest::header::{CONTENT_TYPE, LINK};
use serde::Deserialize;

use super::call::{Ask, protocol};
use super::transport::{Budget, Cut, host_of};
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
        let known = match wanted {
            Wanted::Digest(digest) => self.0.known.find(digest),
            Wanted::Tag(_) => None,
        };
        // a HEAD for a digest that is fetched anyway would only be one more request
        if known.is_none() && matches!(wanted, Wanted::Digest(_)) {
            return self.get(registry, repository, wanted, self.0.transport.budget()).await;
        }
        let head = match self.head(registry, repository, wanted).await? {
            Head::Named(head) => head,
            Head::Refused => {
                return self.get(registry, repository, wanted, self.0.transport.budget()).await;
            }
            // its words are in the body that a HEAD does not have
            Head::Failed => {
                return self.get(registry, repository, wanted, self.0.transport.once()).await;
            }
        };
        if let Wanted::Digest(asked) = wanted
            && *asked != head.digest
        {
            let (what, reason) = (wanted.named(), format!("the registry calls it {}", head.digest));
            let (registry, repository) = (registry.clone(), repository.clone());
            return Err(RegistryError::Integrity { what, registry, repository, reason });
        }
        if let Some(bytes) = known.or_else(|| self.0.known.find(&head.digest)) {
            tracing::debug!(%registry, %repository, %wanted, digest = %head.digest, "known here");
            let what = wanted.named();
            return Self::read(registry, repository, &what, bytes, head.content_type.as_deref());
        }
        let wanted = Wanted::Digest(head.digest);
        self.get(registry, repository, &wanted, self.0.transport.budget()).await
    }

    /// Asks what a name stands for, without its bytes.
    async fn head(
        &self,
        registry: &Registry,
        repository: &Repository,
        wanted: &Wanted,
    ) -> Result<Head, RegistryError> {
        let (host, _) = self.endpoint(registry, Some(repository)).await?;
        if host.no_head.load(Ordering::Relaxed) {
            return Ok(Head::Refused);
        }
        let (what, accept) = (wanted.named(), media_type::MANIFESTS.join(", "));
        let ask = Ask {
            head: true,
            registry,
            repository,
            path: &format!("manifests/{wanted}"),
            accept: Some(&accept),
            from: 0,
            what: &what,
        };
        let response = self.call(&ask, &mut self.0.transport.budget()).await?.response;
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        let digest = header("docker-content-digest").and_then(|text| text.parse().ok());
        Ok(match (response.status().as_u16(), digest) {
            (200, Some(digest)) => Head::Named(Named {
                digest,
                content_type: header(CONTENT_TYPE.as_str()).map(str::to_owned),
            }),
            (200 | 400 | 405 | 501, _) => {
                tracing::debug!(%registry, "no digest for a HEAD: it is not sent again");
                host.no_head.store(true, Ordering::Relaxed);
                Head::Refused
            }
            (429 | 500..=599, _) => Head::Failed,
            _ => Head::Refused,
        })
    }

    /// Fetches the bytes.
    async fn get(
        &self,
        registry: &Registry,
        repository: &Repository,
        wanted: &Wanted,
        budget: Budget,
    ) -> Result<Fetched, RegistryError> {
        let (what, accept) = (wanted.named(), media_type::MANIFESTS.join(", "));
        let ask = Ask {
            head: false,
            registry,
            repository,
            path: &format!("manifests/{wanted}"),
            accept: Some(&accept),
            from: 0,
            what: &what,
        };
        let whole = self.whole(&ask, self.0.options.limits.manifest, budget).await?;
        let corrupt = |reason: String| RegistryError::Integrity {
            what: what.clone(),
            registry: registry.clone(),
            repository: repository.clone(),
            reason,
        };
        let digest = Digest::of(&whole.bytes);
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
        let content_type = whole.content_type.as_deref();
        let fetched = Self::read(registry, repository, &what, whole.bytes, content_type)?;
        self.0.known.keep(fetched.digest, &fetched.bytes);
        Ok(fetched)
    }

    fn read(
        registry: &Registry,
        repository: &Repository,
        what: &str,
        bytes: Vec<u8>,
        content_type: Option<&str>,
    ) -> Result<Fetched, RegistryError> {
        let document =
            Document::parse(&bytes, content_type).map_err(|reason| RegistryError::Document {
                what: what.to_owned(),
                registry: registry.clone(),
                repository: repository.clone(),
                reason: reason.into(),
            })?;
        Ok(Fetched { digest: Digest::of(&bytes), bytes, document })
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
            let ask =
                Ask { head: false, registry, repository, path: &path, accept: None, from: 0, what };
            let whole = self.whole(&ask, limits.tag_page, self.0.transport.budget()).await?;
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
    async fn whole(
        &self,
        ask: &Ask<'_>,
        limit: u64,
        mut budget: Budget,
    ) -> Result<Whole, RegistryError> {
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

/// What a HEAD gave.
enum Head {
    Named(Named),
    /// Nothing that helps: a GET decides.
    Refused,
    /// An error that every try repeated.
    Failed,
}

struct Named {
    digest: Digest,
    content_type: Option<String>,
}

/// A small body and the headers that matter.
struct Whole {
    bytes: Vec<u8>,
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
