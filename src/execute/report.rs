//! What is learnt of an attempt on the way, so that a refusal's receipt says as much as is known.

use std::path::Path;

use super::mounts::{NOTES, Passed};
use crate::job::{Access, Evidence, Name};
use crate::runtime::Bind;
use crate::runtime::builtin::Cover;
use crate::worker::{Conditions, MountMade, MountNote};

/// How many bytes of the program's words a receipt holds: a command line may have two million.
const ARGV: usize = 64 << 10;

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

    /// The words that are started in the container.
    pub(super) fn starts(&mut self, words: &[String]) {
        let mut room = ARGV;
        let mut fits = |word: &&String| room.checked_sub(word.len() + 1).map(|left| room = left);
        let argv: Vec<String> =
            words.iter().map_while(|word| fits(&word).map(|()| word.clone())).collect();
        if argv.len() < words.len() {
            self.notes.push(format!(
                "the receipt holds the first {} of the program's {} words",
                argv.len(),
                words.len()
            ));
        }
        self.conditions.argv = argv;
    }

    /// Mounts that the container shows: those of the job, and its working directory.
    pub(super) fn shows(&mut self, binds: &[Bind]) {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let made = |bind: &Bind| MountMade {
            source: text(&bind.source),
            target: text(&bind.target),
            ro: bind.access == Access::Ro,
        };
        self.conditions.mounts = binds.iter().take(NOTES).map(made).collect();
        if binds.len() > NOTES {
            self.notes.push(format!("the receipt holds {NOTES} of {} mounts", binds.len()));
        }
    }

    /// Mounts that lie over files of the image.
    pub(super) fn covered_by(&mut self, covers: &[Cover]) {
        self.conditions.covers = covers.iter().map(Cover::said).collect();
    }
}
