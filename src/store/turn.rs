//! One conversion for many: whose turn it is to make an image.

use super::lease::{Attempt, Candidate};
use super::{Holder, Lease, Store, StoreError, StoredSif};
use crate::oci::{Digest, Sha256Digest};
use crate::pin::Recipe;

/// What came of asking for the turn.
#[derive(Debug)]
pub enum Turn {
    /// The image is there; perhaps somebody made it meanwhile.
    Made(StoredSif),
    /// This process makes it, and keeps the lease until that is published.
    Mine(Lease),
}

impl Store {
    /// Waits until the image of a manifest under a recipe is there, or it is this process' turn to
    /// make it. `wait` is told whenever somebody else is waited for, once for each holder; `None` when
    /// nothing can be read of him. One lease covers download and conversion: a layer that two different
    /// images share may be fetched twice at once, which costs a download and is harmless.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn turn(
        &self,
        manifest: &Digest,
        recipe: &Recipe,
        wait: &mut dyn FnMut(Option<&Holder>),
    ) -> Result<Turn, StoreError> {
        let dir = self.root.join("leases");
        let name = format!("convert-{}-{}", manifest.hex(), recipe.key());
        let what = format!("convert {manifest}");
        let mut candidate = Candidate::new(&dir, &name, &what, self.timing);
        let mut told = None;
        loop {
            if let Some(sif) = self.sif(manifest, recipe)? {
                return Ok(Turn::Made(sif));
            }
            match candidate.attempt()? {
                Attempt::Held(lease) => {
                    // it may have been published between the look and the lease
                    return Ok(match self.sif(manifest, recipe)? {
                        Some(sif) => Turn::Made(sif),
                        None => Turn::Mine(lease),
                    });
                }
                Attempt::Busy(holder) => {
                    let who = holder.as_ref().map(|h| (h.host.clone(), h.pid));
                    if told.as_ref() != Some(&who) {
                        wait(holder.as_ref());
                        told = Some(who);
                    }
                }
            }
            std::thread::sleep(self.timing.poll);
        }
    }
}
