//! The client, and what it knows of each registry.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use super::endpoint::Endpoint;
use super::gates::Gates;
use super::known::Known;
use super::remembered::Remembered;
use super::token::{Access, Session};
use super::transport::Transport;
use super::{Challenge, Options, RegistryError};
use crate::oci::{Registry, Repository};

/// The client. Cloning shares connections, tokens and verdicts on credentials; make one per run.
#[derive(Clone)]
pub struct Client(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) options: Options,
    pub(super) transport: Transport,
    pub(super) known: Known,
    pub(super) hosts: Mutex<HashMap<Below, Arc<Host>>>,
    pub(super) sessions: Mutex<HashMap<(Registry, Repository, Access), Arc<Session>>>,
    pub(super) gates: Gates,
    pub(super) remembered: Remembered,
}

/// A registry, and the path of its host that it is below.
pub(super) type Below = (Registry, Option<Repository>);

/// What is known of one registry.
#[derive(Default)]
pub(super) struct Host {
    pub(super) endpoint: tokio::sync::OnceCell<Endpoint>,
    pub(super) challenge: Mutex<Option<Challenge>>,
    /// Set when the registry said so itself; before that the challenge is last time's.
    pub(super) confirmed: tokio::sync::OnceCell<()>,
    /// It does not answer HEAD with a digest.
    pub(super) no_head: AtomicBool,
}

impl Host {
    /// What it asks for, as far as that is known.
    pub(super) fn asks(&self) -> Option<Challenge> {
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
    pub(super) fn host(&self, registry: &Registry, prefix: Option<&Repository>) -> Arc<Host> {
        let mut hosts = self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(hosts.entry((registry.clone(), prefix.cloned())).or_default())
    }

    /// The path below which the registry of a repository is; the longest that was configured.
    pub(super) fn prefix(
        &self,
        registry: &Registry,
        repository: Option<&Repository>,
    ) -> Option<Repository> {
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
