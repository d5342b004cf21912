//! What a login needs of the place where the program runs, and of the user.

use tokio::runtime::Runtime;

use crate::config::ServerUrl;
use crate::credential::{Chain, Scope};
use crate::failure::Report;
use crate::gitlab::{self, Token};
use crate::oci::{Registry, Repository};
use crate::registry::Client;
use crate::secret::{Realm, Secret};

/// Clients, credentials, and the one who is told. The command line implements it; a test or a service may do so,
/// too.
pub trait Surroundings {
    /// The registry client of the command.
    ///
    /// # Errors
    /// When it cannot be made.
    fn client(&self) -> Result<Client, Report>;
    /// What runs asynchronous work.
    ///
    /// # Errors
    /// When the system refuses what it needs.
    fn runtime(&self) -> Result<&Runtime, Report>;
    /// A client for the API of this server, with this token.
    ///
    /// # Errors
    /// When the token may not be sent there.
    fn gitlab_at(&self, server: ServerUrl, token: Token) -> Result<gitlab::Client, Report>;
    /// The credential sources; they keep what `login` stores.
    fn credentials(&self) -> Chain;
    /// The realms that the configuration or CI names for a registry.
    fn known_realms(&self, registry: &Registry) -> Vec<Realm>;
    /// Whether plain http was allowed for a registry.
    fn is_insecure(&self, registry: &Registry) -> bool;
    /// The repositories of the images in `moorline.toml` for which a credential of this scope would be used.
    fn images_within(&self, scope: &Scope) -> Vec<Repository>;
    /// Progress and remarks.
    fn say(&self, text: &str);
}

/// Whoever has the secret.
pub trait User {
    /// Gives the secret; `question` is for a terminal.
    ///
    /// # Errors
    /// When there is none, or nobody can be asked.
    fn secret(self, question: &str) -> Result<Secret, Report>;
    /// Answers yes or no; `None` when nobody can be asked.
    ///
    /// # Errors
    /// When the terminal fails.
    fn confirms(&self, question: &str) -> Result<Option<bool>, Report>;
}
