//! Tokens of GitLab's API, kept like credentials of registries and apart from them.
//!
//! They are keyed by the server's address, and none of the sources for registries
//! ([`super::chain::SOURCES`]) looks at them: an API token never becomes a registry's credential, nor the
//! other way round.

use serde::Serialize;

use super::file::{self, ApiRow, Table, Written};
use super::{Chain, CredentialError, Erased, Keeper, Stored, keyring};
use crate::config::ServerUrl;
use crate::secret::Secret;

/// A stored token of GitLab's API without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedApi {
    /// The server that it is for.
    pub server: String,
    /// Where the secret is.
    pub place: Keeper,
}

/// As it is given to `login`, and the name in keyrings.
fn name(server: &str) -> String {
    format!("--api {server}")
}

impl Chain {
    /// Keeps a token for the API of one server, in place of an older one. The places are those of
    /// [`Chain::store`].
    ///
    /// # Errors
    /// When the chosen place cannot take it; then nothing has changed.
    pub fn store_api(
        &self,
        server: &ServerUrl,
        token: &Secret,
        choice: Option<Keeper>,
    ) -> Result<Stored, CredentialError> {
        let server = server.to_string();
        let (place, notes) = self.keep(&name(&server), token, choice)?;
        let password = (place == Keeper::File).then(|| Written(token.clone()));
        let row = ApiRow { server: server.clone(), store: place, password };
        let older = file::change(&self.run.settings.file, |table: &mut Table| {
            let old = table.api.iter().filter(|old| old.server == server);
            let older: Vec<Keeper> = old.map(|old| old.store).collect();
            table.api.retain(|old| old.server != server);
            table.api.push(row);
            Ok(older)
        })?;
        Ok(self.stored(&name(&server), place, notes, &older))
    }

    /// The token for the API of exactly this server, and where it was found. `None` too when the
    /// kernel has forgotten it; the user is told.
    ///
    /// # Errors
    /// When the place that should have it is broken.
    pub fn api_token(
        &self,
        server: &ServerUrl,
    ) -> Result<Option<(Secret, String)>, CredentialError> {
        let path = &self.run.settings.file;
        let table = file::read(path)?;
        let server = server.to_string();
        let Some(row) = table.api.into_iter().find(|row| row.server == server) else {
            return Ok(None);
        };
        let name = name(&server);
        let source = |place: &str| format!("{place} (login {name})");
        if row.store == Keeper::File {
            let Some(Written(token)) = row.password else {
                return Err(CredentialError::Malformed { path: path.clone(), line: 1, column: 1 });
            };
            return Ok(Some((token, source(&path.display().to_string()))));
        }
        match keyring::ask(&self.run, row.store, &name)? {
            Ok(token) => Ok(Some((token, source(row.store.described())))),
            Err(why) => {
                self.run.warn(&format!("the API token in {}: {why}", row.store.described()));
                Ok(None)
            }
        }
    }

    /// Forgets the API token of exactly this server, and says where it was.
    ///
    /// # Errors
    /// [`CredentialError::NotStored`] when there is none.
    pub fn erase_api(&self, server: &ServerUrl) -> Result<Erased, CredentialError> {
        let server = server.to_string();
        file::change(&self.run.settings.file, |table: &mut Table| {
            let at = table.api.iter().position(|row| row.server == server);
            let row = at.map(|at| table.api.remove(at));
            let row = row.ok_or_else(|| CredentialError::NotStored(name(&server)))?;
            let removed = keyring::remove(&self.run, row.store, &name(&server))?;
            Ok(Erased { place: row.store, remains: !removed })
        })
    }

    /// The stored tokens of GitLab's API, without any secret.
    ///
    /// # Errors
    /// When the file is broken.
    pub fn list_api(&self) -> Result<Vec<ListedApi>, CredentialError> {
        let rows = file::read(&self.run.settings.file)?.api.into_iter();
        Ok(rows.map(|row| ListedApi { server: row.server, place: row.store }).collect())
    }
}
