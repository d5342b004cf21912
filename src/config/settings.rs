//! The settings themselves: read from one file, merged over the levels, listed for `config show`.

mod lists;
pub(super) mod shown;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use super::job_file::{runtime, runtimes, set_built, unread};
use super::keys::{self, Found, Who};
use super::read::{Item, Source};
use super::{ConfigError, Level, Origin, Problem, ServerUrl, Value, variables};
use crate::job::{CallFilter, Mount, Name, RuntimeChoice};
use crate::oci::{DOCKER_HUB, HubName, Platform, Reference, Registry, Repository};
use crate::pin::Built;
use crate::sign::PublicKey;

use lists::both;

/// All settings. Nothing is filled in: what nobody said is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The registry of short names.
    pub registry: Option<Value<Registry>>,
    /// Hosts that may be plain http or have an unverified certificate.
    pub insecure_registries: Vec<Value<Registry>>,
    /// Certificates to trust as well.
    pub ca_files: Vec<Value<PathBuf>>,
    /// Registries below a path of their host: `host/prefix`.
    pub path_prefixes: Vec<Value<String>>,
    /// Requests on their way to one host at the same time, of all this user's processes.
    pub requests_at_once: Option<Value<u64>>,
    /// Groups whose members may write a project's files, by name or number.
    pub trusted_groups: Vec<Value<String>>,
    /// Names of variables that credential helpers may see besides their own.
    pub helper_variables: Vec<Value<String>>,
    /// Who hands out tokens for a registry; the URL has no path.
    pub realms: BTreeMap<Registry, Value<ServerUrl>>,
    /// The store.
    pub cache: Option<Value<PathBuf>>,
    /// The ledger.
    pub ledger: Option<Value<PathBuf>>,
    /// Job directories.
    pub jobs_dir: Option<Value<PathBuf>>,
    /// `[store]`.
    pub store: StoreSettings,
    /// `[registry_sifs]`.
    pub registry_sifs: RegistrySifSettings,
    /// Where a worker unpacks images.
    pub node_cache: Option<Value<PathBuf>>,
    /// The container runtimes that `auto` tries, in this order.
    pub runtimes: Option<Value<Vec<Name>>>,
    /// Whether programs run behind the filter of system calls.
    pub syscall_filter: Option<Value<CallFilter>>,
    /// Short names for images. The text is a reference; it is read again when the default
    /// registry is known.
    pub images: BTreeMap<String, Value<String>>,
    /// Short names for what CI builds; a name stands here or in `images`.
    pub built: BTreeMap<String, Value<Built>>,
    /// Defaults of `run` and `submit`.
    pub submit: SubmitSettings,
    /// By the backend's name.
    pub backends: BTreeMap<String, BackendSettings>,
    /// The GitLab server.
    pub gitlab: GitlabSettings,
    /// `[shub] endpoint`: who plays Singularity Hub.
    pub hub: Option<Value<ServerUrl>>,
    /// `[wait]`.
    pub wait: WaitSettings,
    /// `[limits]`: what foreign layers may ask for at most, by name. A project file only lowers
    /// them: whoever applies one of its values compares it with what held before.
    pub limits: BTreeMap<String, Value<u64>>,
    /// `[policy] plain_match_only`: an audit accepts no *Match* that something else than the image
    /// decided, too. Whoever comes later can only tighten it.
    pub plain_match_only: Option<Value<bool>>,
}

/// `[store]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreSettings {
    /// A store that the site publishes.
    pub site: Option<Value<PathBuf>>,
    /// The uid that publishes there, besides root.
    pub site_owner: Option<Value<u32>>,
    /// Who may have signed what is there.
    pub site_keys: Vec<Value<PublicKey>>,
    /// Bytes of blobs, indexes and SIFs that a store may hold.
    pub max_size: Option<Value<u64>>,
    /// How long a pruned SIF stays in the trash.
    pub trash_age: Option<Value<Duration>>,
}

/// `[registry_sifs]`: SIFs that lie beside their images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrySifSettings {
    /// Who may have signed one that is used.
    pub keys: Vec<Value<PublicKey>>,
    /// Whether they are looked for.
    pub look_up: Option<Value<bool>>,
}

/// `[submit]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubmitSettings {
    /// The backend's name; whether there is one of that name is not checked here.
    pub backend: Option<Value<String>>,
    /// The container runtime.
    pub runtime: Option<Value<RuntimeChoice>>,
    /// Mounts, the site's first.
    pub mounts: Vec<Value<Mount>>,
    /// Variables for the program, by name.
    pub env: BTreeMap<String, Value<String>>,
    /// Cores.
    pub cpus: Option<Value<u32>>,
    /// Memory in MiB.
    pub memory_mib: Option<Value<u64>>,
    /// Wall time in seconds.
    pub time_seconds: Option<Value<u64>>,
    /// Seconds between a signal that ends a program and KILL.
    pub grace_seconds: Option<Value<u64>>,
}

/// `[backend.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendSettings {
    /// What the engine's workers are.
    pub platform: Option<Value<Platform>>,
    /// Partition or queue.
    pub queue: Option<Value<String>>,
    /// Who pays.
    pub account: Option<Value<String>>,
    /// Whether a job is submitted held and released when it is on record; by default where the engine can.
    pub hold: Option<Value<bool>>,
}

/// `[wait]`: how many seconds nobody may say how a job is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitSettings {
    /// The engine answers and does not know the job.
    pub unknown: Option<Value<u64>>,
    /// The engine does not answer.
    pub silent: Option<Value<u64>>,
}

/// `[gitlab]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitlabSettings {
    /// The server.
    pub url: Option<Value<ServerUrl>>,
    /// Its registry.
    pub registry: Option<Value<Registry>>,
}

impl Config {
    /// Reads one file's text. `file` is for messages and origins; nothing is opened.
    ///
    /// # Errors
    /// Names the file, the line and the key; a key that `level` may not set is
    /// [`Problem::Forbidden`].
    pub fn parse(text: &str, level: Level, file: &Path) -> Result<Self, ConfigError> {
        let source = Source { file, text, job_file: false };
        let mut config = Self::default();
        config.walk(&source.table()?, &[], level, source)?;
        Ok(config)
    }

    /// Reads the keys of a table that stands at `prefix`; as deep as the list of keys, not as
    /// deep as the file.
    fn walk(
        &mut self,
        table: &DeTable<'_>,
        prefix: &[&str],
        level: Level,
        source: Source<'_>,
    ) -> Result<(), ConfigError> {
        for (key, value) in table {
            let path = [prefix, &[key.get_ref().as_ref()]].concat();
            let joined = path.join(".");
            let item = Item { source, key: &joined, value };
            let refuse = |problem| Err(source.error(key.span().start, problem));
            if let Some(scheme) = value.get_ref().as_str().and_then(keys::password_in) {
                let postgres = scheme.starts_with("postgres");
                return refuse(Problem::Password { key: joined, postgres });
            }
            match keys::find(&path) {
                Found::Key("policy.*", _) => return refuse(Problem::Policy { key: joined }),
                Found::Key(_, Who::Trusted) if level == Level::Project => {
                    return refuse(Problem::Forbidden { key: joined });
                }
                Found::Key(pattern, _) => {
                    let origin =
                        Origin::File { level, file: source.file.to_owned(), line: item.line() };
                    self.set(pattern, &path, &item, &origin)?;
                }
                Found::Table => self.walk(item.table()?, &path, level, source)?,
                Found::Nothing if path.iter().any(|name| keys::is_secret(name)) => {
                    return refuse(Problem::Secret { key: joined });
                }
                Found::Nothing => {
                    let nearest = keys::nearest(&path, keys::CONFIG.map(|(key, _)| key));
                    return refuse(Problem::Unknown { key: joined, nearest });
                }
            }
        }
        Ok(())
    }

    fn set(
        &mut self,
        pattern: &str,
        path: &[&str],
        item: &Item<'_>,
        origin: &Origin,
    ) -> Result<(), ConfigError> {
        let name = path.get(1).copied().unwrap_or_default();
        match pattern {
            "registry" => self.registry = Some(value(registry(item)?, origin)),
            "insecure_registries" => self.insecure_registries = list(item, origin, registry)?,
            "ca_files" => self.ca_files = list(item, origin, Item::absolute_path)?,
            "path_prefixes" => self.path_prefixes = list(item, origin, path_prefix)?,
            "requests_at_once" => self.requests_at_once = Some(value(item.limit()?, origin)),
            "trusted_groups" => self.trusted_groups = list(item, origin, group)?,
            "helper_variables" => self.helper_variables = list(item, origin, variable)?,
            "realms.*" => {
                let of = name.parse().map_err(|e| item.bad_value(e))?;
                self.realms.insert(of, value(realm(item)?, origin));
            }
            "cache" => self.cache = Some(value(item.absolute_path()?, origin)),
            "ledger" => self.ledger = Some(value(item.absolute_path()?, origin)),
            "jobs_dir" => self.jobs_dir = Some(value(item.absolute_path()?, origin)),
            "node_cache" => self.node_cache = Some(value(item.absolute_path()?, origin)),
            "runtimes" => self.runtimes = Some(value(runtimes(item)?, origin)),
            "syscall_filter" => self.syscall_filter = Some(value(filter(item)?, origin)),
            "store.site" => self.store.site = Some(value(item.absolute_path()?, origin)),
            "store.site_owner" => self.store.site_owner = Some(value(item.uid()?, origin)),
            "store.site_keys" => self.store.site_keys = list(item, origin, Item::parsed)?,
            "store.max_size" => self.store.max_size = Some(value(item.size()?, origin)),
            "store.trash_age" => self.store.trash_age = Some(value(item.age()?, origin)),
            "registry_sifs.keys" => self.registry_sifs.keys = list(item, origin, Item::parsed)?,
            "registry_sifs.look_up" => {
                self.registry_sifs.look_up = Some(value(item.yes_or_no()?, origin));
            }
            "images.*" if item.value.get_ref().is_table() => {
                self.built.insert(name.to_owned(), value(built(name, item)?, origin));
            }
            "images.*" => {
                let image = image(name, item)?;
                self.images.insert(name.to_owned(), value(image, origin));
            }
            "submit.backend" => self.submit.backend = Some(value(item.identifier()?, origin)),
            "submit.runtime" => self.submit.runtime = Some(value(runtime(item)?, origin)),
            "submit.mounts" => self.submit.mounts = list(item, origin, mounts::spelled(origin))?,
            "submit.env.*" => {
                let variable = item.variable(path.get(2).copied().unwrap_or_default())?;
                if origin.is_project() && variables::decides_what_runs(&variable.name) {
                    return Err(item.error(Problem::Variable { name: variable.name }));
                }
                self.submit.env.insert(variable.name, value(variable.value, origin));
            }
            "submit.cpus" => self.submit.cpus = Some(value(item.cpus()?, origin)),
            "submit.memory" => self.submit.memory_mib = Some(value(item.memory()?, origin)),
            "submit.grace" => self.submit.grace_seconds = Some(value(item.time()?, origin)),
            "submit.time" => self.submit.time_seconds = Some(value(item.time()?, origin)),
            "backend.*.platform" => {
                self.backend(name).platform = Some(value(item.parsed::<Platform>()?, origin));
            }
            "backend.*.queue" => self.backend(name).queue = Some(value(item.identifier()?, origin)),
            "backend.*.account" => {
                self.backend(name).account = Some(value(item.identifier()?, origin));
            }
            "backend.*.hold" => {
                self.backend(name).hold = Some(value(item.yes_or_no()?, origin));
            }
            "gitlab.url" => self.gitlab.url = Some(value(item.parsed::<ServerUrl>()?, origin)),
            "gitlab.registry" => self.gitlab.registry = Some(value(registry(item)?, origin)),
            "shub.endpoint" => self.hub = Some(value(item.parsed::<ServerUrl>()?, origin)),
            "wait.unknown" => self.wait.unknown = Some(value(item.time()?, origin)),
            "wait.silent" => self.wait.silent = Some(value(item.time()?, origin)),
            "policy.plain_match_only" => {
                self.plain_match_only = Some(value(item.yes_or_no()?, origin));
            }
            pattern if pattern.starts_with("limits.") => {
                self.limits.insert(name.to_owned(), value(item.limit()?, origin));
            }
            _ => return Err(unread(item)),
        }
        Ok(())
    }

    fn backend(&mut self, name: &str) -> &mut BackendSettings {
        self.backends.entry(name.to_owned()).or_default()
    }

    /// One configuration of the three: single values and table entries of the later level win,
    /// lists are added up, and of mounts to one target the later level's stays.
    #[must_use]
    pub fn merge(site: Self, user: Self, project: Self) -> Self {
        site.under(user).under(project)
    }

    /// This configuration below `upper`, whose values win; for `--config FILE` over the user's.
    #[must_use]
    pub fn under(mut self, upper: Self) -> Self {
        // a name is one image, in whichever way the later level says it
        self.images.retain(|name, _| !upper.built.contains_key(name));
        self.built.retain(|name, _| !upper.images.contains_key(name));
        let mut backends = self.backends;
        let mut limits = self.limits;
        for (name, limit) in upper.limits {
            let lowers = limits.get(&name).is_none_or(|lower| limit.value < lower.value);
            if lowers || !limit.origin.is_project() {
                limits.insert(name, limit);
            }
        }
        for (name, settings) in upper.backends {
            let lower = backends.remove(&name).unwrap_or_default();
            backends.insert(
                name,
                BackendSettings {
                    platform: settings.platform.or(lower.platform),
                    queue: settings.queue.or(lower.queue),
                    account: settings.account.or(lower.account),
                    hold: settings.hold.or(lower.hold),
                },
            );
        }
        Self {
            registry: upper.registry.or(self.registry),
            insecure_registries: both(
                self.insecure_registries,
                upper.insecure_registries,
                PartialEq::eq,
            ),
            ca_files: both(self.ca_files, upper.ca_files, PartialEq::eq),
            path_prefixes: both(self.path_prefixes, upper.path_prefixes, PartialEq::eq),
            requests_at_once: upper.requests_at_once.or(self.requests_at_once),
            helper_variables: both(self.helper_variables, upper.helper_variables, PartialEq::eq),
            hub: upper.hub.or(self.hub),
            trusted_groups: both(self.trusted_groups, upper.trusted_groups, PartialEq::eq),
            realms: self.realms.into_iter().chain(upper.realms).collect(),
            cache: upper.cache.or(self.cache),
            ledger: upper.ledger.or(self.ledger),
            jobs_dir: upper.jobs_dir.or(self.jobs_dir),
            node_cache: upper.node_cache.or(self.node_cache),
            runtimes: upper.runtimes.or(self.runtimes),
            syscall_filter: upper.syscall_filter.or(self.syscall_filter),
            store: StoreSettings {
                site: upper.store.site.or(self.store.site),
                site_owner: upper.store.site_owner.or(self.store.site_owner),
                site_keys: both(self.store.site_keys, upper.store.site_keys, PartialEq::eq),
                max_size: upper.store.max_size.or(self.store.max_size),
                trash_age: upper.store.trash_age.or(self.store.trash_age),
            },
            registry_sifs: RegistrySifSettings {
                keys: both(self.registry_sifs.keys, upper.registry_sifs.keys, PartialEq::eq),
                look_up: upper.registry_sifs.look_up.or(self.registry_sifs.look_up),
            },
            images: self.images.into_iter().chain(upper.images).collect(),
            built: self.built.into_iter().chain(upper.built).collect(),
            submit: SubmitSettings {
                backend: upper.submit.backend.or(self.submit.backend),
                runtime: upper.submit.runtime.or(self.submit.runtime),
                mounts: mounts::merged(self.submit.mounts, upper.submit.mounts),
                env: self.submit.env.into_iter().chain(upper.submit.env).collect(),
                cpus: upper.submit.cpus.or(self.submit.cpus),
                memory_mib: upper.submit.memory_mib.or(self.submit.memory_mib),
                time_seconds: upper.submit.time_seconds.or(self.submit.time_seconds),
                grace_seconds: upper.submit.grace_seconds.or(self.submit.grace_seconds),
            },
            backends,
            gitlab: GitlabSettings {
                url: upper.gitlab.url.or(self.gitlab.url),
                registry: upper.gitlab.registry.or(self.gitlab.registry),
            },
            wait: WaitSettings {
                unknown: upper.wait.unknown.or(self.wait.unknown),
                silent: upper.wait.silent.or(self.wait.silent),
            },
            limits,
            plain_match_only: match self.plain_match_only {
                Some(set) if set.value => Some(set),
                lower => upper.plain_match_only.or(lower),
            },
        }
    }
}

fn value<T>(value: T, origin: &Origin) -> Value<T> {
    Value { value, origin: origin.clone() }
}

/// Each item of a list; all have the list's origin but their own line in errors.
fn list<'a, T>(
    item: &Item<'a>,
    origin: &Origin,
    read: impl Fn(&Item<'a>) -> Result<T, ConfigError>,
) -> Result<Vec<Value<T>>, ConfigError> {
    item.list()?.iter().map(|item| Ok(value(read(item)?, origin))).collect()
}

/// A group by its name or number.
fn group(item: &Item<'_>) -> Result<String, ConfigError> {
    let text = item.line_of_text()?;
    let good = |c: char| c.is_alphanumeric() || "._-@\\ ".contains(c);
    if !text.chars().all(good) {
        return Err(item.bad_value("write a group's name or its number"));
    }
    Ok(text)
}

/// Whether the filter is on.
fn filter(item: &Item<'_>) -> Result<CallFilter, ConfigError> {
    let text = item.text()?;
    let known = CallFilter::ALL.iter().find(|(name, _)| *name == text);
    known
        .map(|(_, filter)| *filter)
        .ok_or_else(|| item.bad_value(format!("{text:?} is none of auto, on, off")))
}

/// A registry; a text with `@` may hold a password and is not repeated.
fn registry(item: &Item<'_>) -> Result<Registry, ConfigError> {
    if item.text()?.contains('@') {
        return Err(item.bad_value("a registry has no user: write host or host:port"));
    }
    item.parsed()
}

/// `host/prefix`, as it stands in the names of the images there.
fn path_prefix(item: &Item<'_>) -> Result<String, ConfigError> {
    let text = item.line_of_text()?;
    let bad = || item.bad_value("write host/prefix or host:port/prefix");
    let (host, path) = text.split_once('/').filter(|_| !text.contains('@')).ok_or_else(bad)?;
    host.parse::<Registry>().map_err(|_| bad())?;
    path.parse::<Repository>().map_err(|_| bad())?;
    Ok(text)
}

/// A variable's name, as a shell can set it.
fn variable(item: &Item<'_>) -> Result<String, ConfigError> {
    let name = item.line_of_text()?;
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(good) {
        return Err(item.bad_value("write the variable's name, without $ and value"));
    }
    Ok(name)
}

/// A realm is scheme, host and port: nothing that could be mistaken for one place of a server.
fn realm(item: &Item<'_>) -> Result<ServerUrl, ConfigError> {
    let realm: ServerUrl = item.parsed()?;
    if !realm.path().is_empty() {
        return Err(item.bad_value("a realm has no path: write https://host or https://host:port"));
    }
    Ok(realm)
}

/// A short name for what CI builds: its project and the words of the flags.
fn built(name: &str, item: &Item<'_>) -> Result<Built, ConfigError> {
    named(name, item)?;
    let mut built = Built::default();
    for (key, value) in item.table()? {
        let word: &str = key.get_ref().as_ref();
        let path = format!("{}.{word}", item.key);
        if !Built::KEYS.contains(&word) {
            let nearest =
                keys::nearest(&[word], Built::KEYS).map(|key| format!("{}.{key}", item.key));
            let problem = Problem::Unknown { key: path, nearest };
            return Err(item.source.error(key.span().start, problem));
        }
        set_built(&mut built, word, &Item { source: item.source, key: &path, value })?;
    }
    if let Some((one, other)) = built.conflict() {
        return Err(item.bad_value(format!("{one:?} cannot stand beside {other:?}")));
    }
    if built.project.is_none() {
        return Err(item.bad_value("it needs a project: project = \"group/project\""));
    }
    Ok(built)
}

/// A short name and the reference that it stands for.
fn image(name: &str, item: &Item<'_>) -> Result<String, ConfigError> {
    named(name, item)?;
    let text = item.line_of_text()?;
    if HubName::is_meant(&text) {
        let read = text.parse::<HubName>().map(drop);
        return read.map(|()| text).map_err(|e| item.bad_value(e));
    }
    // a SIF of a registry has the same form behind its scheme
    let reference = text.strip_prefix("oras://").unwrap_or(&text);
    Reference::parse(reference, DOCKER_HUB).map_err(|e| item.bad_value(e))?;
    Ok(text)
}

fn named(name: &str, item: &Item<'_>) -> Result<(), ConfigError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let first = name.bytes().next();
    if !name.bytes().all(good) || !first.is_some_and(|b| b.is_ascii_alphanumeric()) {
        return Err(item.bad_value("a name has letters, digits and . _ -, and begins with no sign"));
    }
    Ok(())
}

mod mounts;
#[cfg(test)]
mod tests;
