//! A client for container registries: challenge, token, manifest, blob.
//!
//! ```text
//!  GET /v2/group/project/manifests/v1          -> 401 Bearer realm=..., service=...
//!  GET <realm>?service=...&scope=... + Basic   -> {"token": ...}      only to a confirmed realm
//!  GET /v2/group/project/manifests/v1 + Bearer -> bytes               hashed, never believed
//!  GET /v2/group/project/blobs/sha256:...      -> bytes, or a redirect to storage (no Bearer)
//! ```
//!
//! Sending is drawn in `push.rs`.
//!
//! Floor 4. Sources: OCI distribution specification 1.1; docker distribution's token
//! specification. Why this is not `oci-client`: `docs/registry.md`.
//!
//! Everything that a registry says is taken for a claim: bytes count only when they have the
//! digest that was asked for, sizes are capped, and a credential goes only to the registry's own
//! host or to a realm that was confirmed for it ([`crate::secret::Realm`]).

mod basic;
mod blob;
mod call;
mod challenge;
mod check;
mod claims;
mod endpoint;
mod error;
mod gates;
mod host_budget;
mod hub;
mod image;
mod known;
mod manifest;
mod names;
mod options;
mod push;
mod remembered;
mod token;
mod token_request;
mod transport;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

pub use challenge::{Bearer, Challenge};
pub use check::Grant;
pub use error::{RegistryError, Said};
pub use host_budget::{HostBudget, Notice, Permit, Sharing};
pub use hub::HubFile;
pub use image::ImageDocuments;
pub use known::{Kept, Look, Note, TagMemory};
pub use manifest::{Fetched, Named, Wanted};
pub use names::{Names, system_names};
pub use options::{HostPort, Limits, Lookup, Options, PathPrefix, Patience, anonymous};
pub use push::Content;

use crate::oci::{Registry, Repository};
use endpoint::Endpoint;
use gates::Gates;
use known::Known;
use remembered::Remembered;
use token::{Access, Session};
use transport::Transport;

/// The client. Cloning shares connections, tokens and verdicts on credentials; make one per run.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    options: Options,
    transport: Transport,
    known: Known,
    hosts: Mutex<HashMap<Below, Arc<Host>>>,
    sessions: Mutex<HashMap<(Registry, Repository, Access), Arc<Session>>>,
    gates: Gates,
    remembered: Remembered,
}

/// A registry, and the path of its host that it is below.
type Below = (Registry, Option<Repository>);

/// What is known of one registry.
#[derive(Default)]
struct Host {
    endpoint: tokio::sync::OnceCell<Endpoint>,
    challenge: Mutex<Option<Challenge>>,
    /// Set when the registry said so itself; before that the challenge is last time's.
    confirmed: tokio::sync::OnceCell<()>,
    /// It does not answer HEAD with a digest.
    no_head: AtomicBool,
}

impl Host {
    /// What it asks for, as far as that is known.
    fn asks(&self) -> Option<Challenge> {
        self.challenge.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// When a CA file cannot be read or holds no certificate.
    pub fn new(options: Options) -> Result<Self, RegistryError> {
        let transport = Transport::new(&options)?;
        let remembered = Remembered::new(transport.shared_dir());
        Ok(Self(Arc::new(Inner {
            known: Known::new(options.kept.clone(), options.tags.clone()),
            options,
            transport,
            hosts: Mutex::default(),
            sessions: Mutex::default(),
            gates: Gates::default(),
            remembered,
        })))
    }

    /// What is known of the registry below a path of its host, if any.
    fn host(&self, registry: &Registry, prefix: Option<&Repository>) -> Arc<Host> {
        let mut hosts = self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(hosts.entry((registry.clone(), prefix.cloned())).or_default())
    }

    /// The path below which the registry of a repository is; the longest that was configured.
    fn prefix(&self, registry: &Registry, repository: Option<&Repository>) -> Option<Repository> {
        let name = repository?.as_str();
        let holds = |path: &str| {
            name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let configured = self.0.options.path_prefixes.iter();
        configured
            .filter(|known| known.registry == *registry && holds(known.path.as_str()))
            .map(|known| &known.path)
            .max_by_key(|path| path.as_str().len())
            .cloned()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
