//! What is learnt of an attempt on the way, so that a refusal's receipt says as much as is known.

use super::mounts::Passed;
use crate::job::{Evidence, Name};
use crate::runtime::builtin::Cover;
use crate::worker::{Conditions, MountNote};

/// All of it; the receipt is made from this.
pub(super) struct Report {
    /// What was measured.
    pub(super) evidence: Evidence,
    /// The runtime, or `none` when it did not come to that.
    pub(super) runtime: Name,
    /// The way the root file system was provided.
    pub(super) rootfs: Option<String>,
    /// For people.
    pub(super) notes: Vec<String>,
    /// Notes that the caller is to see now.
    pub(super) warnings: Vec<String>,
    /// Mounts that were skipped.
    pub(super) skipped: Vec<MountNote>,
    /// Mounts below the binds that the container does not show.
    pub(super) passed: Vec<Passed>,
    /// Whether the program is no process below this worker, but a daemon's: what it used is not known here.
    pub(super) elsewhere: bool,
    /// The rest.
    pub(super) conditions: Conditions,
}

impl Report {
    /// Nothing is known.
    pub(super) fn empty() -> Self {
        Self {
            evidence: Evidence::none(),
            runtime: Name::known("none"),
            rootfs: None,
            notes: vec![],
            warnings: vec![],
            skipped: vec![],
            passed: vec![],
            elsewhere: false,
            conditions: Conditions::default(),
        }
    }

    /// What ran is not known any more.
    pub(super) fn nothing_is_known(&mut self) {
        self.evidence = Evidence::none();
    }

    /// Mounts that lie over files of the image.
    pub(super) fn covered_by(&mut self, covers: &[Cover]) {
        self.conditions.covers = covers.iter().map(Cover::said).collect();
    }
}
