//! The ledger as the store's witness of what this user made.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::ledger::{Conversion, Conversions, Kept, Ledger};
use crate::oci::{Digest, SifDigest, TreeRoot};
use crate::pin::Recipe;
use crate::store::Witness;

/// The conversions of a ledger; read when the first question comes.
#[derive(Debug)]
pub(super) struct Records {
    ledger: PathBuf,
    read: Mutex<Option<Conversions>>,
    kept: Mutex<Option<Kept>>,
}

impl Records {
    pub(super) fn of(ledger: &Path) -> Self {
        Self { ledger: ledger.to_owned(), read: Mutex::default(), kept: Mutex::default() }
    }

    /// Asks what was read; reads once more when that says no, because another process may have recorded
    /// it since.
    fn ask(&self, question: impl Fn(&Conversions) -> bool) -> Result<bool, String> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.as_ref().is_some_and(&question) {
            return Ok(true);
        }
        let now = Conversions::read(&self.ledger).map_err(|error| error.to_string())?;
        Ok(question(read.insert(now)))
    }
}

impl Witness for Records {
    fn knows(&self, manifest: &Digest, recipe: &Recipe, sif: &SifDigest) -> Result<bool, String> {
        self.ask(|known| known.holds(manifest, recipe, sif))
    }

    fn made(&self, sif: &SifDigest) -> bool {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        // many are asked for at once, none of them a moment old
        let known = match read.take() {
            Some(known) => known,
            None => Conversions::read(&self.ledger).unwrap_or_default(),
        };
        read.insert(known).made(sif)
    }

    fn tree(&self, sif: &SifDigest) -> Option<TreeRoot> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        // asked for once it is known that this user made it, so it was read by then
        read.as_ref()?.tree(sif)
    }

    fn note(
        &self,
        manifest: &Digest,
        recipe: &Recipe,
        sif: &SifDigest,
        tree: Option<TreeRoot>,
    ) -> Result<(), String> {
        if self.knows(manifest, recipe, sif)? && (tree.is_none() || self.tree(sif) == tree) {
            return Ok(());
        }
        let (manifest, recipe, sif) = (*manifest, recipe.clone(), *sif);
        let made = Conversion { manifest, recipe, sif, tree };
        let ledger = Ledger::open(&self.ledger).map_err(|error| error.to_string())?;
        ledger.converted(&made).map_err(|error| error.to_string())
    }
    fn kept(&self, kind: &str, recipe: &Recipe, seal: &[u8; 32]) -> bool {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.take().filter(|kept| !kept.is_old());
        let known = known.unwrap_or_else(|| Kept::read(&self.ledger));
        kept.insert(known).holds(kind, &recipe.key(), seal)
    }

    fn keep(&self, kind: &str, recipe: &Recipe, seal: &[u8; 32]) -> Result<(), String> {
        Kept::keep(&self.ledger, kind, &recipe.key(), seal).map_err(|error| error.to_string())
    }
}
