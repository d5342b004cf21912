//! The content of the embedded registry: blobs, manifests and tags, in memory.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;

use crate::oci::{Digest, Index, Sha256Digest};

/// Why an OCI image layout could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file of the layout cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `index.json` is not an index, or a blob's name is no digest.
    #[error("{path} is not an OCI image layout: {reason}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// A manifest as it is served.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) media_type: String,
    pub(super) bytes: Bytes,
}

#[derive(Default)]
struct Content {
    blobs: HashMap<Digest, Bytes>,
    repositories: BTreeMap<String, RepositoryContent>,
}

#[derive(Default)]
struct RepositoryContent {
    manifests: HashMap<Digest, Stored>,
    tags: BTreeMap<String, Digest>,
}

/// What the embedded registry serves. Blobs are shared by all repositories.
#[derive(Default)]
pub struct Images(Mutex<Content>);

impl Images {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a blob (a layer or a configuration) and says its digest.
    pub fn put_blob(&self, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.content().blobs.insert(digest, bytes);
        digest
    }

    /// Serves other bytes under a blob's name from now on, for tests of who believes them.
    pub fn lie(&self, digest: &Digest, bytes: impl Into<Bytes>) {
        self.content().blobs.insert(*digest, bytes.into());
    }

    /// Keeps a manifest or index in a repository and says its digest; nothing is checked.
    pub fn put_manifest(
        &self,
        repository: &str,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        let stored = Stored { media_type: media_type.to_owned(), bytes };
        let mut content = self.content();
        let repository = content.repositories.entry(repository.to_owned()).or_default();
        repository.manifests.insert(digest, stored);
        digest
    }

    /// Makes or moves a tag.
    pub fn tag(&self, repository: &str, tag: &str, digest: Digest) {
        let mut content = self.content();
        let repository = content.repositories.entry(repository.to_owned()).or_default();
        repository.tags.insert(tag.to_owned(), digest);
    }

    /// Removes a tag; the manifest stays, as in GitLab until garbage collection.
    pub fn untag(&self, repository: &str, tag: &str) {
        if let Some(repository) = self.content().repositories.get_mut(repository) {
            repository.tags.remove(tag);
        }
    }

    /// Takes over an OCI image layout (`index.json`, `blobs/sha256/`) from disk; entries named by
    /// `org.opencontainers.image.ref.name` become tags.
    ///
    /// # Errors
    /// When a file cannot be read or is not what the layout says.
    pub fn load_layout(&self, layout: &Path, repository: &str) -> Result<(), LayoutError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| LayoutError::Read { path: path.into(), source })
        };
        let malformed =
            |path: &Path, reason: String| LayoutError::Malformed { path: path.to_owned(), reason };
        let index_file = layout.join("index.json");
        let index: Index = serde_json::from_slice(&read(&index_file)?)
            .map_err(|e| malformed(&index_file, e.to_string()))?;
        let folder = layout.join("blobs/sha256");
        let listed = std::fs::read_dir(&folder)
            .map_err(|source| LayoutError::Read { path: folder.clone(), source })?;
        for entry in listed {
            let entry =
                entry.map_err(|source| LayoutError::Read { path: folder.clone(), source })?;
            let bytes = Bytes::from(read(&entry.path())?);
            let name = format!("sha256:{}", entry.file_name().to_string_lossy());
            if Digest::of(&bytes).to_string() != name {
                return Err(malformed(&entry.path(), "its bytes have another digest".into()));
            }
            // the layout does not say which blobs are manifests; the media type inside does
            if let Some(media_type) = manifest_type(&bytes) {
                self.put_manifest(repository, &media_type, bytes.clone());
            }
            self.put_blob(bytes);
        }
        for entry in index.manifests {
            let digest = entry.descriptor.digest;
            if let Some(Stored { bytes, .. }) = self.manifest(repository, &digest.to_string()) {
                self.put_manifest(repository, &entry.descriptor.media_type, bytes);
            } else if let Some(bytes) = self.blob(&digest) {
                self.put_manifest(repository, &entry.descriptor.media_type, bytes);
            } else {
                return Err(malformed(&index_file, format!("{digest} is not in blobs/sha256")));
            }
            if let Some(tag) = entry.descriptor.annotations.get("org.opencontainers.image.ref.name")
            {
                self.tag(repository, tag, digest);
            }
        }
        Ok(())
    }

    /// The bytes of a manifest in a repository.
    pub fn stored(&self, repository: &str, digest: &Digest) -> Option<Bytes> {
        self.manifest(repository, &digest.to_string()).map(|stored| stored.bytes)
    }

    pub(super) fn blob(&self, digest: &Digest) -> Option<Bytes> {
        self.content().blobs.get(digest).cloned()
    }

    /// The manifest under a tag or a digest.
    pub(super) fn manifest(&self, repository: &str, wanted: &str) -> Option<Stored> {
        let content = self.content();
        let repository = content.repositories.get(repository)?;
        let digest = match wanted.parse() {
            Ok(digest) => digest,
            Err(_) => *repository.tags.get(wanted)?,
        };
        repository.manifests.get(&digest).cloned()
    }

    /// The repositories of a project, sorted.
    pub(super) fn below(&self, project: &str) -> Vec<String> {
        let content = self.content();
        let all = content.repositories.keys();
        all.filter(|path| super::config::is_below(path, project)).cloned().collect()
    }

    /// The tags of a repository, sorted; `None` when there is no such repository.
    pub(super) fn tags(&self, repository: &str) -> Option<Vec<String>> {
        let content = self.content();
        content.repositories.get(repository).map(|r| r.tags.keys().cloned().collect())
    }
}

fn manifest_type(bytes: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: String,
    }
    let typed: Typed = serde_json::from_slice(bytes).ok()?;
    crate::oci::media_type::MANIFESTS
        .contains(&typed.media_type.as_str())
        .then_some(typed.media_type)
}
