//! What each source says of a repository, for people.

use super::CredentialError;
use crate::secret::{Candidates, Realm};

/// What every source says of a repository: [`Chain::explain`].
#[derive(Debug)]
pub struct Explanation {
    /// The realms that may see a credential, besides the registry's own host.
    pub realms: Vec<Realm>,
    /// In the order in which they are asked, up to the one that is broken.
    pub sources: Vec<SourceReport>,
}

/// What one source says.
#[derive(Debug)]
pub struct SourceReport {
    /// Its name.
    pub name: &'static str,
    /// What it has.
    pub found: Candidates,
    /// What was read for it, and what of that is about something else: a sentence for each file.
    pub read: Vec<String>,
    /// Why it stops the search.
    pub broken: Option<CredentialError>,
}
