//! What all sources of one run share: what they may read, and what was answered.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use super::{Keeper, Settings, Vault};
use crate::secret::{Credential, Secret};

/// What a helper answered, kept for the run: the error is its reason.
pub(super) type Answered = Result<Option<Credential>, String>;

/// What the sources share.
pub(super) struct Run {
    pub(super) settings: Settings,
    /// What the keyring answered, so that it is asked once a run.
    pub(super) unlocked: Mutex<HashMap<String, Secret>>,
    /// What helpers answered for a registry, by both names.
    pub(super) helped: Mutex<HashMap<(String, String), Answered>>,
    /// What was warned about.
    warned: Mutex<BTreeSet<String>>,
}

impl Run {
    /// Nothing is read yet.
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            unlocked: Mutex::default(),
            helped: Mutex::default(),
            warned: Mutex::default(),
        }
    }

    /// Tells the user; each sentence once.
    pub(super) fn warn(&self, sentence: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(warn) = self.settings.warn.as_ref().filter(|_| !warned.contains(sentence)) {
            warn(sentence);
            warned.insert(sentence.to_owned());
        }
    }

    pub(super) fn vault(&self, place: Keeper) -> Option<&dyn Vault> {
        match place {
            Keeper::Keyring => self.settings.keyring.as_deref(),
            Keeper::Kernel => self.settings.kernel.as_deref(),
            Keeper::File => None,
        }
    }
}
