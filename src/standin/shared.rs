//! What the handlers share.

use std::net::SocketAddr;
use std::sync::Mutex;

use super::key::SigningKey;
use super::pending::Uploads;
use super::written::Written;
use super::{Config, Images};

/// One request that was answered, for tests that count. Holds no header and no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `GET`, `HEAD`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Whether an `Authorization` header came with it.
    pub authorized: bool,
    /// Whether a token of GitLab's API came with it.
    pub api_token: bool,
    /// The answer's status.
    pub status: u16,
}

/// What the handlers share.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) key: SigningKey,
    pub(super) images: Images,
    pub(super) uploads: Uploads,
    pub(super) packages: Written,
    pub(super) address: SocketAddr,
    pub(super) seen: Mutex<Vec<Seen>>,
    /// Tokens issued at or before this number are treated as expired.
    pub(super) issued: Mutex<Issued>,
}

/// Tokens are numbered so that a test can expire them without waiting.
#[derive(Default)]
pub(super) struct Issued {
    pub(super) last: u64,
    pub(super) expired_up_to: u64,
    /// Their texts.
    pub(super) tokens: Vec<String>,
}

impl Shared {
    pub(super) fn realm(&self) -> String {
        let named = self.config.realm_host.as_ref();
        let host = named.map(|host| format!("{host}:{}", self.address.port()));
        format!("http://{}/jwt/auth", host.unwrap_or_else(|| self.address.to_string()))
    }
}
