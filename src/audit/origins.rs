//! Which repositories images came from, as far as the ledger knows.

use std::collections::{BTreeMap, BTreeSet};

use super::surroundings::Surroundings;
use crate::ledger::index::ImageName;
use crate::oci::{Digest, Sha256Digest};

/// Jobs of one image that are looked at: the newest of them names the repository.
const MOST: usize = 5;

/// `registry/repository` of each manifest that a job in the ledger used.
pub fn repositories(
    here: &dyn Surroundings,
    manifests: impl IntoIterator<Item = Digest>,
) -> BTreeMap<Digest, String> {
    let wanted: BTreeSet<Digest> = manifests.into_iter().collect();
    let name = |manifest: Digest| {
        // a ledger that cannot be read names nothing
        let view = here.of_image(&ImageName::Digest(*manifest.bytes()), MOST).ok()?;
        let mut pins = view.jobs().rev().filter_map(|job| job.last().image.pin());
        let pin = pins.find(|pin| pin.manifest == manifest)?;
        Some((manifest, format!("{}/{}", pin.registry, pin.repository)))
    };
    wanted.into_iter().filter_map(name).collect()
}
