//! Manifests, indexes and tag lists.
//!
//! ```text
//!  tag ---never seen------------------> GET, bytes hashed, the header compared
//!     \---its manifest is known--HEAD--> a digest that is known --> those bytes, hashed again
//!                        |   \---------> another digest ---------> GET by it, bytes hashed
//!                         \--no digest, HEAD refused-------------> GET by the tag
//!  digest ---known here--HEAD: is it still there?--> those bytes
//!     \------not known------------------------> GET
//! ```
//!
//! The digest in a HEAD's header is a claim: it only says what to ask for. A registry that limits
//! requests counts GETs (Docker Hub), so what is known is not fetched again; what is not known is
//! fetched at once, without a HEAD before it.

use std::fmt;
use std::sync::atomic::Ordering;

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, LINK};
use serde::Deserialize;

use super::call::Ask;
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
    /// Whether it can stand for this digest.
    fn may_be(&self, digest: &Digest) -> bool {
        matches!(self, Self::Tag(_)) || matches!(self, Self::Digest(asked) if asked == digest)
    }

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
            Wanted::Tag(tag) => {
                let named = self.0.known.tagged(&name(registry, repository, tag));
                named.and_then(|digest| self.0.known.find(&digest))
            }
        };
        // a HEAD for what is fetched anyway would only be one more request
        if known.is_none() {
            return self.get(registry, repository, wanted, self.0.transport.budget()).await;
        }
        let budget = self.0.transport.budget();
        let head = match self.head(registry, repository, wanted, budget).await? {
            Head::Named(head) => head,
            Head::Refused | Head::Absent => {
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
        let known = match wanted {
            Wanted::Digest(_) => known,
            // what the tag named last is not what it names now
            Wanted::Tag(_) => self.0.known.find(&head.digest),
        };
        if let Some(bytes) = known {
            if let Wanted::Tag(tag) = wanted {
                self.0.known.note_tag(&name(registry, repository, tag), &head.digest);
            }
            tracing::debug!(%registry, %repository, %wanted, digest = %head.digest, "known here");
            let what = wanted.named();
            return self.read(registry, repository, &what, bytes, head.content_type.as_deref());
        }
        let moved = Wanted::Digest(head.digest);
        let fetched = self.get(registry, repository, &moved, self.0.transport.budget()).await?;
        if let Wanted::Tag(tag) = wanted {
            self.0.known.note_tag(&name(registry, repository, tag), &fetched.digest);
        }
        Ok(fetched)
    }

    /// The manifest of a tag that need not be there, asked for with one HEAD, and without patience:
    /// nobody depends on it. Its bytes are fetched only when it is there.
    ///
    /// # Errors
    /// As [`Client::manifest`], but what is missing or not ours to see is `None`.
    pub async fn manifest_if_there(
        &self,
        registry: &Registry,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Option<Fetched>, RegistryError> {
        let wanted = Wanted::Tag(tag.clone());
        let once = || self.0.transport.once();
        let found = async {
            let wanted = match self.head(registry, repository, &wanted, once()).await? {
                Head::Named(head) => Wanted::Digest(head.digest),
                Head::Absent => return Ok(None),
                Head::Refused | Head::Failed => wanted,
            };
            self.get(registry, repository, &wanted, once()).await.map(Some)
        };
        match found.await {
            Err(RegistryError::Missing { .. } | RegistryError::NotGranted { .. }) => Ok(None),
            other => other,
        }
    }

    /// What a tag or digest stands for now, without its bytes where the registry answers HEAD; `None`
    /// when it is not there.
    ///
    /// # Errors
    /// As [`Client::manifest`]; [`RegistryError::Document`] only where HEAD is not answered.
    pub async fn names(
        &self,
        registry: &Registry,
        repository: &Repository,
        wanted: &Wanted,
    ) -> Result<Option<Named>, RegistryError> {
        let budget = self.0.transport.budget();
        let budget = match self.head(registry, repository, wanted, budget).await? {
            Head::Named(named) if wanted.may_be(&named.digest) => return Ok(Some(named)),
            Head::Failed => self.0.transport.once(),
            _ => self.0.transport.budget(),
        };
        // a GET says it, in the registry's words
        match self.get(registry, repository, wanted, budget).await {
            Ok(fetched) => {
                let content_type = match fetched.document {
                    Document::Index(_) => media_type::OCI_INDEX,
                    Document::Manifest(_) => media_type::OCI_MANIFEST,
                };
                Ok(Some(Named {
                    digest: fetched.digest,
                    content_type: Some(content_type.to_owned()),
                }))
            }
            Err(RegistryError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a manifest may be read now: one HEAD, where the registry answers it with a digest.
    ///
    /// # Errors
    /// As [`Client::manifest`].
    pub async fn may_read(
        &self,
        registry: &Registry,
        repository: &Repository,
        manifest: &Digest,
    ) -> Result<(), RegistryError> {
        let (wanted, budget) = (Wanted::Digest(*manifest), self.0.transport.budget());
        match self.head(registry, repository, &wanted, budget).await? {
            Head::Named(head) if head.digest == *manifest => Ok(()),
            // a GET says what is wrong, in the registry's words
            _ => self.manifest(registry, repository, &wanted).await.map(drop),
        }
    }

    /// Asks what a name stands for, without its bytes.
    async fn head(
        &self,
        registry: &Registry,
        repository: &Repository,
        wanted: &Wanted,
        mut budget: Budget,
    ) -> Result<Head, RegistryError> {
        let (host, _) = self.endpoint(registry, Some(repository)).await?;
        if host.no_head.load(Ordering::Relaxed) {
            return Ok(Head::Refused);
        }
        let (what, accept) = (wanted.named(), media_type::MANIFESTS.join(", "));
        let path = format!("manifests/{wanted}");
        let ask = Ask::get(registry, repository, &path, &what).with(ACCEPT, &accept);
        let ask = Ask { method: Method::HEAD, ..ask };
        let response = self.call(&ask, &mut budget).await?.response;
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        let digest = header("docker-content-digest").and_then(stated_digest);
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
            (404 | 410, _) => Head::Absent,
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
        let path = format!("manifests/{wanted}");
        let ask = Ask::get(registry, repository, &path, &what).with(ACCEPT, &accept);
        let limit = (self.0.options.limits.manifest, "limits.manifest_bytes");
        let whole = self.whole(&ask, limit, budget).await?;
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
        if let Some(claimed) = whole.claimed_digest
            && claimed != digest
        {
            return Err(corrupt(format!(
                "the registry calls it {claimed}, its bytes have the digest {digest}"
            )));
        }
        let content_type = whole.content_type.as_deref();
        let fetched = self.read(registry, repository, &what, whole.bytes, content_type)?;
        self.0.known.keep(fetched.digest, &fetched.bytes);
        if let Wanted::Tag(tag) = wanted {
            self.0.known.note_tag(&name(registry, repository, tag), &fetched.digest);
        }
        Ok(fetched)
    }

    fn read(
        &self,
        registry: &Registry,
        repository: &Repository,
        what: &str,
        bytes: Vec<u8>,
        content_type: Option<&str>,
    ) -> Result<Fetched, RegistryError> {
        let document = Document::parse(&bytes, content_type).map_err(|reason| {
            if let Some(instead) = self.0.transport.page(&bytes) {
                let (host, what) = (registry.to_string(), what.to_owned());
                return RegistryError::Page { host, what, instead };
            }
            RegistryError::Document {
                what: what.to_owned(),
                registry: registry.clone(),
                repository: repository.clone(),
                words: self.0.transport.words(&reason.to_string()),
                reason: reason.into(),
            }
        })?;
        let limits = self.0.options.limits;
        let (count, limit, of, key) = match &document {
            Document::Index(index) => {
                (index.manifests.len(), limits.index_entries, "entries", "limits.index_entries")
            }
            Document::Manifest(manifest) => {
                (manifest.layers.len(), limits.layers, "layers", "limits.layers")
            }
        };
        if count as u64 > limit {
            let (what, host) = (what.to_owned(), registry.to_string());
            return Err(RegistryError::TooMany { what, of, host, limit, key });
        }
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
            let ask = Ask::get(registry, repository, &path, what);
            let whole = self.whole(&ask, (limits.tag_page, ""), self.0.transport.budget()).await?;
            let page: Page = serde_json::from_slice(&whole.bytes).map_err(|e| {
                let reason = format!("no tag list: {e}");
                self.0.transport.not_read(&whole.url, what, &whole.bytes, &reason)
            })?;
            // names that are no tags cannot be asked for, so they are of no use to anybody
            tags.extend(page.tags.unwrap_or_default().iter().filter_map(|t| t.parse().ok()));
            if tags.len() as u64 > limits.tags {
                return Err(RegistryError::TooMany {
                    what: "the tag list".into(),
                    of: "tags",
                    host: host_of(&whole.url),
                    limit: limits.tags,
                    key: "limits.tags",
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

    /// A whole small body of at most so many bytes, which a key of the configuration sets; a
    /// connection that breaks in the middle starts it again.
    async fn whole(
        &self,
        ask: &Ask<'_>,
        (limit, key): (u64, &'static str),
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
            let claimed_digest = header("docker-content-digest").as_deref().and_then(stated_digest);
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
                        key,
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
        let said = self.said(answered.response).await;
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
                none: false,
                tried: vec![said.to_string()],
            },
            _ => RegistryError::Answer { host, what: ask.what.to_owned(), said },
        })
    }
}

/// A tag, as `Known` remembers it.
fn name(registry: &Registry, repository: &Repository, tag: &Tag) -> String {
    format!("{registry}/{repository}:{tag}")
}

/// What a HEAD gave.
enum Head {
    Named(Named),
    /// Nothing that helps: a GET decides.
    Refused,
    /// It is not there.
    Absent,
    /// An error that every try repeated.
    Failed,
}

/// What the registry says that a name stands for; nothing of it was hashed.
#[derive(Clone, Debug)]
pub struct Named {
    /// The digest.
    pub digest: Digest,
    /// Its media type.
    pub content_type: Option<String>,
}

impl Named {
    /// Whether it says that it is an index, or does not say what it is.
    #[must_use]
    pub fn may_be_index(&self) -> bool {
        self.content_type.as_deref().is_none_or(media_type::is_index)
    }
}

/// A small body and the headers that matter.
struct Whole {
    bytes: Vec<u8>,
    content_type: Option<String>,
    claimed_digest: Option<Digest>,
    /// The query of the next page.
    next: Option<String>,
    url: reqwest::Url,
}

/// The SHA-256 digest that a `Docker-Content-Digest` states. Some registries send the bare number,
/// capitals or quotes; what is another algorithm or no digest at all says nothing, and the bytes are
/// hashed anyway.
pub(super) fn stated_digest(header: &str) -> Option<Digest> {
    let text = header.trim().trim_matches('"').to_ascii_lowercase();
    let bare = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if bare { format!("sha256:{text}").parse().ok() } else { text.parse().ok() }
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

    /// Huawei's registry sends the number alone (GoogleContainerTools/kaniko#298).
    #[test]
    fn digests_as_registries_state_them() {
        let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let digest: Digest = format!("sha256:{hex}").parse().unwrap();
        for stated in [
            format!("sha256:{hex}"),
            hex.to_owned(),
            hex.to_uppercase(),
            format!("SHA256:{}", hex.to_uppercase()),
            format!("\"sha256:{hex}\""),
        ] {
            assert_eq!(stated_digest(&stated), Some(digest), "{stated}");
        }
        for nothing in
            ["", "latest", "sha512:abc", &hex[1..], &format!("sha512:{hex}{hex}"), "sha256:"]
        {
            assert_eq!(stated_digest(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn the_next_page_is_only_a_query() {
        let next = r#"<https://evil.example/v2/a/tags/list?last=x&n=2>; rel="next""#;
        assert_eq!(next_query(next).as_deref(), Some("last=x&n=2"));
        assert_eq!(next_query(r#"</x?y=1>; rel="prev""#), None);
        assert_eq!(next_query("nonsense"), None);
    }
}
