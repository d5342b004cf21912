//! Credentials: where they come from, and where `login` keeps them.
//!
//! ```text
//!  flag > environment > CI > login > DOCKER_AUTH_CONFIG > docker's files > nobody
//!                             \ keyring, kernel keyring or file: wherever `login` put it
//! ```
//!
//! Floor 4. One file per source; the order of [`SOURCES`] is the precedence. Within a source the
//! longest repository prefix comes first, so that two deploy tokens for two projects of one host
//! both work. A source that has nothing to say is skipped; one that is *broken* (unreadable file,
//! half a credential) stops the search and is named: a broken source is never read as "nobody".
//!
//! A credential on the command line is an order: where it is there, no other source is asked.
//!
//! A new source is a file with a `find` function and its line in [`SOURCES`]. It gets a
//! [`Question`], adds [`Candidate`]s to the answer, and takes everything that it reads from the
//! chain: this module reads no environment variable and no home directory. (The keyring's library
//! looks for the user's D-Bus session itself.)
//!
//! Not promised: that a credential is valid; `registry` asks.

mod api;
mod ci;
mod docker;
mod environment;
mod error;
mod file;
mod flag;
mod helper;
mod kernel;
mod keyring;
mod scope;
mod variable;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use api::ListedApi;
pub use error::CredentialError;
use file::{Row, Table};
pub use flag::Explicit;
pub use helper::PATIENCE as HELPER_PATIENCE;
pub use kernel::KernelKeyring;
pub use keyring::{SystemKeyring, Vault, VaultError};
pub use scope::Scope;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::oci::{DOCKER_HUB, Registry, Repository, without_users};
use crate::secret::{Candidate, Candidates, Credential, Realm, Secret};

/// A source: adds what it has for the question.
type Source = fn(&Question<'_>, &mut Candidates) -> Result<(), CredentialError>;

/// The name of the source that `login` fills.
const LOGIN: &str = "login";

/// How many keys are listed at most.
const MOST_KEYS: usize = 8;

/// Says that a file was read, and which of its keys are about something else.
fn read_sentence(place: &str, others: &[String]) -> String {
    if others.is_empty() {
        return format!("read {place}");
    }
    let shown: Vec<&str> = others.iter().take(MOST_KEYS).map(String::as_str).collect();
    let more = others.len() - shown.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let keys = shown.join(", ");
    format!("read {place}; these keys do not cover the image: {}{more}", without_users(&keys))
}

/// All sources by name, the first one wins.
const SOURCES: [(&str, Source); 6] = [
    ("command line", flag::find),
    ("environment", environment::find),
    ("GitLab CI", ci::find),
    (LOGIN, find_logins),
    ("DOCKER_AUTH_CONFIG", docker::find_variable),
    ("docker, podman, apptainer", docker::find),
];

/// What `login` keeps: the longest prefix first, in whichever place its secret lies.
fn find_logins(question: &Question<'_>, found: &mut Candidates) -> Result<(), CredentialError> {
    question.rows.iter().try_for_each(|row| match row.store {
        Place::File => file::find(question, row, found),
        Place::Keyring | Place::Kernel => keyring::find(question, row, found),
    })
}

/// Where Docker Hub's tokens come from; every other registry's realm has to be confirmed.
const HUB_REALM: &str = "https://auth.docker.io";

/// Everything that the sources read.
pub struct Settings {
    /// `--username` with `--password-stdin`.
    pub explicit: Option<Explicit>,
    /// The process environment.
    pub environment: BTreeMap<String, String>,
    /// Our own file, `$XDG_CONFIG_HOME/moorline/credentials.json`; it need not exist.
    pub file: PathBuf,
    /// The keyring; `None` where it must not be asked.
    pub keyring: Option<Box<dyn Vault>>,
    /// The kernel's keyring, where no other answers; `None` where it must not be asked.
    pub kernel: Option<Box<dyn Vault>>,
    /// Token realms from flags or the configuration.
    pub realms: Vec<(Registry, Realm)>,
    /// How long a credential helper may take.
    pub helper_patience: Duration,
    /// Names of further variables that a helper may see, from the user's own configuration.
    pub helper_variables: Vec<String>,
    /// Who is told what a user should know although it is no error; each sentence once.
    pub warn: Option<Warn>,
}

/// Takes a sentence for the user.
pub type Warn = Box<dyn Fn(&str) + Send + Sync>;

impl Settings {
    /// Only our own file.
    #[must_use]
    pub fn file_only(file: PathBuf) -> Self {
        Self {
            explicit: None,
            environment: BTreeMap::new(),
            file,
            keyring: None,
            kernel: None,
            realms: Vec::new(),
            helper_patience: helper::PATIENCE,
            helper_variables: Vec::new(),
            warn: None,
        }
    }
}

/// Where `login` keeps a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The user's keyring.
    Keyring,
    /// The kernel's keyring of this machine.
    Kernel,
    /// Our file, mode 0600.
    File,
}

impl Place {
    /// For sentences.
    #[must_use]
    pub fn described(self) -> &'static str {
        match self {
            Self::Keyring => "the keyring",
            Self::Kernel => "the kernel's keyring",
            Self::File => "the file",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keyring => "keyring",
            Self::Kernel => "kernel keyring",
            Self::File => "file",
        })
    }
}

/// What `login` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where the secret is.
    pub place: Place,
    /// How long it stays there when it is not used; `None`: until `logout`.
    pub lasts: Option<Duration>,
    /// Sentences for the user: why that is not where it was expected to be, what could not be done.
    pub notes: Vec<String>,
}

/// What `logout` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    /// Where the secret was.
    pub place: Place,
    /// Whether it is still there: the place does not answer here, and nobody looks there any more.
    pub remains: bool,
}

/// A stored credential without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// What it is for.
    pub scope: Scope,
    /// The user name.
    pub username: String,
    /// The token realm that was confirmed with it.
    pub realm: Option<Realm>,
    /// Where the secret is.
    pub place: Place,
}

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

/// What a source is asked.
pub(crate) struct Question<'a> {
    chain: &'a Chain,
    registry: &'a Registry,
    repository: &'a Repository,
    /// The stored entries for it, longest prefix first.
    rows: Vec<&'a Row>,
    /// Every realm that is known for the registry.
    realms: Vec<Realm>,
    /// What was read on the way: a sentence for each file or variable.
    read: RefCell<Vec<String>>,
}

impl Question<'_> {
    /// A variable that is set and not empty.
    fn variable(&self, name: &str) -> Option<&str> {
        self.chain.settings.environment.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    fn candidate(&self, username: &str, password: Secret, source: String) -> Candidate {
        let credential = Credential { username: username.to_owned(), password };
        Candidate { credential, source, realms: self.realms.clone() }
    }
}

/// All sources together.
pub struct Chain {
    settings: Settings,
    /// What the keyring answered, so that it is asked once a run.
    unlocked: Mutex<HashMap<String, Secret>>,
    /// What helpers answered for a registry, by both names.
    helped: Mutex<HashMap<(String, String), helper::Answered>>,
    /// What was warned about.
    warned: Mutex<BTreeSet<String>>,
}

impl Chain {
    /// A chain; nothing is read yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            unlocked: Mutex::default(),
            helped: Mutex::default(),
            warned: Mutex::default(),
        }
    }

    fn warn(&self, sentence: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(warn) = self.settings.warn.as_ref().filter(|_| !warned.contains(sentence)) {
            warn(sentence);
            warned.insert(sentence.to_owned());
        }
    }

    /// The credentials for a repository in the order in which they are to be tried. "Nobody" is
    /// not among them: it is what is left when they all were of no use.
    ///
    /// # Errors
    /// When a source is broken, with its name.
    pub fn find(
        &self,
        registry: &Registry,
        repository: &Repository,
    ) -> Result<Candidates, CredentialError> {
        let mut answer = Candidates::default();
        for report in self.explain(registry, repository)?.sources {
            if let Some(broken) = report.broken {
                return Err(broken);
            }
            answer.offered.extend(report.found.offered);
            answer.skipped.extend(report.found.skipped);
        }
        Ok(answer)
    }

    /// The same source by source, for people.
    ///
    /// # Errors
    /// When our own file, which knows the realms, or a variable that names one is broken.
    pub fn explain(
        &self,
        registry: &Registry,
        repository: &Repository,
    ) -> Result<Explanation, CredentialError> {
        let table = file::read(&self.settings.file)?;
        let mut own_file = None;
        let realms = self.realms(&table, registry)?;
        let mut rows: Vec<&Row> =
            table.entries.iter().filter(|row| row.scope.covers(registry, repository)).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.scope.prefix_len()));
        let read = RefCell::default();
        let question =
            Question { chain: self, registry, repository, rows, realms: realms.clone(), read };
        if !table.entries.is_empty() {
            let others = table.entries.iter().filter(|row| !row.scope.covers(registry, repository));
            let others: Vec<String> = others.map(|row| row.scope.to_string()).collect();
            own_file = Some(read_sentence(&self.settings.file.display().to_string(), &others));
        }
        let mut sources = Vec::new();
        for (name, find) in SOURCES {
            let mut found = Candidates::default();
            let broken = find(&question, &mut found).err();
            let last = broken.is_some() || (sources.is_empty() && !found.offered.is_empty());
            let mut read = question.read.take();
            if name == LOGIN {
                read.extend(own_file.take());
            }
            sources.push(SourceReport { name, found, read, broken });
            if last {
                break;
            }
        }
        Ok(Explanation { realms, sources })
    }

    /// Every realm that is configured, was confirmed, or that CI names for its own registry.
    fn realms(&self, table: &Table, registry: &Registry) -> Result<Vec<Realm>, CredentialError> {
        let configured = self.settings.realms.iter().filter(|(r, _)| r.is_same(registry));
        let remembered = table.entries.iter().filter(|row| row.scope.is_of(registry));
        let mut realms: Vec<Realm> = configured.map(|(_, realm)| realm.clone()).collect();
        realms.extend(remembered.filter_map(|row| row.realm.clone()));
        realms.extend(ci::realm(&self.settings.environment, registry)?);
        if registry.as_str() == DOCKER_HUB {
            realms.extend(HUB_REALM.parse::<Realm>().ok());
        }
        realms.sort();
        realms.dedup();
        Ok(realms)
    }

    /// [`Chain::find`] as the registry client wants it.
    #[must_use]
    #[allow(clippy::type_complexity)] // the alias belongs to a neighbour of this floor
    pub fn into_lookup(
        self,
    ) -> Arc<dyn Fn(&Registry, &Repository) -> Result<Candidates, Arc<dyn Failure>> + Send + Sync>
    {
        Arc::new(move |registry, repository| {
            self.find(registry, repository).map_err(|error| Arc::new(error) as Arc<dyn Failure>)
        })
    }

    fn vault(&self, place: Place) -> Option<&dyn Vault> {
        match place {
            Place::Keyring => self.settings.keyring.as_deref(),
            Place::Kernel => self.settings.kernel.as_deref(),
            Place::File => None,
        }
    }

    /// Keeps a credential and the realm that was confirmed with it, in place of an older one for
    /// the same scope. Without a choice the keyring is taken, where none answers the kernel's, and
    /// without that the file; the choice [`Place::Keyring`] is one of the keyrings, never the file.
    ///
    /// # Errors
    /// When the chosen place cannot take it; then nothing has changed.
    pub fn store(
        &self,
        scope: &Scope,
        credential: &Credential,
        realm: Option<&Realm>,
        choice: Option<Place>,
    ) -> Result<Stored, CredentialError> {
        let name = scope.to_string();
        let (place, notes) = self.keep(&name, &credential.password, choice)?;
        let row = Row::new(scope, credential, realm, place);
        let older = file::change(&self.settings.file, |table: &mut Table| {
            let older: Vec<Place> =
                table.entries.iter().filter(|old| old.scope == *scope).map(|r| r.store).collect();
            table.entries.retain(|old| old.scope != *scope);
            table.entries.push(row);
            Ok(older)
        })?;
        Ok(self.stored(&name, place, notes, &older))
    }

    /// What `login` says; an older secret is not left where nobody would look for it.
    fn stored(&self, name: &str, place: Place, mut notes: Vec<String>, older: &[Place]) -> Stored {
        for old in older.iter().filter(|old| **old != place) {
            let place = old.described();
            match keyring::remove(self, *old, name) {
                Ok(true) => {}
                Ok(false) => {
                    notes.push(format!(
                        "the older secret is still in {place}, which is absent here"
                    ));
                }
                Err(error) => notes.push(format!("the older secret is still in {place}: {error}")),
            }
        }
        Stored { place, lasts: self.vault(place).and_then(Vault::lasts), notes }
    }

    /// Puts the secret where it belongs; for the file that is done with its row.
    fn keep(
        &self,
        name: &str,
        secret: &Secret,
        choice: Option<Place>,
    ) -> Result<(Place, Vec<String>), CredentialError> {
        let mut absent = Vec::new();
        let order: &[Place] = match choice {
            None => &[Place::Keyring, Place::Kernel, Place::File],
            Some(Place::Keyring) => &[Place::Keyring, Place::Kernel],
            Some(Place::Kernel) => &[Place::Kernel],
            Some(Place::File) => &[Place::File],
        };
        for place in order {
            if *place != Place::File {
                match keyring::put(self, *place, name, secret) {
                    Ok(()) => {}
                    Err(CredentialError::NoKeyring(why)) => {
                        absent.push(format!("{place}: {why}"));
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            let why = absent.join("; ");
            let notes = match place {
                _ if absent.is_empty() => Vec::new(),
                Place::File => {
                    let path = self.settings.file.display();
                    vec![format!("no keyring answers here ({why}): kept in {path}, mode 0600")]
                }
                _ => vec![format!("no other keyring answers here ({why})")],
            };
            return Ok((*place, notes));
        }
        Err(CredentialError::NoKeyring(absent.join("; ")))
    }

    /// Forgets the credential of exactly this scope, and says where it was.
    ///
    /// # Errors
    /// [`CredentialError::NotStored`] when there is none.
    pub fn erase(&self, scope: &Scope) -> Result<Erased, CredentialError> {
        file::change(&self.settings.file, |table: &mut Table| {
            let at = table.entries.iter().position(|row| row.scope == *scope);
            let row = at.map(|at| table.entries.remove(at));
            let row = row.ok_or_else(|| CredentialError::NotStored(scope.to_string()))?;
            let removed = keyring::remove(self, row.store, &scope.to_string())?;
            Ok(Erased { place: row.store, remains: !removed })
        })
    }

    /// What is stored, without any secret.
    ///
    /// # Errors
    /// When the file is broken.
    pub fn list(&self) -> Result<Vec<Listed>, CredentialError> {
        let table = file::read(&self.settings.file)?;
        Ok(table.entries.iter().map(Row::listed).collect())
    }
}

#[cfg(test)]
mod tests;
