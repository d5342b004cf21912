//! GitLab's REST API, as far as "what CI built" needs it, and the conventions of its CI.
//!
//! ```text
//!  project + branch | commit | pipeline | job | merge request | release
//!     --GET /api/v4/projects/...-->  commit, ref, pipeline      (a token that may read the API)
//!     --convention-->                repository:tag             (convention.rs, no request at all)
//!  a CI job's own variables -->      CiJob                      (ci.rs)
//!  a build job's digest file -->     Handed                     (handed.rs)
//!  a clone's git configuration -->   Remote                     (remote.rs)
//! ```
//!
//! Floor 4. Endpoints and their parameters are the crate `gitlab`'s; the connection is ours
//! (`transport.rs`, and `docs/gitlab.md` says why): the token goes to the configured server and
//! nowhere else, no redirect is followed, answers are capped. Source: GitLab's "REST API resources",
//! "Predefined CI/CD variables reference".
//!
//! Not promised: that an image of a commit exists; the registry is asked for that
//! (`resolve::origin`).

mod answers;
mod api;
mod ci;
mod convention;
mod error;
mod handed;
mod handed_text;
mod remote;
mod transport;
mod turns;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use answers::{AccessToken, Commit, Job, MergeRequest, Pipeline, Project, Release, Repository};
pub use ci::CiJob;
pub use convention::{Place, of_commit, of_ref, slug};
pub use error::GitlabError;
pub use handed::{Handed, HandedError};
pub use remote::{Remote, remote};
use transport::Transport;
pub use turns::Turns;

use crate::config::ServerUrl;
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

/// Is told something that concerns the user, such as that a project has moved.
pub type Notice = Arc<dyn Fn(&str) + Send + Sync>;

/// Everything that [`Client::new`] wants to know.
#[derive(Clone)]
pub struct Options {
    /// The server, from the configuration or from CI; never from a registry or a project file.
    pub server: ServerUrl,
    /// The token; it is sent to `server` only.
    pub token: Token,
    /// Additional root certificates, PEM.
    pub ca_files: Vec<PathBuf>,
    /// Plain http or an unverified certificate is allowed: `--insecure-registry` names the host.
    pub insecure: bool,
    /// What the environment says of proxies; the token goes through one only inside TLS.
    pub proxies: crate::proxy::Proxies,
    /// The budget of requests; `None` counts nothing.
    pub turns: Option<Arc<dyn Turns>>,
    /// Secrets that no message may repeat; the token joins it.
    pub hidden: crate::text::Hidden,
    /// Who is told that a project has moved.
    pub notice: Option<Notice>,
    /// For one answer, with all its retries' pauses apart.
    pub patience: Duration,
}

/// The client. It asks and never changes anything. Cloning shares connections, and the verdict on
/// the token: one that was refused is not sent again.
#[derive(Clone)]
pub struct Client(Arc<Transport>);

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
