//! The store as a conversion's memory: its SIFs are the packs.
//!
//! Indexes of a user's own store only, and only those that this user's conversions are known to have written
//! (`store/witness.rs`); what is copied is hashed again. So a wrong index costs time and never changes a byte of a SIF.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use super::convert::Memory;
use crate::layer::LayerIndex;
use crate::oci::DiffId;
use crate::pin::Recipe;
use crate::sealed::Seen;
use crate::squashfs::{Pack, PackIndex, SortedPack};
use crate::store::{Store, StoreError, StoredPack, StoredSif};

/// SIFs that are asked at most, and bytes of their indexes, which are held in memory.
const MAX_PACKS: usize = 32;
const MAX_INDEXES: usize = 64 << 20;

/// A store's indexes for a recipe.
#[derive(Debug)]
pub struct Remembered<'a> {
    store: &'a Store,
    recipe: &'a Recipe,
    /// By what messages call a pack, its index.
    indexes: HashMap<String, PathBuf>,
}

impl<'a> Remembered<'a> {
    /// What the store has for this recipe.
    #[must_use]
    pub fn new(store: &'a Store, recipe: &'a Recipe) -> Self {
        Self { store, recipe, indexes: HashMap::new() }
    }

    /// Whether there is an index of a layer; it was not looked into.
    #[must_use]
    pub fn knows(&self, diff_id: &DiffId) -> bool {
        self.store.has_layer_index(self.recipe, diff_id)
    }

    /// Keeps the index of a SIF that is in the store now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_pack(&self, pack: &SortedPack, sif: &StoredSif) -> Result<(), StoreError> {
        let mut incoming = self.store.incoming()?;
        let path = incoming.path().to_owned();
        let mut seen = Seen::new(incoming.file_mut());
        let written = pack.write(&sif.digest, sif.size, &mut seen);
        written.map_err(StoreError::io("cannot write", &path))?;
        let seal = seen.seal();
        self.store.publish_pack(incoming, self.recipe, &sif.digest, &seal)
    }

    fn pack(&mut self, stored: &StoredPack) -> Option<Pack> {
        let file = self.store.open_own(&stored.sif)?;
        let size = file.metadata().ok()?.len();
        let index = self.store.pack_index(self.recipe, stored)?;
        let index = PackIndex::read(index, &stored.digest, size)?;
        let name = stored.sif.display().to_string();
        self.indexes.insert(name.clone(), stored.index.clone());
        Some(Pack { name, file, index })
    }
}

impl Memory for Remembered<'_> {
    fn packs(&mut self) -> Vec<Pack> {
        let (mut packs, mut bytes) = (Vec::new(), 0);
        for stored in self.store.packs(self.recipe) {
            // what cannot be read, or has a damaged index, only saves no work
            let Some(pack) = self.pack(&stored) else { continue };
            bytes += pack.index.size();
            if bytes > MAX_INDEXES && !packs.is_empty() {
                break;
            }
            packs.push(pack);
            if packs.len() == MAX_PACKS {
                break;
            }
        }
        packs
    }

    fn layer(&mut self, diff_id: &DiffId) -> Option<LayerIndex> {
        let index = self.store.layer_index(self.recipe, diff_id)?;
        LayerIndex::read(index, diff_id, self.recipe.block_size)
    }

    fn damaged(&mut self, pack: &str) {
        if let Some(index) = self.indexes.get(pack) {
            // if it stays, the next conversion notices the same
            let _ = fs::remove_file(index);
        }
    }

    fn keep_layer(
        &mut self,
        diff_id: &DiffId,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut incoming = self.store.incoming().map_err(io::Error::other)?;
        let mut out = BufWriter::with_capacity(64 << 10, incoming.file_mut());
        let mut seen = Seen::new(&mut out);
        write(&mut seen)?;
        let seal = seen.seal();
        out.flush()?;
        drop(out);
        let kept = self.store.publish_layer_index(incoming, self.recipe, diff_id, &seal);
        kept.map_err(io::Error::other)
    }

    fn spare(&mut self) -> Option<File> {
        tempfile::tempfile_in(self.store.root().join("tmp")).ok()
    }
}
