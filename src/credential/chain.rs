//! All sources together, in the order of their precedence; and what `login` keeps.

use std::cell::RefCell;
use std::sync::Arc;

use super::file::{Row, Table};
use super::run::Run;
use super::{
    CredentialError, Erased, Explanation, Keeper, Listed, Scope, Settings, SourceQuestion,
    SourceReport, Stored, Vault, ci, docker, environment, file, given, keyring, logins,
    read_sentence,
};
use crate::failure::Failure;
use crate::oci::{DOCKER_HUB, Registry, Repository};
use crate::secret::{Candidates, Credential, Realm, Secret};

/// A source: adds what it has for the question.
pub(super) type Source = fn(&SourceQuestion<'_>, &mut Candidates) -> Result<(), CredentialError>;

/// The name of the source that `login` fills.
const LOGIN: &str = "login";

/// All sources by name, the first one wins.
pub(super) const SOURCES: [(&str, Source); 6] = [
    ("command line", given::find),
    ("environment", environment::find),
    ("GitLab CI", ci::find),
    (LOGIN, logins::find),
    ("DOCKER_AUTH_CONFIG", docker::find_variable),
    ("docker, podman, apptainer", docker::find),
];

/// Where Docker Hub's tokens come from; every other registry's realm has to be confirmed.
const HUB_REALM: &str = "https://auth.docker.io";

/// All sources together.
pub struct Chain {
    pub(super) run: Run,
}

impl Chain {
    /// A chain; nothing is read yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { run: Run::new(settings) }
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
        let table = file::read(&self.run.settings.file)?;
        let mut own_file = None;
        let realms = self.realms(&table, registry)?;
        let mut rows: Vec<&Row> =
            table.entries.iter().filter(|row| row.scope.covers(registry, repository)).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.scope.prefix_len()));
        let read = RefCell::default();
        let question = SourceQuestion {
            run: &self.run,
            registry,
            repository,
            rows,
            realms: realms.clone(),
            read,
        };
        if !table.entries.is_empty() {
            let others = table.entries.iter().filter(|row| !row.scope.covers(registry, repository));
            let others: Vec<String> = others.map(|row| row.scope.to_string()).collect();
            own_file = Some(read_sentence(&self.run.settings.file.display().to_string(), &others));
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
    pub(super) fn realms(
        &self,
        table: &Table,
        registry: &Registry,
    ) -> Result<Vec<Realm>, CredentialError> {
        let configured = self.run.settings.realms.iter().filter(|(r, _)| r.is_same(registry));
        let remembered = table.entries.iter().filter(|row| row.scope.is_of(registry));
        let mut realms: Vec<Realm> = configured.map(|(_, realm)| realm.clone()).collect();
        realms.extend(remembered.filter_map(|row| row.realm.clone()));
        realms.extend(ci::realm(&self.run.settings.environment, registry)?);
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

    /// Keeps a credential and the realm that was confirmed with it, in place of an older one for
    /// the same scope. Without a choice the keyring is taken, where none answers the kernel's, and
    /// without that the file; the choice [`Keeper::Keyring`] is one of the keyrings, never the file.
    ///
    /// # Errors
    /// When the chosen place cannot take it; then nothing has changed.
    pub fn store(
        &self,
        scope: &Scope,
        credential: &Credential,
        realm: Option<&Realm>,
        choice: Option<Keeper>,
    ) -> Result<Stored, CredentialError> {
        let name = scope.to_string();
        let (place, notes) = self.keep(&name, &credential.password, choice)?;
        let row = Row::new(scope, credential, realm, place);
        let older = file::change(&self.run.settings.file, |table: &mut Table| {
            let older: Vec<Keeper> =
                table.entries.iter().filter(|old| old.scope == *scope).map(|r| r.store).collect();
            table.entries.retain(|old| old.scope != *scope);
            table.entries.push(row);
            Ok(older)
        })?;
        Ok(self.stored(&name, place, notes, &older))
    }

    /// What `login` says; an older secret is not left where nobody would look for it.
    pub(super) fn stored(
        &self,
        name: &str,
        place: Keeper,
        mut notes: Vec<String>,
        older: &[Keeper],
    ) -> Stored {
        for old in older.iter().filter(|old| **old != place) {
            let place = old.described();
            match keyring::remove(&self.run, *old, name) {
                Ok(true) => {}
                Ok(false) => {
                    notes.push(format!(
                        "the older secret is still in {place}, which is absent here"
                    ));
                }
                Err(error) => notes.push(format!("the older secret is still in {place}: {error}")),
            }
        }
        Stored { place, lasts: self.run.vault(place).and_then(Vault::lasts), notes }
    }

    /// Puts the secret where it belongs; for the file that is done with its row.
    pub(super) fn keep(
        &self,
        name: &str,
        secret: &Secret,
        choice: Option<Keeper>,
    ) -> Result<(Keeper, Vec<String>), CredentialError> {
        let mut absent = Vec::new();
        let order: &[Keeper] = match choice {
            None => &[Keeper::Keyring, Keeper::Kernel, Keeper::File],
            Some(Keeper::Keyring) => &[Keeper::Keyring, Keeper::Kernel],
            Some(Keeper::Kernel) => &[Keeper::Kernel],
            Some(Keeper::File) => &[Keeper::File],
        };
        for place in order {
            if *place != Keeper::File {
                match keyring::put(&self.run, *place, name, secret) {
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
                Keeper::File => {
                    let path = self.run.settings.file.display();
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
        file::change(&self.run.settings.file, |table: &mut Table| {
            let at = table.entries.iter().position(|row| row.scope == *scope);
            let row = at.map(|at| table.entries.remove(at));
            let row = row.ok_or_else(|| CredentialError::NotStored(scope.to_string()))?;
            let removed = keyring::remove(&self.run, row.store, &scope.to_string())?;
            Ok(Erased { place: row.store, remains: !removed })
        })
    }

    /// What is stored, without any secret.
    ///
    /// # Errors
    /// When the file is broken.
    pub fn list(&self) -> Result<Vec<Listed>, CredentialError> {
        let table = file::read(&self.run.settings.file)?;
        Ok(table.entries.iter().map(Row::listed).collect())
    }
}

#[cfg(test)]
mod tests;
