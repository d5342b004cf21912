//! Names that stand for a SIF of a hub: the file that each is pinned to.
//!
//! ```toml
//! [[hub]]
//! name = "lolcow"
//! asked = "shub://GodloveD/lolcow:latest"
//! sif = "sha256:..."          # of the whole file: a hub has no other digests
//! resolved_at = "2026-01-02T03:04:05Z"
//! ```
//!
//! The lock does not say which processor the file is for. The file says it itself when it is used.

use super::{Finding, HubEntry, Named};
use crate::oci::{HubName, SifDigest};

/// Puts a file under a name, and says whether it is another one than before.
pub(super) fn put(hubs: &mut Vec<HubEntry>, name: &str, asked: HubName, sif: SifDigest) -> bool {
    let resolved_at = jiff::Timestamp::now();
    let new = HubEntry { name: name.to_owned(), asked, sif, resolved_at };
    match hubs.iter_mut().find(|entry| entry.name == name) {
        Some(old) if old.sif == sif => {
            old.asked = new.asked;
            false
        }
        Some(old) => {
            *old = new;
            true
        }
        None => {
            hubs.push(new);
            hubs.sort_by(|one, other| one.name.cmp(&other.name));
            true
        }
    }
}

/// The file of a name, or of what was asked for; of a name only when it still stands for that.
pub(super) fn find(hubs: &[HubEntry], name: Option<&str>, meant: &HubName) -> Option<SifDigest> {
    let place = |of: &HubName| (of.name().to_owned(), of.tag.clone());
    let is = |entry: &&HubEntry| {
        let same = entry.asked == *meant
            || place(&entry.asked) == place(meant) && meant.sif == Some(entry.sif);
        same && name.is_none_or(|name| name == entry.name)
    };
    hubs.iter().find(is).map(|entry| entry.sif)
}

/// What differs of the names of hubs; whether a name has another kind by now is said too.
pub(super) fn differences(hubs: &[HubEntry], named: &[(String, Named)]) -> Vec<Finding> {
    let differs = |entry: &HubEntry| match named.iter().find(|(name, _)| *name == entry.name) {
        None => Some(Finding::NotNamed { name: entry.name.clone() }),
        Some((_, Named::Hub(meant))) if *meant == entry.asked => None,
        Some((name, meant)) => Some(Finding::Changed {
            name: name.clone(),
            locked: Box::new(Named::Hub(entry.asked.clone())),
            named: Box::new(meant.clone()),
        }),
    };
    hubs.iter().filter_map(differs).collect()
}
