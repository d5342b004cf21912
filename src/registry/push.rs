//! Sending: blobs in pieces, then the manifest that names them.
//!
//! ```text
//!  HEAD  blobs/sha256:...                          200: it is there, nothing is sent
//!  POST  blobs/uploads/                            202, Location: where the bytes go
//!  PATCH Location   Content-Range: 0-N, bytes      202, Location: where the next ones go
//!  ...
//!  PUT   Location?digest=sha256:...                201
//!  PUT   manifests/TAG                             201, Docker-Content-Digest: compared
//!
//!  GET   Location                                  204, Range: 0-N: an upload that broke off goes on
//!                                                  there; anything else: it begins again
//! ```
//!
//! Source: OCI distribution specification 1.1, "Push". The registry checks the digest at the end, so a piece that was
//! cut or sent twice cannot become a blob. After a fault that may pass (429, 5xx, a reset, an upload that the registry
//! forgot) the upload goes on within its budget of tries. The budget starts again whenever the registry has taken more
//! bytes than ever before. docker-registry 2.8 knows the length of an upload only while no byte of an unanswered piece
//! has reached its disk; otherwise it forgets the upload.
//!
//! An upload's address is the registry's to choose, but only on its own scheme, host and port: it
//! gets the token and the bytes. Redirects of an upload are not followed.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode, Url};

use super::call::{Answered, Ask, To, protocol};
use super::manifest::stated_digest;
use super::transport::{Budget, host_of};
use super::{Client, RegistryError};
use crate::net::retry_after;
use crate::oci::{Descriptor, Digest, Registry, Repository, Sha256Digest, Tag};
use crate::secret::Realm;

/// What one PATCH carries, in bytes; object storage wants at least 5 MiB.
const PIECE: usize = 16 << 20;

/// What can be sent again from its beginning: a file, or bytes in a [`io::Cursor`].
pub trait Content: Read + Seek + Send {}

impl<T: Read + Seek + Send> Content for T {}

/// An upload that has an address.
struct Begun {
    /// Where the next bytes go.
    to: Url,
    /// How many bytes the registry has, as it said itself.
    done: u64,
    /// Whether something went wrong since it said so.
    broken: bool,
}

/// Why an upload did not end well.
enum Cut {
    /// Another try may do.
    Again(RegistryError, Option<Duration>),
    Stop(RegistryError),
}

impl From<RegistryError> for Cut {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Unreachable { .. } => Self::Again(error, None),
            _ => Self::Stop(error),
        }
    }
}

impl Client {
    /// Sends a blob unless the repository has it, and says whether anything was sent. `content` must
    /// be exactly the descriptor's bytes; the registry checks that. `sent` hears how many bytes came
    /// there by now.
    ///
    /// # Errors
    /// [`RegistryError::NoPush`] when no credential may write there, [`RegistryError::NotTaken`] with
    /// the registry's words when it refuses, [`RegistryError::Read`] when `content` cannot be read.
    pub async fn push_blob(
        &self,
        registry: &Registry,
        repository: &Repository,
        blob: &Descriptor,
        content: &mut dyn Content,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<bool, RegistryError> {
        let upload = Upload { client: self, registry, repository, blob };
        let mut budget = self.0.transport.budget();
        if upload.is_there(&mut budget).await? {
            return Ok(false);
        }
        let (mut begun, mut most) = (None, 0);
        loop {
            let (error, wanted) = match upload.go_on(&mut begun, content, sent, &mut budget).await {
                Ok(()) => return Ok(true),
                Err(Cut::Stop(error)) => return Err(error),
                Err(Cut::Again(error, wanted)) => (error, wanted),
            };
            let done = begun.as_ref().map_or(0, |begun| begun.done);
            tracing::debug!(%registry, %repository, blob = %blob.digest, done, %error, "an upload broke off");
            if done > most {
                most = done;
                budget = self.0.transport.budget(); // it moves: patience starts again
            }
            if !budget.spend(wanted).await {
                return Err(error);
            }
            // the last answer may be all that was lost
            if done == blob.size && upload.is_there(&mut budget).await.is_ok_and(|there| there) {
                return Ok(true);
            }
        }
    }

    /// Sends a manifest under a tag; the blobs that it names must be there.
    ///
    /// # Errors
    /// As [`Client::push_blob`]; [`RegistryError::Integrity`] when the registry calls it by another
    /// digest than its bytes have.
    pub async fn push_manifest(
        &self,
        registry: &Registry,
        repository: &Repository,
        tag: &Tag,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest, RegistryError> {
        let (what, path) = (format!("tag {tag}"), format!("manifests/{tag}"));
        let ask = Ask {
            method: Method::PUT,
            body: Some(Bytes::copy_from_slice(bytes)),
            ..Ask::get(registry, repository, &path, &what).with(CONTENT_TYPE, media_type)
        };
        let answered = self.call(&ask, &mut self.0.transport.budget()).await?;
        let response = self.taken(&ask, answered, 201).await?;
        let digest = Digest::of(bytes);
        let called = response.headers().get("docker-content-digest").and_then(|v| v.to_str().ok());
        if let Some(called) = called.and_then(stated_digest).filter(|called| *called != digest) {
            return Err(RegistryError::Integrity {
                what,
                registry: registry.clone(),
                repository: repository.clone(),
                reason: format!("the registry calls it {called}, it is {digest}"),
            });
        }
        Ok(digest)
    }

    /// The response when it has the status of a success, else the error that it means.
    async fn taken(
        &self,
        ask: &Ask<'_>,
        answered: Answered,
        success: u16,
    ) -> Result<Response, RegistryError> {
        if answered.response.status().as_u16() == success {
            return Ok(answered.response);
        }
        Err(RegistryError::NotTaken {
            what: ask.what.to_owned(),
            registry: ask.registry.clone(),
            repository: ask.repository.clone(),
            said: self.said(answered.response).await,
        })
    }
}

/// One blob on its way.
struct Upload<'a> {
    client: &'a Client,
    registry: &'a Registry,
    repository: &'a Repository,
    blob: &'a Descriptor,
}

impl Upload<'_> {
    async fn is_there(&self, budget: &mut Budget) -> Result<bool, RegistryError> {
        let (what, path) = (self.what(), format!("blobs/{}", self.blob.digest));
        let ask = Ask::get(self.registry, self.repository, &path, &what);
        let ask = Ask { method: Method::HEAD, ..ask };
        match self.client.call(&ask, budget).await {
            Ok(answered) => Ok(answered.response.status().as_u16() == 200),
            // a token that may only write, or a repository that is not there yet: the upload decides
            Err(
                RegistryError::NotGranted { .. }
                | RegistryError::NoPush { .. }
                | RegistryError::Answer { .. },
            ) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn what(&self) -> String {
        format!("blob {}", self.blob.digest)
    }

    /// One upload from where it is to its end.
    async fn go_on(
        &self,
        begun: &mut Option<Begun>,
        content: &mut dyn Content,
        sent: &(dyn Fn(u64) + Sync),
        budget: &mut Budget,
    ) -> Result<(), Cut> {
        let what = self.what();
        let read = |reason: io::Error| {
            Cut::Stop(RegistryError::Read { what: what.clone(), reason: Arc::new(reason) })
        };
        *begun = match begun.take() {
            Some(broken) if broken.broken => match self.status(&broken).await {
                Ok(known) => known,
                Err(cut) => {
                    // nobody said that it is gone
                    *begun = Some(broken);
                    return Err(cut);
                }
            },
            other => other,
        };
        let upload = match begun {
            Some(upload) => upload,
            None => begun.insert(self.begin(budget).await?),
        };
        content.seek(SeekFrom::Start(upload.done)).map_err(read)?;
        upload.broken = true;
        while upload.done < self.blob.size {
            let left = self.blob.size - upload.done;
            let most = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            let mut piece = Vec::with_capacity(most);
            (&mut *content).take(most as u64).read_to_end(&mut piece).map_err(read)?;
            if piece.len() < most {
                let short = format!("it has fewer than {} bytes", self.blob.size);
                return Err(read(io::Error::new(io::ErrorKind::UnexpectedEof, short)));
            }
            let end = upload.done + piece.len() as u64;
            let range = format!("{}-{}", upload.done, end - 1);
            let headers = [(CONTENT_TYPE, "application/octet-stream"), (CONTENT_RANGE, &range)];
            let response =
                self.send(Method::PATCH, &upload.to, piece.into(), &headers, 202).await?;
            upload.to = self.next(&response).await?;
            upload.done = end;
            sent(end);
        }
        let mut url = upload.to.clone();
        url.query_pairs_mut().append_pair("digest", &self.blob.digest.to_string());
        let headers = [(CONTENT_LENGTH, "0")];
        let response = self.send(Method::PUT, &url, Bytes::new(), &headers, 201).await?;
        let called = response.headers().get("docker-content-digest").and_then(|v| v.to_str().ok());
        let called = called.and_then(stated_digest);
        if let Some(called) = called.filter(|called| *called != self.blob.digest) {
            return Err(Cut::Stop(RegistryError::Integrity {
                what,
                registry: self.registry.clone(),
                repository: self.repository.clone(),
                reason: format!("the registry calls it {called}"),
            }));
        }
        Ok(())
    }

    async fn begin(&self, budget: &mut Budget) -> Result<Begun, Cut> {
        let what = self.what();
        let begin = Ask::get(self.registry, self.repository, "blobs/uploads/", &what)
            .with(CONTENT_LENGTH, "0");
        let begin = Ask { method: Method::POST, body: Some(Bytes::new()), ..begin };
        let answered = self.client.call(&begin, budget).await?;
        // what passes was sent again already
        let response = self.client.taken(&begin, answered, 202).await.map_err(Cut::Stop)?;
        Ok(Begun { to: self.next(&response).await?, done: 0, broken: false })
    }

    /// How much of an upload that broke off the registry has; `None` when it does not tell, and
    /// when it has nothing.
    async fn status(&self, upload: &Begun) -> Result<Option<Begun>, Cut> {
        let what = self.what();
        let to = To::Address(&upload.to);
        let ask = Ask { to, ..Ask::get(self.registry, self.repository, "", &what) };
        let asked = self.client.call(&ask, &mut self.client.0.transport.once()).await;
        let Answered { response } = match asked {
            Ok(answered) => answered,
            Err(error @ RegistryError::Unreachable { .. }) => return Err(error.into()),
            Err(error) => {
                tracing::debug!(%what, %error, "the registry does not tell how far the upload is");
                return Ok(None);
            }
        };
        if passes(response.status().as_u16()) {
            let wanted = retry_after(response.headers());
            let answered = Answered { response };
            let Err(error) = self.client.taken(&ask, answered, 204).await else { return Ok(None) };
            return Err(Cut::Again(error, wanted));
        }
        if response.status() != StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let range = response.headers().get(RANGE).and_then(|value| value.to_str().ok());
        let Some(done) = range.and_then(taken_bytes).filter(|done| *done <= self.blob.size) else {
            return Ok(None);
        };
        let to = if response.headers().contains_key(LOCATION) {
            self.next(&response).await?
        } else {
            upload.to.clone()
        };
        tracing::debug!(%what, done, "the upload goes on");
        Ok(Some(Begun { to, done, broken: false }))
    }

    /// A piece, once: the same bytes a second time would stand behind the first.
    async fn send(
        &self,
        method: Method,
        to: &Url,
        body: Bytes,
        headers: &[(reqwest::header::HeaderName, &str)],
        success: u16,
    ) -> Result<Response, Cut> {
        let what = self.what();
        let mut ask = Ask {
            method,
            to: To::Address(to),
            body: Some(body),
            ..Ask::get(self.registry, self.repository, "", &what)
        };
        for (name, value) in headers {
            ask = ask.with(name.clone(), value);
        }
        let answered = self.client.call(&ask, &mut self.client.0.transport.once()).await?;
        let status = answered.response.status().as_u16();
        let wanted = retry_after(answered.response.headers());
        self.client.taken(&ask, answered, success).await.map_err(|error| match status {
            // 404: the upload is unknown by now; 416: it has another length than we think
            404 | 416 => Cut::Again(error, wanted),
            status if passes(status) => Cut::Again(error, wanted),
            _ => Cut::Stop(error),
        })
    }

    /// Where the next bytes go: on the registry's own host, whatever it says.
    async fn next(&self, response: &Response) -> Result<Url, Cut> {
        let what = self.what();
        let bad = |reason: &str| Cut::Stop(protocol(response.url(), &what, reason));
        let text = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let text = text.ok_or_else(|| bad("it does not say where the bytes go"))?;
        let to = response.url().join(text).map_err(|_| bad("its upload address is no URL"))?;
        let (_, endpoint) = self.client.endpoint(self.registry, Some(self.repository)).await?;
        if Realm::of(&to).as_ref() != Some(&endpoint.origin) {
            let reason = format!(
                "its upload address is at {}://{}, and not on its own host: nothing was sent there",
                to.scheme(),
                host_of(&to)
            );
            return Err(bad(&reason));
        }
        Ok(to)
    }
}

/// Whether the same may be answered otherwise a little later.
fn passes(status: u16) -> bool {
    matches!(status, 429 | 500 | 502..=504)
}

/// How many bytes `0-N` are; none where that may also mean no byte at all.
fn taken_bytes(range: &str) -> Option<u64> {
    let last: u64 = range.trim().trim_start_matches("bytes=").strip_prefix("0-")?.parse().ok()?;
    last.checked_add(1).filter(|_| last > 0)
}

#[cfg(test)]
mod tests {
    use super::taken_bytes;

    #[test]
    fn a_range_says_how_much_is_there() {
        assert_eq!(taken_bytes("0-999"), Some(1000));
        assert_eq!(taken_bytes("bytes=0-1"), Some(2));
        // what docker-registry says of an empty upload, and of one byte
        for nothing in ["0-0", "", "0-", "5-9", "0--1", "0-x", "0-18446744073709551615"] {
            assert_eq!(taken_bytes(nothing), None, "{nothing}");
        }
    }
}
