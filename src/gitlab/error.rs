//! What can go wrong between this program and GitLab's API. No variant holds a secret.

use super::TokenKind;
use crate::failure::{Failure, Kind};
use crate::net::{Fault, RootsError};
use crate::text::Shown;

/// A question to the API that was not answered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GitlabError {
    /// A CA file or the token's text cannot be used.
    #[error("{0}")]
    Configuration(String),
    /// A CA file cannot be used, or there are no root certificates at all.
    #[error("{0}")]
    Roots(RootsError),
    /// The server's certificate was not taken; nothing was sent.
    #[error("cannot reach GitLab at {host}: its certificate {}", .fault.sentence())]
    Certificate {
        /// The server.
        host: String,
        /// The reason.
        fault: Fault,
        /// Whether the user gave CA files.
        own: bool,
    },
    /// The token would travel in the clear.
    #[error("{host} speaks plain http: the API token from {token} is not sent there")]
    PlainHttp {
        /// The server.
        host: String,
        /// Where the token came from.
        token: String,
    },
    /// No connection, or it broke, or nothing came in time.
    #[error("cannot reach GitLab at {host}: {reason}")]
    Unreachable {
        /// The server.
        host: String,
        /// The system's words.
        reason: String,
    },
    /// It asked, this process or another one, to be left alone for longer than a question may take.
    #[error("GitLab at {host} asks for a pause of {seconds} s: no request was sent")]
    HeldOff {
        /// The server.
        host: String,
        /// For how long still.
        seconds: u64,
    },
    /// The server sends us elsewhere; a token does not go along.
    #[error("GitLab at {host} redirects {what} to {to}, which is not followed with a token")]
    Redirected {
        /// The server.
        host: String,
        /// What was asked for.
        what: String,
        /// Scheme, host and port of the target.
        to: String,
    },
    /// An answer that is no success.
    #[error("GitLab at {host} answered {status} when asked for {what}{}", said(.message))]
    Answer {
        /// The server.
        host: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// GitLab's own words, made printable.
        message: Shown,
        /// The kind of the token that was sent.
        kind: TokenKind,
        /// The scope that an access token needs for it.
        scope: &'static str,
        /// Where it came from.
        token: String,
    },
    /// An answer that is not what the API's reference says.
    #[error("GitLab at {host} answered in an unknown form when asked for {what}: {reason}")]
    Protocol {
        /// The server.
        host: String,
        /// What was asked for.
        what: String,
        /// How.
        reason: String,
    },
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" ({message})") }
}

impl GitlabError {
    /// Whether the token is valid or may be, and this route is not for it: 403, 404, and for a job
    /// token also 401, which GitLab answers on routes that job tokens do not open.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Answer { status: 403 | 404, .. } => true,
            Self::Answer { status: 401, kind, .. } => *kind == TokenKind::Job,
            _ => false,
        }
    }
}

impl Failure for GitlabError {
    fn kind(&self) -> Kind {
        match self {
            Self::Configuration(_) | Self::Roots(_) => Kind::Configuration,
            Self::PlainHttp { .. }
            | Self::Redirected { .. }
            | Self::Answer { status: 401 | 403, .. } => Kind::Denied,
            Self::Answer { status: 404, .. } => Kind::NotFound,
            Self::Unreachable { .. }
            | Self::Certificate { .. }
            | Self::HeldOff { .. }
            | Self::Answer { .. }
            | Self::Protocol { .. } => Kind::Network,
        }
    }

    fn hint(&self) -> Option<String> {
        let scope = if let Self::Answer { scope, .. } = self { scope } else { "read_api" };
        let needs = format!("a personal, project or group access token with the scope {scope}");
        match self {
            Self::Answer { status: 403, scope: "api", kind: TokenKind::Access, token, .. } => {
                Some(format!(
                    "the token in {token} must be {needs}, and of a role that may do this: Reporter for notes, Developer \
                     for statuses"
                ))
            }
            Self::PlainHttp { host, .. } => Some(format!(
                "if that is wanted (another user of this machine can sit on a loopback port), add \
                 --insecure-registry {host}"
            )),
            Self::Redirected { .. } => Some(
                "write the server's final address as [gitlab] url in your configuration".into(),
            ),
            Self::Answer { status: 401, kind: TokenKind::Access, token, .. } => Some(format!(
                "the token in {token} is wrong, revoked or expired; it must be {needs}"
            )),
            Self::Answer { status: 401 | 403 | 404, kind: TokenKind::Job, .. } => Some(format!(
                "a job token opens little of the API, and of another project only what lists this one \
                 (Settings > CI/CD > Job token permissions): put {needs} into \
                 MOORLINE_GITLAB_TOKEN, or name the image by its reference"
            )),
            Self::Answer { status: 403, token, .. } => {
                Some(format!("the token in {token} must be {needs}"))
            }
            Self::Answer { status: 404, token, .. } => Some(format!(
                "it does not exist, or the token in {token} may not see it (GitLab does not tell \
                 which); it must be {needs}"
            )),
            Self::Roots(error) => error.hint(),
            Self::Certificate { host, fault, own } => Some(fault.hint(host, *own)),
            Self::Unreachable { host, reason } => crate::net::proxy_hint(reason, host),
            Self::HeldOff { seconds, .. } => Some(format!("try again in {seconds} s")),
            Self::Answer { status: 429, .. } => Some("wait a minute and try again".into()),
            _ => None,
        }
    }
}
