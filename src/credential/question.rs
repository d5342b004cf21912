//! What a source is asked.

use std::cell::RefCell;

use super::file::Row;
use super::run::Run;
use crate::oci::{Registry, Repository, without_users};
use crate::secret::{Candidate, Credential, Realm, Secret};

/// How many keys are listed at most.
const MOST_KEYS: usize = 8;

/// Says that a file was read, and which of its keys are about something else.
pub(super) fn read_sentence(place: &str, others: &[String]) -> String {
    if others.is_empty() {
        return format!("read {place}");
    }
    let shown: Vec<&str> = others.iter().take(MOST_KEYS).map(String::as_str).collect();
    let more = others.len() - shown.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let keys = shown.join(", ");
    format!("read {place}; these keys do not cover the image: {}{more}", without_users(&keys))
}

/// What a source is asked.
pub(crate) struct SourceQuestion<'a> {
    pub(super) run: &'a Run,
    pub(super) registry: &'a Registry,
    pub(super) repository: &'a Repository,
    /// The stored entries for it, longest prefix first.
    pub(super) rows: Vec<&'a Row>,
    /// Every realm that is known for the registry.
    pub(super) realms: Vec<Realm>,
    /// What was read on the way: a sentence for each file or variable.
    pub(super) read: RefCell<Vec<String>>,
}

impl SourceQuestion<'_> {
    /// A variable that is set and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.run.settings.environment.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    pub(super) fn candidate(&self, username: &str, password: Secret, source: String) -> Candidate {
        let credential = Credential { username: username.to_owned(), password };
        Candidate { credential, source, realms: self.realms.clone() }
    }
}
