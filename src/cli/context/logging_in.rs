//! What `login` asks of the place where the program runs.

use tokio::runtime::Runtime;

use super::Context;
use crate::acquire;
use crate::config::ServerUrl;
use crate::credential::{Chain, Scope};
use crate::failure::Report;
use crate::gitlab::{self, Token};
use crate::login::Surroundings;
use crate::oci::{Registry, Repository};
use crate::registry::Client;
use crate::secret::Realm;

impl Surroundings for Context {
    fn client(&self) -> Result<Client, Report> {
        self.client()
    }
    fn runtime(&self) -> Result<&Runtime, Report> {
        self.runtime()
    }
    fn gitlab_at(&self, server: ServerUrl, token: Token) -> Result<gitlab::Client, Report> {
        self.gitlab_at(server, token)
    }
    fn credentials(&self) -> Chain {
        self.credentials()
    }
    fn known_realms(&self, registry: &Registry) -> Vec<Realm> {
        self.known_realms(registry)
    }
    fn is_insecure(&self, registry: &Registry) -> bool {
        self.is_insecure(registry)
    }
    fn images_within(&self, scope: &Scope) -> Vec<Repository> {
        acquire::repositories(self)
            .into_iter()
            .filter(|(registry, repository)| scope.covers(registry, repository))
            .map(|(_, repository)| repository)
            .collect()
    }
    fn say(&self, text: &str) {
        self.voice.say(text);
    }
}
