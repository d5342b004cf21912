//! Which SIF a manifest digest gave under a recipe.
//!
//! `pins/HEX/RECIPE.json`: `{"schema":1,"manifest":"sha256:..","recipe":{..},"sif":"sha256:..","size":N}`, and
//! `"signed_by":"ed25519:.."` when it was not made here but taken on somebody's word, and `"tree":"sha256:.."`, the root of
//! its hash tree, when it was. `"seen"` is what the
//! SIF's file was when its bytes had been hashed; one that is another now is hashed again before it is
//! handed out, and what is damaged goes to the trash (`sound.rs`).
//! A mapping saves work and proves nothing: whether this user made the SIF from the manifest says the
//! ledger (`witness.rs`), and the SIF itself is measured when it runs.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::seen::Seen;
use super::{Incoming, Store, StoreError, clock, safe};
use crate::oci::{Digest, Sha256Digest, SifDigest, TreeRoot};
use crate::pin::Recipe;
use crate::sign::{PublicKey, Statement};

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
    /// On whose word it was taken; `None` when it was made here.
    pub signed_by: Option<PublicKey>,
    /// The root of its hash tree; `None` when nobody that is believed says it.
    pub tree: Option<TreeRoot>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Mapping {
    pub(super) schema: u32,
    pub(super) manifest: Digest,
    pub(super) recipe: Recipe,
    pub(super) sif: SifDigest,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signed_by: Option<PublicKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tree: Option<TreeRoot>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) seen: Option<Seen>,
}

impl Mapping {
    /// Reads a mapping that this user's Moorline wrote; `None` when there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, StoreError> {
        let Some(mut file) = safe::open(path, &[safe::me()])? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = safe::there(file.read_to_end(&mut bytes));
        if read.map_err(StoreError::io("cannot read", path))?.is_none() {
            return Ok(None);
        }
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| StoreError::Mapping { path: path.to_owned(), source })
    }
}

impl Store {
    pub(super) fn mapping_path(&self, manifest: &Digest, recipe: &Recipe) -> PathBuf {
        self.root.join("pins").join(manifest.hex()).join(format!("{}.json", recipe.key()))
    }

    /// The SIF of a manifest under a recipe, when it was converted before and is still there with
    /// the length that it had.
    ///
    /// # Errors
    /// When the mapping cannot be read, or is malformed, or it or the SIF is not this user's.
    pub fn sif(&self, manifest: &Digest, recipe: &Recipe) -> Result<Option<StoredSif>, StoreError> {
        let path = self.mapping_path(manifest, recipe);
        let Some(mapping) = Mapping::read(&path)? else { return Ok(None) };
        if mapping.schema != SCHEMA || mapping.manifest != *manifest || mapping.recipe != *recipe {
            return Ok(None);
        }
        let sif = self.sif_path(&mapping.sif);
        let Some(meta) = safe::file(&sif)? else { return Ok(None) };
        if !self.believes(manifest, recipe, &mapping.sif) {
            return Ok(None);
        }
        let seen = Seen::of(&meta);
        if meta.len() != mapping.size || mapping.seen != Some(seen) {
            if !self.is_sound(&sif, mapping.sif)? {
                return Ok(None);
            }
            // next time it is known by its times again
            let again = Mapping { seen: Some(seen), size: meta.len(), ..mapping.clone() };
            let _ = self.write_mapping(&again, &path);
        }
        // only the order of pruning follows from it; the SIF itself keeps its time, by which a
        // worker knows a file that it measured
        let _ = clock::touch_path(&path);
        let Mapping { sif: digest, signed_by, tree, .. } = mapping;
        let tree = self.tree_of(&digest, tree);
        Ok(Some(StoredSif { digest, size: meta.len(), path: sif, signed_by, tree }))
    }

    /// Names a converted file by its digest and notes what it was made from, and the root of its hash tree.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn publish_sif(
        &self,
        incoming: Incoming,
        manifest: &Digest,
        recipe: &Recipe,
        (digest, size): (SifDigest, u64),
        tree: Option<TreeRoot>,
    ) -> Result<StoredSif, StoreError> {
        self.name_sif(incoming, manifest, recipe, (digest, size), (None, tree))
    }

    /// Names a file, whose bytes were written and so hashed through [`Incoming::write`], as the SIF
    /// that somebody vouches for.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] when its bytes are others than the statement's; nothing is stored then.
    pub fn publish_signed_sif(
        &self,
        incoming: Incoming,
        recipe: &Recipe,
        said: &Statement,
        signed_by: PublicKey,
    ) -> Result<StoredSif, StoreError> {
        let (expected, size) = (Digest::from_bytes(*said.sif.bytes()), said.size);
        let (got, length) = incoming.measured();
        if got != expected || length != size {
            return Err(StoreError::Mismatch { expected, size, got, length });
        }
        self.name_sif(
            incoming,
            &said.manifest,
            recipe,
            (said.sif, size),
            (Some(signed_by), said.tree),
        )
    }

    fn name_sif(
        &self,
        incoming: Incoming,
        manifest: &Digest,
        recipe: &Recipe,
        (digest, size): (SifDigest, u64),
        (signed_by, tree): (Option<PublicKey>, Option<TreeRoot>),
    ) -> Result<StoredSif, StoreError> {
        let path = self.sif_path(&digest);
        safe::file(&path)?;
        incoming.publish(&path)?;
        // before it is mapped: who sees the mapping finds the record
        self.witnessed(manifest, recipe, &digest, tree);
        let mapping = Mapping {
            schema: SCHEMA,
            manifest: *manifest,
            recipe: recipe.clone(),
            sif: digest,
            size,
            signed_by,
            tree,
            seen: safe::file(&path)?.as_ref().map(Seen::of),
        };
        let target = self.mapping_path(manifest, recipe);
        safe::private_child(target.parent().unwrap_or(&self.root))?;
        self.write_mapping(&mapping, &target)?;
        Ok(StoredSif { digest, size, path, signed_by, tree })
    }

    fn write_mapping(&self, mapping: &Mapping, target: &Path) -> Result<(), StoreError> {
        safe::file(target)?;
        let mut bytes = serde_json::to_vec(mapping)
            .map_err(|source| StoreError::Mapping { path: target.to_owned(), source })?;
        bytes.push(b'\n');
        let mut note = self.incoming()?;
        note.write(&bytes)?;
        note.publish(target)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ledger::testing;

    #[test]
    fn a_sif_is_found_again_by_manifest_and_recipe() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("s")).unwrap();
        let recipe = testing::recipe();
        let manifest = Digest::of(b"manifest");
        assert_eq!(store.sif(&manifest, &recipe).unwrap(), None);
        let mut file = store.incoming().unwrap();
        file.write(b"SIF").unwrap();
        let stored =
            store.publish_sif(file, &manifest, &recipe, (SifDigest::of(b"SIF"), 3), None).unwrap();
        assert_eq!(store.sif(&manifest, &recipe).unwrap(), Some(stored.clone()));
        // nothing is named on somebody's word alone
        let key = crate::sign::SigningKey::create(&dir.path().join("key")).unwrap().public();
        let said = Statement {
            manifest: Digest::of(b"signed"),
            recipe: recipe.key(),
            sif: SifDigest::of(b"SIF"),
            size: 3,
            tree: None,
        };
        for (bytes, right) in [(b"SIX".as_slice(), false), (b"SI", false), (b"SIF", true)] {
            let mut file = store.incoming().unwrap();
            file.write(bytes).unwrap();
            let named = store.publish_signed_sif(file, &recipe, &said, key);
            assert_eq!(named.is_ok(), right, "{named:?}");
            let found = store.sif(&said.manifest, &recipe).unwrap();
            assert_eq!(found.and_then(|sif| sif.signed_by), right.then_some(key));
        }
        let other = Recipe { level: 4, ..recipe.clone() };
        assert_eq!(store.sif(&manifest, &other).unwrap(), None);
        fs::remove_file(&stored.path).unwrap();
        assert_eq!(store.sif(&manifest, &recipe).unwrap(), None);
    }
}
