//! What can go wrong between this program and a registry.
//!
//! No variant holds a secret, a header, or a URL with a query (storage redirects carry signatures
//! there).

use std::fmt;
use std::sync::Arc;

use crate::failure::{Failure, Kind, io_kind};
use crate::net::{Fault, RootsError};
use crate::oci::{DOCKER_HUB, Digest, DocumentError, Registry, Repository};
use crate::secret::Realm;
use crate::text::Shown;

/// What a server said besides its status: the first error of its JSON body, made printable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The HTTP status.
    pub status: u16,
    /// The error code, for example `MANIFEST_UNKNOWN`; empty when there was none.
    pub code: Shown,
    /// The message; empty when there was none.
    pub message: Shown,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP status {}", self.status)?;
        match (&*self.code, &*self.message) {
            ("", "") => Ok(()),
            ("", text) | (text, "") => write!(f, ", {text}"),
            (code, message) => write!(f, ", {code}: {message}"),
        }
    }
}

/// A request to a registry that did not end well.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegistryError {
    /// Something of this machine's or the user's is in the way.
    #[error("{0}")]
    Configuration(String),
    /// A CA file cannot be used, or there are no root certificates at all.
    #[error("{0}")]
    Roots(RootsError),
    /// The server's certificate was not taken; nothing was sent.
    #[error("cannot connect to {host}: its certificate {}", .fault.sentence())]
    Certificate {
        /// Host and port.
        host: String,
        /// The reason.
        fault: Fault,
        /// Whether the user gave CA files.
        own: bool,
    },
    /// The environment names a proxy that cannot be used.
    #[error("{0}")]
    Proxy(crate::net::ProxyError),
    /// The host asked for a longer pause than this request may take.
    #[error("{host} asked this user to pause; {seconds} s of the pause are left")]
    HeldOff {
        /// Host and port.
        host: String,
        /// How long.
        seconds: u64,
    },
    /// A credential source is broken; it is never taken for "no credential".
    #[error("{0}")]
    Credential(Arc<dyn Failure>),
    /// The name does not resolve.
    #[error("unknown host {host}: {reason}")]
    UnknownHost {
        /// The host.
        host: String,
        /// The resolver's words.
        reason: String,
    },
    /// No connection, or it broke, or nothing came in time.
    #[error("cannot {doing} {host}: {reason}")]
    Unreachable {
        /// `connect to`, `read from`.
        doing: &'static str,
        /// Host and port.
        host: String,
        /// The system's words.
        reason: String,
    },
    /// A credential is at hand, but it would travel in the clear.
    #[error(
        "{registry} speaks plain http{}: the credential from {source_name} is not sent there",
        .proxy.iter().map(|proxy| format!(" through the proxy {proxy}")).collect::<String>()
    )]
    PlainHttp {
        /// The registry.
        registry: Registry,
        /// Where the credential came from.
        source_name: String,
        /// The proxy that would read it.
        proxy: Option<String>,
    },
    /// The registry names a realm that nobody confirmed.
    #[error(
        "{registry} wants the credential from {source_name} sent to {realm}, which was not confirmed \
         for this registry: nothing was sent"
    )]
    UnknownRealm {
        /// The registry.
        registry: Registry,
        /// The realm that it names.
        realm: Realm,
        /// Where the credential came from.
        source_name: String,
    },
    /// The registry names a realm where no request goes, with or without a credential.
    #[error("{registry} names the token realm {realm:?}, which Moorline does not ask: {reason}")]
    ForbiddenRealm {
        /// The registry.
        registry: Registry,
        /// Its text.
        realm: String,
        /// Why.
        reason: &'static str,
    },
    /// The credential is wrong or has expired.
    #[error(
        "{registry} refused user {username:?} with the secret from {source_name} ({said}): wrong, \
         revoked or expired"
    )]
    Refused {
        /// The registry.
        registry: Registry,
        /// The user name.
        username: String,
        /// Where the credential came from.
        source_name: String,
        /// The answer.
        said: Box<Said>,
    },
    /// The credential is right but may not touch the registry at all.
    #[error(
        "user {username:?} (from {source_name}) is known to {registry} but has no registry scope \
         ({said})"
    )]
    NoRegistryScope {
        /// The registry.
        registry: Registry,
        /// The user name.
        username: String,
        /// Where the credential came from.
        source_name: String,
        /// The answer.
        said: Box<Said>,
    },
    /// The project is missing or forbidden.
    #[error(
        "{registry}/{repository} does not exist, or may not be read (a registry does not say \
         which){}; tried: {}",
        if *.none { ", and no credential is at hand for it" } else { "" }, listed(.tried)
    )]
    NotGranted {
        /// The registry.
        registry: Registry,
        /// The repository.
        repository: Repository,
        /// Whether there was no credential to try.
        none: bool,
        /// What was tried and skipped, one phrase each.
        tried: Vec<String>,
    },
    /// It wants a credential and names no way to give one that is known here.
    #[error(
        "{host} wants a login for {what} and {} ({said})",
        if .offers.is_empty() {
            "does not say how (it sent no readable WWW-Authenticate)".into()
        } else {
            format!("offers only {}, which is not supported", .offers)
        }
    )]
    NoChallenge {
        /// Host and port.
        host: String,
        /// What was asked for.
        what: String,
        /// The schemes that it names.
        offers: String,
        /// The answer.
        said: Box<Said>,
    },
    /// The place to which the registry sent us refuses what the registry gave.
    #[error(
        "{registry} redirects {what} to the storage {storage}, which refused it twice ({said})"
    )]
    Storage {
        /// Host and port of the storage.
        storage: String,
        /// The registry.
        registry: Registry,
        /// What was asked for.
        what: String,
        /// The storage's answer.
        said: Box<Said>,
    },
    /// A web page came where a document should.
    #[error("{host} answered with {instead} when asked for {what}")]
    Page {
        /// Host and port.
        host: String,
        /// What was asked for.
        what: String,
        /// The page, in its own words.
        instead: String,
    },
    /// None of the credentials may write there.
    #[error(
        "{registry}/{repository} may not be written to, or does not exist; tried: {}",
        listed(.tried)
    )]
    NoPush {
        /// The registry.
        registry: Registry,
        /// The repository.
        repository: Repository,
        /// What was tried and skipped, one phrase each.
        tried: Vec<String>,
    },
    /// Something that was sent was not taken.
    #[error("{registry}/{repository} did not accept {what} ({said})")]
    NotTaken {
        /// `blob sha256:...`, `tag v1`.
        what: String,
        /// The registry.
        registry: Registry,
        /// The repository.
        repository: Repository,
        /// The answer.
        said: Box<Said>,
    },
    /// What was to be sent could not be read, or is not what it should be.
    #[error("cannot send {what}: {reason}")]
    Read {
        /// What.
        what: String,
        /// The system's words.
        reason: Arc<std::io::Error>,
    },
    /// The repository is there for us, the tag, manifest or blob is not.
    #[error("{what} does not exist in {registry}/{repository} ({said})")]
    Missing {
        /// `tag v1`, `manifest sha256:...`, `blob sha256:...`.
        what: String,
        /// The registry.
        registry: Registry,
        /// The repository.
        repository: Repository,
        /// The answer.
        said: Box<Said>,
    },
    /// Any other answer that is no success.
    #[error("{host} answered {said} when asked for {what}")]
    Answer {
        /// Who.
        host: String,
        /// What was asked for.
        what: String,
        /// The answer.
        said: Box<Said>,
    },
    /// An answer that breaks the protocol.
    #[error("{host} broke the protocol when asked for {what}: {reason}")]
    Protocol {
        /// Who.
        host: String,
        /// What was asked for.
        what: String,
        /// How.
        reason: String,
    },
    /// The bytes are not those of the digest or size.
    #[error("{what} of {registry}/{repository} is corrupt: {reason}")]
    Integrity {
        /// What.
        what: String,
        /// The registry.
        registry: Registry,
        /// The repository.
        repository: Repository,
        /// The difference.
        reason: String,
    },
    /// More bytes than this program takes.
    #[error("{what} from {host} is larger than the limit of {limit} bytes{}", named(.key))]
    TooLarge {
        /// What.
        what: String,
        /// Who.
        host: String,
        /// In bytes.
        limit: u64,
        /// The key of the configuration that sets it; empty when none does.
        key: &'static str,
    },
    /// More of something than this program takes.
    #[error("{what} from {host} has more than {limit} {of}{}", named(.key))]
    TooMany {
        /// `tag v1`, `the tag list`.
        what: String,
        /// `layers`, `entries`, `tags`.
        of: &'static str,
        /// Who.
        host: String,
        /// How many are taken.
        limit: u64,
        /// The key of the configuration that sets it.
        key: &'static str,
    },
    /// The bytes have the right digest but are no document that is read.
    #[error("{what} of {registry}/{repository}: {words}")]
    Document {
        /// What.
        what: String,
        /// The registry.
        registry: Registry,
        /// The repository.
        repository: Repository,
        /// Why, made harmless.
        words: Shown,
        /// Why.
        reason: Arc<DocumentError>,
    },
    /// The credential may push and not pull.
    #[error(
        "user {username:?} (from {source_name}) may push to {registry}/{repository}, but not pull \
         from it: the token lacks read_registry"
    )]
    PushOnly {
        /// The registry.
        registry: Registry,
        /// One repository that it may push to.
        repository: Repository,
        /// The user name.
        username: String,
        /// Where the credential came from.
        source_name: String,
    },
    /// A hub does not have what was asked for.
    #[error("{what} does not exist at {host} ({said})")]
    NotAtHub {
        /// What was asked for.
        what: String,
        /// Who.
        host: String,
        /// The answer.
        said: Box<Said>,
    },
    /// A file of a hub could not be written.
    #[error("cannot write the image: {reason}")]
    Sink {
        /// The system's words.
        reason: Arc<std::io::Error>,
    },
    /// What came could not be written.
    #[error("cannot write blob {digest}: {reason}")]
    Write {
        /// The blob.
        digest: Digest,
        /// The system's words.
        reason: Arc<std::io::Error>,
    },
}

/// What was tried; there is always something to say.
fn listed(tried: &[String]) -> String {
    if tried.is_empty() { "nothing".into() } else { tried.join("; ") }
}

/// The key of a limit, in brackets.
fn named(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!(" ({key})") }
}

impl Failure for RegistryError {
    fn kind(&self) -> Kind {
        match self {
            Self::Configuration(_) | Self::Proxy(_) | Self::Roots(_) => Kind::Configuration,
            Self::Credential(failure) => failure.kind(),
            Self::Answer { said, .. } | Self::NotTaken { said, .. }
                if matches!(said.status, 401 | 403) =>
            {
                Kind::Denied
            }
            Self::UnknownHost { .. }
            | Self::Unreachable { .. }
            | Self::Certificate { .. }
            | Self::Storage { .. }
            | Self::Page { .. }
            | Self::HeldOff { .. }
            | Self::Protocol { .. }
            | Self::Answer { .. }
            | Self::NotTaken { .. } => Kind::Network,
            Self::PlainHttp { .. }
            | Self::UnknownRealm { .. }
            | Self::ForbiddenRealm { .. }
            | Self::Refused { .. }
            | Self::NoPush { .. }
            | Self::PushOnly { .. }
            | Self::NoChallenge { .. }
            | Self::NoRegistryScope { .. } => Kind::Denied,
            Self::NotGranted { .. } | Self::Missing { .. } | Self::NotAtHub { .. } => {
                Kind::NotFound
            }
            Self::Integrity { .. } | Self::TooLarge { .. } | Self::TooMany { .. } => {
                Kind::Integrity
            }
            Self::Document { reason, .. } => match **reason {
                DocumentError::MediaType(_) | DocumentError::Schema(_) => Kind::Conversion,
                _ => Kind::Integrity,
            },
            Self::Write { reason, .. } | Self::Read { reason, .. } | Self::Sink { reason } => {
                io_kind(reason, Kind::Configuration)
            }
        }
    }

    #[expect(clippy::too_many_lines, reason = "one sentence for each error")]
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Credential(failure) => return failure.hint(),
            Self::Proxy(error) => return error.hint(),
            Self::HeldOff { .. } => "its requests are limited: try again after that time".into(),
            Self::UnknownHost { .. } => {
                "check the spelling of the registry, the network and the name server".into()
            }
            Self::Roots(error) => return error.hint(),
            Self::Certificate { host, fault, own } => fault.hint(host, *own),
            Self::Unreachable { host, reason, .. }
                if crate::net::proxy_hint(reason, host).is_some() =>
            {
                return crate::net::proxy_hint(reason, host);
            }
            Self::Unreachable { doing, .. } if *doing != "connect to" => {
                "the connection broke in the middle; try again, what is in the store stays there"
                    .into()
            }
            Self::Unreachable { host, .. } => format!(
                "check that {host} is the registry's address (GitLab shows it under Deploy > \
                 Container registry); a registry that speaks plain http needs --insecure-registry"
            ),
            Self::PlainHttp { registry, proxy: Some(_), .. } => {
                format!("if {registry} needs no proxy, add it to no_proxy")
            }
            Self::PlainHttp { registry, .. } => format!(
                "if that is wanted (another user of this machine can sit on a loopback port), add \
                 --insecure-registry {registry}"
            ),
            Self::UnknownRealm { registry, realm, .. } => format!(
                "if {realm} is your GitLab, confirm it once: moorline login {registry} --realm \
                 {realm} --username NAME --password-stdin"
            ),
            Self::Refused { registry, .. } => format!(
                "a deploy token's user name must be given exactly as GitLab shows it; try moorline \
                 login {registry} --username NAME again with a valid token"
            ),
            Self::NoRegistryScope { .. } | Self::PushOnly { .. } => {
                "make a deploy token with the scope read_registry".into()
            }
            Self::NotGranted { tried, .. } | Self::NoPush { tried, .. } if of_job_token(tried) => {
                "a job token opens its own project; another one must list this project under Settings > \
                 CI/CD > Job token permissions"
                    .into()
            }
            Self::NotGranted { registry, repository, .. } => not_granted(registry, repository),
            Self::NoChallenge { host, .. } => format!(
                "a registry asks for Bearer or Basic: check that {host} is a registry's address, and \
                 that no proxy stands in between"
            ),
            Self::Storage { storage, .. } => format!(
                "its addresses end after a short time: check the clock of this machine, and that \
                 {storage} may be reached from here; else tell the registry's administrator"
            ),
            Self::Page { host, .. } => format!(
                "{host} may be the web address and not the registry's (GitLab shows it under Deploy > \
                 Container registry), or a proxy asks for a login"
            ),
            Self::NoPush { registry, repository, .. } => format!(
                "a deploy token needs read_registry and write_registry: moorline login \
                 {registry}/{repository} --username NAME; in GitLab CI the job's own token pushes to its project"
            ),
            Self::NotTaken { said, .. } => match said.status {
                401 | 403 => "pushing needs a token with read_registry and write_registry; a \
                              protected tag or repository takes nothing all the same"
                    .into(),
                413 => "the registry, or a proxy in front of it, limits what it takes".into(),
                429 | 500..=599 => {
                    "the server is busy or has a problem: try again in some minutes".into()
                }
                _ => return None,
            },
            Self::Missing { what, registry, repository, .. } if what.starts_with("tag") => {
                format!(
                    "moorline tags {registry}/{repository} lists those that there are; cleanup policies \
                     delete tags"
                )
            }
            Self::Missing { what, .. } if what.starts_with("manifest") => {
                "it was deleted or belongs to another repository; what docker inspect prints as Id \
                 is the image id, not the manifest's digest"
                    .into()
            }
            Self::Answer { said, .. } => match said.status {
                401 => "it accepts none of the tokens of its own realm; when this happens again, tell \
                        the registry's administrator"
                    .into(),
                // some GitLab instances ban an address for an hour, without a word
                403 => "the server may have banned this address after refused logins: wait an \
                        hour, and check the credential with moorline auth-explain"
                    .into(),
                429 | 500..=599 => {
                    "the server is busy or has a problem: try again in some minutes".into()
                }
                _ => return None,
            },
            Self::Protocol { host, .. } => format!(
                "check that {host} is a registry and that no proxy stands in between; try again"
            ),
            Self::TooLarge { key, .. } | Self::TooMany { key, .. } if !key.is_empty() => {
                format!("if that is what it should be, set {key} in your configuration")
            }
            Self::Integrity { .. } => {
                "nothing of it was kept; try again, and tell the registry's administrator when it \
                 happens again"
                    .into()
            }
            _ => return None,
        })
    }
}

/// Whether a CI job's own token was among what was tried.
fn of_job_token(tried: &[String]) -> bool {
    tried.iter().any(|one| one.contains("\"gitlab-ci-token\""))
}

/// Where else a project that is not there can be.
fn not_granted(registry: &Registry, repository: &Repository) -> String {
    let (hub, name) = (registry.as_str() == DOCKER_HUB, repository.as_str());
    if hub && name.starts_with("library/") {
        return "this is an image of Docker Hub; a GitLab project's is REGISTRY/GROUP/PROJECT:TAG, or \
                GROUP/PROJECT:TAG with [gitlab] registry in the configuration"
            .into();
    }
    if !hub && !name.contains('/') {
        return format!(
            "a name without a group is looked for in {registry}: a GitLab project is GROUP/PROJECT, \
             and an image of Docker Hub is docker://{name}"
        );
    }
    format!(
        "check the spelling; a private project needs a deploy token with read_registry of this project \
         or a group above it: moorline login {registry}/{repository} --username NAME"
    )
}
