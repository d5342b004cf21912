//! A token for GitLab's API.

use crate::secret::Secret;

/// What kind of token it is: the two go into different headers and open different routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A personal, project or group access token with `read_api`.
    Access,
    /// A running job's own: its project's container repositories and little else.
    Job,
}

/// A token for the API and where it came from.
#[derive(Clone, Debug)]
pub struct Token {
    /// Which kind.
    pub kind: TokenKind,
    /// The token.
    pub secret: Secret,
    /// Its source, for messages: `MOORLINE_GITLAB_TOKEN`.
    pub source: String,
}
