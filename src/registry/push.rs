//! Sending: blobs in pieces, then the manifest that names them.
//!
//! ```text
//!  HEAD  blobs/sha256:...                          200: it is there, nothing is sent
//!  POST  blobs/uploads/                            202, Location: where the bytes go
//!  PATCH Location   Content-Range: 0-N, bytes      202, Location: where the next ones go
//!  ...
//!  PUT   Location?digest=sha256:...                201
//!  PUT   manifests/TAG                             201, Docker-Content-Digest: compared
//! ```
//!
//! Source: OCI distribution specification 1.1, "Push". The registry checks the digest at the end, so
//! a piece that was cut or sent twice cannot become a blob; whatever passes (429, 5xx, a reset, an
//! upload that was forgotten) begins the upload again, within the budget.
//!
//! An upload's address is the registry's to choose, but only on its own scheme, host and port: it
//! gets the token and the bytes. Redirects of an upload are not followed.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION};
use reqwest::{Method, Response, Url};

use super::call::{Answered, Ask, To, protocol};
use super::transport::{Budget, host_of, retry_after};
use super::{Client, RegistryError};
use crate::oci::{Descriptor, Digest, Registry, Repository, Sha256Digest, Tag};
use crate::secret::Realm;

/// What one PATCH carries, in bytes; object storage wants at least 5 MiB.
const PIECE: usize = 16 << 20;

/// What can be sent again from its beginning: a file, or bytes in a [`io::Cursor`].
pub trait Content: Read + Seek + Send {}

impl<T: Read + Seek + Send> Content for T {}

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
        loop {
            let (error, wanted) = match upload.whole(content, sent, &mut budget).await {
                Ok(()) => return Ok(true),
                Err(Cut::Stop(error)) => return Err(error),
                Err(Cut::Again(error, wanted)) => (error, wanted),
            };
            tracing::debug!(%registry, %repository, blob = %blob.digest, %error, "an upload broke off");
            if !budget.spend(wanted).await {
                return Err(error);
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
        if let Some(called) = called.filter(|called| *called != digest.to_string()) {
            return Err(RegistryError::Integrity {
                what,
                registry: registry.clone(),
                repository: repository.clone(),
                reason: format!("the registry calls it {called:.80}, it is {digest}"),
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
            said: self.said(answered.response, &answered.hide).await,
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
            Err(RegistryError::NotGranted { .. } | RegistryError::Answer { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn what(&self) -> String {
        format!("blob {}", self.blob.digest)
    }

    /// One upload from its beginning to its end.
    async fn whole(
        &self,
        content: &mut dyn Content,
        sent: &(dyn Fn(u64) + Sync),
        budget: &mut Budget,
    ) -> Result<(), Cut> {
        let what = self.what();
        let read = |reason: io::Error| {
            Cut::Stop(RegistryError::Read { what: what.clone(), reason: Arc::new(reason) })
        };
        content.seek(SeekFrom::Start(0)).map_err(read)?;
        let begin = Ask::get(self.registry, self.repository, "blobs/uploads/", &what)
            .with(CONTENT_LENGTH, "0");
        let begin = Ask { method: Method::POST, body: Some(Bytes::new()), ..begin };
        let answered = self.client.call(&begin, budget).await?;
        // what passes was sent again already
        let response = self.client.taken(&begin, answered, 202).await.map_err(Cut::Stop)?;
        let mut to = self.next(&response).await?;
        let mut done = 0;
        while done < self.blob.size {
            let most = usize::try_from(self.blob.size - done).map_or(PIECE, |left| left.min(PIECE));
            let mut piece = Vec::with_capacity(most);
            (&mut *content).take(most as u64).read_to_end(&mut piece).map_err(read)?;
            if piece.len() < most {
                let short = format!("it has fewer than {} bytes", self.blob.size);
                return Err(read(io::Error::new(io::ErrorKind::UnexpectedEof, short)));
            }
            let end = done + piece.len() as u64;
            let range = format!("{done}-{}", end - 1);
            let headers = [(CONTENT_TYPE, "application/octet-stream"), (CONTENT_RANGE, &range)];
            let response = self.send(Method::PATCH, &to, piece.into(), &headers, 202).await?;
            to = self.next(&response).await?;
            done = end;
            sent(done);
        }
        let mut url = to;
        url.query_pairs_mut().append_pair("digest", &self.blob.digest.to_string());
        let headers = [(CONTENT_LENGTH, "0")];
        let response = self.send(Method::PUT, &url, Bytes::new(), &headers, 201).await?;
        let called = response.headers().get("docker-content-digest").and_then(|v| v.to_str().ok());
        if let Some(called) = called.filter(|called| *called != self.blob.digest.to_string()) {
            return Err(Cut::Stop(RegistryError::Integrity {
                what,
                registry: self.registry.clone(),
                repository: self.repository.clone(),
                reason: format!("the registry calls it {called:.80}"),
            }));
        }
        Ok(())
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
            404 | 416 | 429 | 500 | 502..=504 => Cut::Again(error, wanted),
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
