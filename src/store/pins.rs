//! Which SIF a manifest digest gave under a recipe.
//!
//! `pins/HEX/RECIPE.json`: `{"schema":1,"manifest":"sha256:..","recipe":{..},"sif":"sha256:..","size":N}`.
//! A mapping saves work and proves nothing: the SIF itself is measured when it runs.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Incoming, Store, StoreError, private_dir};
use crate::oci::{Digest, Sha256Digest, SifDigest};
use crate::pin::Recipe;

const SCHEMA: u32 = 1;

/// A converted image in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSif {
    /// The digest of the whole file.
    pub digest: SifDigest,
    /// Its length in bytes.
    pub size: u64,
    /// Where it lies.
    pub path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Mapping {
    schema: u32,
    manifest: Digest,
    recipe: Recipe,
    sif: SifDigest,
    size: u64,
}

impl Store {
    fn mapping_path(&self, manifest: &Digest, recipe: &Recipe) -> PathBuf {
        self.root.join("pins").join(manifest.hex()).join(format!("{}.json", recipe.key()))
    }

    /// The SIF of a manifest under a recipe, when it was converted before and is still there with
    /// the length that it had.
    ///
    /// # Errors
    /// When the mapping cannot be read, or is malformed.
    pub fn sif(&self, manifest: &Digest, recipe: &Recipe) -> Result<Option<StoredSif>, StoreError> {
        let path = self.mapping_path(manifest, recipe);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StoreError::io("cannot read", &path)(e)),
        };
        let mapping: Mapping = serde_json::from_slice(&bytes)
            .map_err(|source| StoreError::Mapping { path: path.clone(), source })?;
        if mapping.schema != SCHEMA || mapping.manifest != *manifest || mapping.recipe != *recipe {
            return Ok(None);
        }
        let sif = self.sif_path(&mapping.sif);
        let there = fs::metadata(&sif).is_ok_and(|m| m.is_file() && m.len() == mapping.size);
        Ok(there.then_some(StoredSif { digest: mapping.sif, size: mapping.size, path: sif }))
    }

    /// Names a converted file by its digest and notes what it was made from.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn publish_sif(
        &self,
        incoming: Incoming,
        manifest: &Digest,
        recipe: &Recipe,
        digest: SifDigest,
        size: u64,
    ) -> Result<StoredSif, StoreError> {
        let path = self.sif_path(&digest);
        incoming.publish(&path)?;
        let mapping = Mapping {
            schema: SCHEMA,
            manifest: *manifest,
            recipe: recipe.clone(),
            sif: digest,
            size,
        };
        let target = self.mapping_path(manifest, recipe);
        private_dir(target.parent().unwrap_or(&self.root))?;
        let mut bytes = serde_json::to_vec(&mapping)
            .map_err(|source| StoreError::Mapping { path: target.clone(), source })?;
        bytes.push(b'\n');
        let mut note = self.incoming()?;
        note.write(&bytes)?;
        note.publish(&target)?;
        Ok(StoredSif { digest, size, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pin::Codec;

    #[test]
    fn a_sif_is_found_again_by_manifest_and_recipe() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("s")).unwrap();
        let recipe = Recipe {
            schema: 1,
            layout: 1,
            template: 1,
            codec: Codec::Zstd,
            codec_version: "1.5.7".into(),
            level: 3,
            block_size: 131_072,
        };
        let manifest = Digest::of(b"manifest");
        assert_eq!(store.sif(&manifest, &recipe).unwrap(), None);
        let mut file = store.incoming().unwrap();
        file.write(b"SIF").unwrap();
        let stored = store.publish_sif(file, &manifest, &recipe, SifDigest::of(b"SIF"), 3).unwrap();
        assert_eq!(store.sif(&manifest, &recipe).unwrap(), Some(stored.clone()));
        let other = Recipe { level: 4, ..recipe.clone() };
        assert_eq!(store.sif(&manifest, &other).unwrap(), None);
        fs::remove_file(&stored.path).unwrap();
        assert_eq!(store.sif(&manifest, &recipe).unwrap(), None);
    }
}
