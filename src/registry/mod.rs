//! A client for container registries: challenge, token, manifest, blob.
//!
//! ```text
//!  GET /v2/group/project/manifests/v1          -> 401 Bearer realm=..., service=...
//!  GET <realm>?service=...&scope=... + Basic   -> {"token": ...}      only to a confirmed realm
//!  GET /v2/group/project/manifests/v1 + Bearer -> bytes               hashed, never believed
//!  GET /v2/group/project/blobs/sha256:...      -> bytes, or a redirect to storage (no Bearer)
//! ```
//!
//! Floor 4. Sources: OCI distribution specification 1.1; docker distribution's token
//! specification. Why this is not `oci-client`: `docs/registry.md`.
//!
//! Everything that a registry says is taken for a claim: bytes count only when they have the
//! digest that was asked for, sizes are capped, and a credential goes only to the registry's own
//! host or to a realm that was confirmed for it ([`crate::secret::Realm`]).
//!
//! Not promised: pushing, proxies, registries below a path prefix.

mod blob;
mod call;
mod challenge;
mod check;
mod claims;
mod endpoint;
mod error;
mod image;
mod manifest;
mod options;
mod token;
mod transport;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

pub use challenge::{Bearer, Challenge};
pub use check::Grant;
pub use error::{RegistryError, Said};
pub use image::ImageDocuments;
pub use manifest::{Fetched, Wanted};
pub use options::{HostPort, Limits, Lookup, Options, Patience, anonymous};

use crate::oci::{Registry, Repository};
use endpoint::Endpoint;
use token::{Gates, Session};
use transport::Transport;

/// The client. Cloning shares connections, tokens and verdicts on credentials; make one per run.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    options: Options,
    transport: Transport,
    hosts: Mutex<HashMap<Registry, Arc<Host>>>,
    sessions: Mutex<HashMap<(Registry, Repository), Arc<Session>>>,
    gates: Gates,
}

/// What is known of one registry.
#[derive(Default)]
struct Host {
    endpoint: tokio::sync::OnceCell<Endpoint>,
    challenge: Mutex<Option<Challenge>>,
}

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// When a CA file cannot be read or holds no certificate.
    pub fn new(options: Options) -> Result<Self, RegistryError> {
        let transport = Transport::new(&options)?;
        Ok(Self(Arc::new(Inner {
            options,
            transport,
            hosts: Mutex::default(),
            sessions: Mutex::default(),
            gates: Gates::default(),
        })))
    }

    fn host(&self, registry: &Registry) -> Arc<Host> {
        let mut hosts = self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(hosts.entry(registry.clone()).or_default())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
