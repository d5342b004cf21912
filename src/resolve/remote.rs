//! The documents of a repository, for a walk through its indexes.

use super::drift::is_unreadable;
use crate::oci::walk::Documents;
use crate::oci::{Descriptor, Document, ImageConfig, Registry, Repository};
use crate::registry::{Client, RegistryError, Wanted};

/// A repository of a registry.
pub(super) struct Remote<'a> {
    pub(super) client: &'a Client,
    pub(super) registry: &'a Registry,
    pub(super) repository: &'a Repository,
}

impl Documents for Remote<'_> {
    type Error = RegistryError;

    async fn document(&mut self, of: &Descriptor) -> Result<(Vec<u8>, Document), RegistryError> {
        let wanted = Wanted::Digest(of.digest);
        let fetched = self.client.manifest(self.registry, self.repository, &wanted).await?;
        Ok((fetched.bytes, fetched.document))
    }

    async fn config(&mut self, of: &Descriptor) -> Result<(Vec<u8>, ImageConfig), RegistryError> {
        self.client.config(self.registry, self.repository, of).await
    }

    fn is_its_own(error: &RegistryError) -> bool {
        is_unreadable(error)
    }
}
