//! What a client is made from.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Token;
use crate::config::ServerUrl;

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
    pub proxies: crate::net::Proxies,
    /// The budget of requests; `None` counts nothing.
    pub hosts: Option<Arc<crate::net::HostBudget>>,
    /// Secrets that no message may repeat; the token joins it.
    pub hidden: crate::text::Hidden,
    /// Who is told that a project has moved.
    pub notice: Option<Notice>,
    /// For one answer, with all its retries' pauses apart.
    pub patience: Duration,
}
