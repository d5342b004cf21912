//! The documents of a pinned image, checked against the pin.

use super::{Client, RegistryError, Wanted};
use crate::oci::{Descriptor, Digest, Document, DocumentError, ImageConfig, Manifest};
use crate::oci::{Registry, Repository};
use crate::pin::Pin;

/// A manifest and its configuration: bytes as they were hashed, and what they say.
#[derive(Clone, Debug)]
pub struct ImageDocuments {
    /// The manifest's bytes.
    pub manifest_bytes: Vec<u8>,
    /// The manifest.
    pub manifest: Manifest,
    /// The configuration's bytes.
    pub config_bytes: Vec<u8>,
    /// The configuration.
    pub config: ImageConfig,
}

impl Client {
    /// Fetches manifest and configuration of a pin.
    ///
    /// # Errors
    /// [`RegistryError::Integrity`] when the registry serves other bytes, or the manifest names
    /// another configuration than the pin; else as [`Client::manifest`] and [`Client::blob`].
    pub async fn image(&self, pin: &Pin) -> Result<ImageDocuments, RegistryError> {
        let wanted = Wanted::Digest(pin.manifest);
        let fetched = self.manifest(&pin.registry, &pin.repository, &wanted).await?;
        let corrupt = |reason: &str| RegistryError::Integrity {
            what: format!("manifest {}", pin.manifest),
            registry: pin.registry.clone(),
            repository: pin.repository.clone(),
            reason: reason.to_owned(),
        };
        let Document::Manifest(manifest) = fetched.document else {
            return Err(corrupt("the pin calls it a manifest, and it is an index"));
        };
        if manifest.config.digest != Digest::from(pin.config) {
            return Err(corrupt("it names another configuration than the pin"));
        }
        let (config_bytes, config) =
            self.config(&pin.registry, &pin.repository, &manifest.config).await?;
        Ok(ImageDocuments { manifest_bytes: fetched.bytes, manifest, config_bytes, config })
    }

    /// Fetches an image's configuration.
    ///
    /// # Errors
    /// [`RegistryError::Document`] when it is none, else as [`Client::blob_bytes`].
    pub async fn config(
        &self,
        registry: &Registry,
        repository: &Repository,
        descriptor: &Descriptor,
    ) -> Result<(Vec<u8>, ImageConfig), RegistryError> {
        let limit = (self.0.options.limits.config, "limits.config_bytes");
        // the manifest that names it was granted just now, and its bytes are no other's
        let known = self.0.known.find(&descriptor.digest);
        let bytes = match known.filter(|bytes| bytes.len() as u64 == descriptor.size) {
            Some(bytes) => bytes,
            None => self.blob_bytes(registry, repository, descriptor, limit).await?,
        };
        self.0.known.keep(descriptor.digest, &bytes);
        let config = serde_json::from_slice(&bytes).map_err(|e| {
            let reason = DocumentError::Config(e);
            RegistryError::Document {
                what: format!("the configuration {}", descriptor.digest),
                registry: registry.clone(),
                repository: repository.clone(),
                words: self.0.transport.words(&reason.to_string()),
                reason: reason.into(),
            }
        })?;
        Ok((bytes, config))
    }
}
