//! The client.

use std::fmt;
use std::sync::Arc;

use super::transport::Transport;
use super::{GitlabError, Options, Token, TokenKind};
use crate::config::ServerUrl;

/// The client. It asks; what it changes is in `writing.rs`. Cloning shares connections, and the verdict on
/// the token: one that was refused is not sent again.
#[derive(Clone)]
pub struct Client(pub(super) Arc<Transport>);

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// When a CA file cannot be used, the token cannot be a header's value, or the server speaks
    /// plain http and was not allowed to.
    pub fn new(options: Options) -> Result<Self, GitlabError> {
        Transport::new(options).map(|transport| Self(Arc::new(transport)))
    }

    /// Whether it asks this server with this token.
    #[must_use]
    pub fn is_for(&self, server: &ServerUrl, token: &Token) -> bool {
        self.0.is_for(server, token)
    }

    /// The kind of its token.
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        self.0.kind()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("host", &self.0.host()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
