//! Blobs, streamed: hashed while they come, resumed where a connection broke.

use std::io::{self, Write};

use reqwest::Response;
use reqwest::header::{CONTENT_RANGE, RANGE};

use super::call::{Ask, protocol};
use super::transport::host_of;
use super::{Client, RegistryError};
use crate::failure::chain;
use crate::oci::{Descriptor, Digest, Hasher, Registry, Repository};

impl Client {
    /// Streams a blob into `sink`, and says `Ok` only when exactly the descriptor's bytes went
    /// there. On any error what the sink got is worthless and must be thrown away.
    ///
    /// # Errors
    /// [`RegistryError::Integrity`] when size or digest differ, [`RegistryError::Write`] when the
    /// sink fails, else as [`Client::manifest`].
    pub async fn blob(
        &self,
        registry: &Registry,
        repository: &Repository,
        blob: &Descriptor,
        sink: &mut (impl Write + Send),
    ) -> Result<(), RegistryError> {
        let mut sink = Hashing { sink, hasher: Hasher::default() };
        let digest = |sink: &Hashing<_>| sink.hasher.clone().finish();
        self.blob_hashed(registry, repository, blob, &mut sink, digest).await
    }

    /// As [`Client::blob`], into a sink that hashes what it takes; `digest` asks it at the end.
    ///
    /// # Errors
    /// As [`Client::blob`].
    pub async fn blob_hashed<S: Write + Send>(
        &self,
        registry: &Registry,
        repository: &Repository,
        blob: &Descriptor,
        sink: &mut S,
        digest: impl Fn(&S) -> Digest + Send,
    ) -> Result<(), RegistryError> {
        let what = format!("blob {}", blob.digest);
        let path = format!("blobs/{}", blob.digest);
        let corrupt = |reason: String| RegistryError::Integrity {
            what: what.clone(),
            registry: registry.clone(),
            repository: repository.clone(),
            reason,
        };
        let mut done = 0_u64;
        let mut budget = self.0.transport.budget();
        while done < blob.size || done == 0 {
            let mut ask = Ask::get(registry, repository, &path, &what);
            if done > 0 {
                ask = ask.with(RANGE, &format!("bytes={done}-"));
            }
            let answered = self.call(&ask, &mut budget).await?;
            let mut response = self.success(&ask, answered).await?;
            let host = host_of(response.url());
            // a server that ignores Range sends again what is there already
            let mut skip = if response.status().as_u16() == 206 {
                if starts_at(&response) != Some(done) {
                    return Err(protocol(response.url(), &what, "it sent another part than asked"));
                }
                0
            } else {
                done
            };
            let coming = blob.size - done + skip;
            if let Some(length) = response.content_length()
                && length != coming
            {
                return Err(corrupt(format!("it has {length} bytes where {coming} should come")));
            }
            let before = done;
            let ended = loop {
                match response.chunk().await {
                    Ok(Some(chunk)) => {
                        let old = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
                        skip -= old as u64;
                        let fresh = &chunk[old..];
                        done += fresh.len() as u64;
                        if done > blob.size {
                            return Err(corrupt(format!("it has more than {} bytes", blob.size)));
                        }
                        sink.write_all(fresh).map_err(|reason| RegistryError::Write {
                            digest: blob.digest,
                            reason: reason.into(),
                        })?;
                    }
                    Ok(None) => break None,
                    Err(error) => break Some(chain(&error.without_url())),
                }
            };
            if done == blob.size {
                break;
            }
            if done > before {
                budget = self.0.transport.budget(); // it moves: patience starts again
            }
            tracing::debug!(%what, done, size = blob.size, ?ended, "the blob broke off");
            if !budget.spend(None).await {
                return Err(match ended {
                    None => corrupt(format!("it ends after {done} of {} bytes", blob.size)),
                    Some(reason) => RegistryError::Unreachable { doing: "read from", host, reason },
                });
            }
        }
        let digest = digest(sink);
        if digest != blob.digest {
            return Err(corrupt(format!("its bytes have the digest {digest}")));
        }
        Ok(())
    }

    /// A small blob as bytes, of at most as many as a key of the configuration says.
    ///
    /// # Errors
    /// [`RegistryError::TooLarge`] when the descriptor states more than `limit` bytes, else as
    /// [`Client::blob`].
    pub async fn blob_bytes(
        &self,
        registry: &Registry,
        repository: &Repository,
        blob: &Descriptor,
        (limit, key): (u64, &'static str),
    ) -> Result<Vec<u8>, RegistryError> {
        if blob.size > limit {
            return Err(RegistryError::TooLarge {
                what: format!("blob {}", blob.digest),
                host: registry.to_string(),
                limit,
                key,
            });
        }
        let mut bytes = Vec::new();
        self.blob(registry, repository, blob, &mut bytes).await?;
        Ok(bytes)
    }
}

/// Hashes what a sink took.
struct Hashing<'a, S> {
    sink: &'a mut S,
    hasher: Hasher,
}

impl<S: Write> Write for Hashing<'_, S> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(data)?;
        self.hasher.update(&data[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// The first byte of a `Content-Range: bytes FROM-TO/TOTAL`.
fn starts_at(response: &Response) -> Option<u64> {
    let text = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}
