//! What a caller decides: hosts that may be insecure, certificates, limits, patience.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::failure::Failure;
use crate::net::{HostBudget, Proxies, Sharing};
use crate::oci::{Registry, Repository};
use crate::secret::Candidates;
use crate::text::Hidden;

use super::known::{Kept, TagMemory};
use super::names::{Names, system_names};

/// Finds the credentials for a repository; `credential::Chain::find` behind a closure. It may
/// block (a keyring asks its user).
pub type Lookup =
    Arc<dyn Fn(&Registry, &Repository) -> Result<Candidates, Arc<dyn Failure>> + Send + Sync>;

/// Everything that [`super::Client::new`] wants to know.
#[derive(Clone)]
pub struct Options {
    /// `--insecure-registry`: plain http or an unverified certificate, also with credentials.
    pub insecure: Vec<HostPort>,
    /// Plain-http registries on loopback that this very process started: these receive credentials.
    pub started_here: Vec<Registry>,
    /// Additional root certificates, PEM.
    pub ca_files: Vec<PathBuf>,
    /// Where credentials come from; [`anonymous`] when there are none.
    pub credentials: Lookup,
    /// What the environment says of proxies.
    pub proxies: Proxies,
    /// Registries that are below a path of their host.
    pub path_prefixes: Vec<PathPrefix>,
    /// Documents that are at hand already.
    pub kept: Option<Kept>,
    /// What tags named when their manifests were at hand.
    pub tags: Option<TagMemory>,
    /// Secrets that no message may repeat; those that are sent join it.
    pub hidden: Hidden,
    /// The name service.
    pub names: Names,
    /// The budget of requests.
    pub hosts: Arc<HostBudget>,
    /// Upper bounds on what is taken from a registry.
    pub limits: Limits,
    /// How long and how often to try.
    pub patience: Patience,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            started_here: Vec::new(),
            ca_files: Vec::new(),
            credentials: anonymous(),
            proxies: Proxies::default(),
            path_prefixes: Vec::new(),
            kept: None,
            tags: None,
            hidden: Hidden::default(),
            names: system_names(),
            hosts: Arc::new(HostBudget::new(&Sharing::default(), None)),
            limits: Limits::default(),
            patience: Patience::default(),
        }
    }
}

/// A lookup that never finds a credential.
#[must_use]
pub fn anonymous() -> Lookup {
    Arc::new(|_, _| Ok(Candidates::default()))
}

/// A registry below a path of its host: of `host/prefix/group/project` the repository
/// `group/project` is asked for below `https://host/prefix/v2/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPrefix {
    /// The host.
    pub registry: Registry,
    /// The path, without a slash at either end.
    pub path: Repository,
}

impl FromStr for PathPrefix {
    type Err = crate::oci::ParseReferenceError;

    /// Reads `host[:port]/prefix`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (registry, path) = text.split_once('/').unwrap_or((text, ""));
        Ok(Self { registry: registry.parse()?, path: path.trim_end_matches('/').parse()? })
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

/// Upper bounds in bytes, except where it says otherwise. Those that [`Limits::set`] knows are the
/// configuration's, which every error names.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A manifest or index.
    pub manifest: u64,
    /// An image configuration.
    pub config: u64,
    /// A token answer.
    pub token: u64,
    /// An error answer; what is longer is cut.
    pub error: u64,
    /// One page of a tag list.
    pub tag_page: u64,
    /// Number of tags.
    pub tags: u64,
    /// Number of manifests that an index names.
    pub index_entries: u64,
    /// Number of layers of an image.
    pub layers: u64,
}

impl Limits {
    /// Sets one by its name in `[limits]`; `false` when it is none of these.
    #[must_use]
    pub fn set(&mut self, name: &str, value: u64) -> bool {
        let field = self.field(name);
        field.map(|field| *field = value).is_some()
    }

    /// As [`Limits::set`], but never to more than it was.
    #[must_use]
    pub fn lower(&mut self, name: &str, value: u64) -> bool {
        let field = self.field(name);
        field.map(|field| *field = value.min(*field)).is_some()
    }

    fn field(&mut self, name: &str) -> Option<&mut u64> {
        Some(match name {
            "manifest_bytes" => &mut self.manifest,
            "config_bytes" => &mut self.config,
            "token_bytes" => &mut self.token,
            "index_entries" => &mut self.index_entries,
            "layers" => &mut self.layers,
            "tags" => &mut self.tags,
            _ => return None,
        })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest: 4 << 20,
            config: 8 << 20,
            token: 1 << 20,
            error: 64 << 10,
            tag_page: 4 << 20,
            tags: 100_000,
            index_entries: 1000,
            layers: 1000,
        }
    }
}

/// Time limits and the retry budget of one request.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection to stand.
    pub connect: Duration,
    /// For the next byte to come.
    pub stall: Duration,
    /// For a small document to be there as a whole: a manifest, a token.
    pub document: Duration,
    /// How often one request is sent at most.
    pub attempts: u32,
    /// The first pause; each further one is twice as long, times a factor from 0.5
    /// to 1.5 ([`crate::net::Backoff`]).
    pub first_pause: Duration,
    /// The sum of all pauses; a `Retry-After` beyond it ends the request.
    pub pauses: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            document: Duration::from_secs(120),
            attempts: 5,
            first_pause: Duration::from_millis(250),
            pauses: Duration::from_secs(60),
        }
    }
}

/// `HOST[:PORT]` of `--insecure-registry`; without a port every port of the host is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    host: String,
    port: Option<u16>,
}

impl HostPort {
    /// Whether this names the given host (an IPv6 address in brackets) and port.
    #[must_use]
    pub fn names(&self, host: &str, port: u16) -> bool {
        self.host.eq_ignore_ascii_case(host) && self.port.is_none_or(|p| p == port)
    }
}

impl FromStr for HostPort {
    type Err = crate::oci::ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let registry: Registry = text.parse()?;
        let text = registry.as_str();
        // a Registry's last colon is the port's, unless it stands inside the brackets
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (text, None),
        };
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.iter().try_for_each(|port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insecure_hosts() {
        let named = |text: &str, host, port| text.parse::<HostPort>().unwrap().names(host, port);
        assert!(named("r.example", "r.example", 443) && named("R.example:5000", "r.example", 5000));
        assert!(!named("r.example:5000", "r.example", 443));
        assert!(named("[::1]", "[::1]", 80) && !named("[::1]:81", "[::1]", 80));
        assert!("r.example/x".parse::<HostPort>().is_err());
    }
}
