//! What keeps a credential from being sent or kept, beside what registries, GitLab and the stores say.

use crate::config::ServerUrl;
use crate::failure::{Failure, Kind};
use crate::oci::Registry;
use crate::secret::Realm;

/// Why a credential was not kept.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The user named one realm and the registry another one.
    #[error(
        "{registry} sends its clients to {named} for tokens, not to {wanted}; nothing was sent"
    )]
    OtherRealm {
        /// The registry.
        registry: Registry,
        /// What it names.
        named: Realm,
        /// What the user named.
        wanted: Realm,
    },
    /// Nobody can be asked about the registry's realm.
    #[error(
        "{registry} sends its clients to {named} for tokens, which is not confirmed; nothing was sent"
    )]
    Unconfirmed {
        /// The registry.
        registry: Registry,
        /// What it names.
        named: Realm,
    },
    /// The user said no.
    #[error("{named} was not confirmed; nothing was sent")]
    Declined {
        /// What the registry names.
        named: Realm,
    },
    /// The token is right and cannot read the API.
    #[error("{server} knows this token, but it may not read the API (scopes: {scopes})")]
    NoApi {
        /// The server.
        server: ServerUrl,
        /// The token's scopes, made harmless.
        scopes: String,
    },
}

impl Failure for LoginError {
    fn kind(&self) -> Kind {
        Kind::Denied
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::OtherRealm { named, .. }
            | Self::Unconfirmed { named, .. }
            | Self::Declined { named } => {
                format!("if {named} is your GitLab, add --realm {named}")
            }
            Self::NoApi { .. } => {
                "make a personal, project or group access token with the scope read_api".to_owned()
            }
        })
    }
}
