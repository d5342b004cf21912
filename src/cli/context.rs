//! What every verb needs: the global flags, the environment, the directories, the configuration.
//!
//! The only file that reads the process's environment and home directory.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::runtime::Runtime;

use super::git_remote;
use super::network;
use super::output::{self, CliError, Report, Voice};
use crate::backend::Environment;
use crate::config::{self, Config, Level, ServerUrl, Value};
use crate::credential::{self, Chain, Explicit, KernelKeyring, SystemKeyring};
use crate::failure::Kind;
use crate::gitlab::{self, CiJob, Token, TokenKind};
use crate::job::{EnvVar, Mount, Resources, RuntimeChoice};
use crate::layer::Limits;
use crate::ledger::{Ledger, View};
use crate::oci::{DOCKER_HUB, Platform, Registry};
use crate::pin::Built;
use crate::proxy::Proxies;
use crate::registry::{self, Client, HostPort};
use crate::secret::{Realm, Secret};
use crate::store::{SiteStore, Store, Timing};
use crate::submit::Site;

/// Flags that stand before or after any verb.
#[derive(Debug, Args)]
pub struct Global {
    /// Say only errors, warnings and data
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more of what is done; twice for traces of the network (never a secret)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Read this file instead of the user configuration
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Allow plain http, or a certificate that cannot be verified, for this registry
    #[arg(long, global = true, value_name = "HOST[:PORT]")]
    pub insecure_registry: Vec<String>,
    /// Trust the certificates of this PEM file as well
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Vec<PathBuf>,
}

/// Settings that verbs use as they are, whatever level they come from.
#[derive(Debug, Default)]
pub struct Settings {
    /// `[submit] backend`.
    pub backend: Option<String>,
    /// `[submit] runtime`.
    pub runtime: Option<RuntimeChoice>,
    /// `[submit] mounts`.
    pub mounts: Vec<Mount>,
    /// `[submit.env]`.
    pub env: Vec<EnvVar>,
    /// `[submit] cpus, memory, time`.
    pub resources: Resources,
    /// `[images]`: name -> reference.
    pub images: BTreeMap<String, String>,
    /// `[images]`: name -> what CI built.
    pub built: BTreeMap<String, Built>,
}

/// `[backend.NAME]`.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    /// Its workers' platform.
    pub platform: Option<Platform>,
    /// Its queue or partition.
    pub queue: Option<String>,
    /// The account that pays.
    pub account: Option<String>,
}

/// Everything a verb may ask of its surroundings.
pub struct Context {
    /// How much is said.
    pub voice: Voice,
    /// This program, which workers run.
    pub program: PathBuf,
    /// The account.
    pub user: String,
    /// The configuration with the origin of each value.
    pub config: Config,
    environment: BTreeMap<String, String>,
    insecure: Vec<HostPort>,
    ca_files: Vec<PathBuf>,
    settings: Settings,
    places: Places,
    runtime: OnceCell<Runtime>,
    client: OnceCell<Client>,
    explicit: OnceCell<Explicit>,
}

/// The directories of `docs/reference/files.md`.
#[derive(Debug)]
struct Places {
    cache: PathBuf,
    ledger: PathBuf,
    jobs: PathBuf,
    config: PathBuf,
}

impl Context {
    /// Reads environment and configuration.
    ///
    /// # Errors
    /// When there is no home directory and nothing else names the places, or a configuration file
    /// is broken.
    pub fn read(global: &Global) -> Result<Self, Report> {
        let voice = Voice { quiet: global.quiet, json: global.json };
        super::trace::start(global.verbose);
        // names and values that are no UTF-8 are nothing that Moorline reads
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        let get = |name: &str| environment.get(name).filter(|v| !v.is_empty()).cloned();
        let home = get("HOME").map(PathBuf::from);
        let xdg = |name: &str, below: &str| -> Option<PathBuf> {
            let set = get(name).map(PathBuf::from).filter(|p| p.is_absolute());
            set.or_else(|| home.as_ref().map(|home| home.join(below)))
        };
        let homeless = || {
            CliError::new(Kind::Configuration, "HOME is not set, so no directory is known")
                .with_hint("set HOME, or MOORLINE_CACHE, MOORLINE_LEDGER, XDG_CONFIG_HOME and XDG_STATE_HOME")
        };
        let config_home = xdg("XDG_CONFIG_HOME", ".config").ok_or_else(homeless)?;
        let config = read_config(global, &config_home)?;
        let place = |variable: &str, setting: &Option<Value<PathBuf>>, default: Option<PathBuf>| {
            let named = get(variable).map(|path| std::path::absolute(&path).unwrap_or(path.into()));
            let set = setting.as_ref().map(|value| value.value.clone());
            named.or(set).or(default).ok_or_else(homeless)
        };
        let below = |base: Option<PathBuf>, name: &str| base.map(|b| b.join("moorline").join(name));
        let cache_home = xdg("XDG_CACHE_HOME", ".cache").map(|p| p.join("moorline"));
        let places = Places {
            cache: place("MOORLINE_CACHE", &config.cache, cache_home)?,
            ledger: place(
                "MOORLINE_LEDGER",
                &config.ledger,
                below(xdg("XDG_DATA_HOME", ".local/share"), "ledger"),
            )?,
            jobs: place(
                "",
                &config.jobs_dir,
                below(xdg("XDG_STATE_HOME", ".local/state"), "jobs"),
            )?,
            config: config_home.join("moorline"),
        };
        let program = std::env::current_exe().map_err(|e| {
            CliError::new(Kind::Configuration, format!("cannot find this program itself: {e}"))
        })?;
        let user = get("LOGNAME")
            .or_else(|| get("USER"))
            .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
        let mut insecure = Vec::new();
        for text in &global.insecure_registry {
            insecure.push(
                text.parse().map_err(|e| CliError::usage(format!("--insecure-registry: {e}")))?,
            );
        }
        for value in &config.insecure_registries {
            let host = value.value.as_str().parse();
            insecure.push(host.map_err(|e| CliError::usage(format!("insecure_registries: {e}")))?);
        }
        let mut ca_files = global.ca_file.clone();
        ca_files.extend(config.ca_files.iter().map(|value| value.value.clone()));
        let settings = Settings::of(&config);
        Ok(Self {
            voice,
            program,
            user,
            config,
            environment,
            insecure,
            ca_files,
            settings,
            places,
            runtime: OnceCell::new(),
            client: OnceCell::new(),
            explicit: OnceCell::new(),
        })
    }

    /// A variable of the environment; empty counts as unset.
    pub fn env(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// What engine commands may see of the environment.
    pub fn engine_environment() -> Environment {
        Environment::allowed(std::env::vars_os())
    }

    /// The merged settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// `[backend.NAME]`.
    pub fn engine(&self, name: &str) -> Engine {
        let Some(found) = self.config.backends.get(name) else { return Engine::default() };
        Engine {
            platform: found.platform.as_ref().map(|v| v.value.clone()),
            queue: found.queue.as_ref().map(|v| v.value.clone()),
            account: found.account.as_ref().map(|v| v.value.clone()),
        }
    }

    /// The registry of names without one.
    pub fn default_registry(&self) -> &str {
        let set = self.config.registry.as_ref().or(self.config.gitlab.registry.as_ref());
        set.map_or(DOCKER_HUB, |value| value.value.as_str())
    }

    /// Where the jobs' directories are.
    pub fn jobs_dir(&self) -> &Path {
        &self.places.jobs
    }

    /// Where the ledger is.
    pub fn ledger_dir(&self) -> &Path {
        &self.places.ledger
    }

    /// Where the store is.
    pub fn cache_dir(&self) -> &Path {
        &self.places.cache
    }

    /// The ledger, for writing.
    ///
    /// # Errors
    /// When its directory is not safe or cannot be made.
    pub fn ledger(&self) -> Result<Ledger, Report> {
        Ok(Ledger::open(&self.places.ledger)?)
    }

    /// All jobs of the ledger. Lines that are damaged are said.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn view(&self) -> Result<View, Report> {
        let view = View::read(&self.places.ledger)?;
        if view.damaged > 0 {
            super::output::warn(format!(
                "{} lines of the ledger are damaged; moorline audit verify names them",
                view.damaged
            ));
        }
        Ok(view)
    }

    /// The own store.
    ///
    /// # Errors
    /// When its directory is not safe or cannot be made.
    pub fn store(&self) -> Result<Store, Report> {
        // for tests: a lease that expires soon
        let expiry = self.env("MOORLINE_TEST_LEASE_MS").and_then(|text| text.parse().ok());
        let timing =
            expiry.map(Duration::from_millis).map_or_else(Timing::default, Timing::with_expiry);
        Ok(Store::open_with(&self.places.cache, timing)?)
    }

    /// The site's store, when one is configured.
    pub fn site_store(&self) -> Option<SiteStore> {
        let set = &self.config.store;
        let keys = set.site_keys.iter().map(|value| value.value).collect();
        let owner = set.site_owner.as_ref().map(|value| value.value);
        set.site.as_ref().map(|root| SiteStore::new(&root.value, owner, keys))
    }

    /// What foreign layers may ask for at most: the configuration's, a project's only where it is
    /// lower.
    pub fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        for (name, limit) in &self.config.limits {
            let known = if limit.origin.is_project() {
                limits.lower(name, limit.value)
            } else {
                limits.set(name, limit.value)
            };
            debug_assert!(known, "the configuration read a limit that layers do not have: {name}");
        }
        limits
    }

    /// What a submission needs to know of this place.
    pub fn site(&self, kind: &str, inputs: Vec<PathBuf>) -> Site {
        let set = self.config.node_cache.as_ref().map(|value| value.value.clone());
        let local = (kind == "local").then(|| self.places.cache.join("node"));
        Site {
            jobs_dir: self.places.jobs.clone(),
            program: self.program.clone(),
            node_cache: set.or(local),
            site_store: self.config.store.site.as_ref().map(|value| value.value.clone()),
            user: self.user.clone(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            inputs,
        }
    }

    /// Takes a credential from the command line, before anything is asked of a registry.
    ///
    /// # Errors
    /// When a registry was asked already, or there is one: that would be a mistake of the verb.
    pub fn use_credential(&self, explicit: Explicit) -> Result<(), Report> {
        let late = || CliError::usage("a second credential on the command line");
        if self.client.get().is_some() {
            return Err(late().into());
        }
        self.explicit.set(explicit).map_err(|_| late().into())
    }

    /// The credential sources, in their order.
    pub fn credentials(&self) -> Chain {
        let registries = self
            .config
            .realms
            .keys()
            .chain(self.config.gitlab.registry.as_ref().map(|registry| &registry.value));
        let realms = registries.flat_map(|registry| {
            self.known_realms(registry).into_iter().map(|realm| (registry.clone(), realm))
        });
        Chain::new(credential::Settings {
            explicit: self.explicit.get().cloned(),
            environment: self.environment.clone(),
            file: self.places.config.join("credentials.json"),
            keyring: Some(Box::new(SystemKeyring)),
            kernel: Some(Box::new(KernelKeyring)),
            realms: realms.collect(),
            helper_patience: credential::HELPER_PATIENCE,
            warn: Some(Box::new(|sentence| output::warn(output::clean(sentence)))),
        })
    }

    /// Whether plain http was allowed for a registry.
    pub fn is_insecure(&self, registry: &Registry) -> bool {
        let text = format!("http://{registry}");
        let Ok(realm) = text.parse::<Realm>() else { return false };
        self.insecure.iter().any(|listed| listed.names(realm.host(), realm.port()))
    }

    /// The realms that the configuration or CI names for a registry.
    pub fn known_realms(&self, registry: &Registry) -> Vec<Realm> {
        let configured = self.config.realms.get(registry).map(|url| url.value.to_string());
        let gitlab = self.config.gitlab.registry.as_ref().filter(|r| r.value == *registry);
        let gitlab = gitlab.and(self.config.gitlab.url.as_ref()).map(|url| url.value.to_string());
        let ci = (self.env("CI_REGISTRY") == Some(registry.as_str()))
            .then(|| self.env("CI_SERVER_URL").map(str::to_owned))
            .flatten();
        [configured, gitlab, ci].into_iter().flatten().filter_map(|url| url.parse().ok()).collect()
    }

    /// The registry client: one for the whole command, so that tokens and connections are shared.
    ///
    /// # Errors
    /// When a CA file cannot be read.
    pub fn client(&self) -> Result<Client, Report> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = Client::new(registry::Options {
            insecure: self.insecure.clone(),
            ca_files: self.ca_files.clone(),
            credentials: self.credentials().into_lookup(),
            proxies: self.proxies()?,
            path_prefixes: network::path_prefixes(&self.config)?,
            kept: Some(network::kept_documents(&self.places.cache)),
            sharing: network::sharing(
                &self.places.cache,
                self.env("XDG_RUNTIME_DIR"),
                self.config.requests_at_once.as_ref().map(|value| value.value),
            ),
            notice: Some(std::sync::Arc::new(|sentence| output::warn(output::clean(sentence)))),
            ..registry::Options::default()
        })?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    /// The proxies that the environment names.
    ///
    /// # Errors
    /// Names the variable that holds no URL.
    pub fn proxies(&self) -> Result<Proxies, Report> {
        Ok(Proxies::read(|name| self.env(name))?)
    }

    /// The job of GitLab CI that this process runs in.
    ///
    /// # Errors
    /// When CI's own variables contradict what GitLab documents.
    pub fn ci_job(&self) -> Result<Option<CiJob>, Report> {
        CiJob::read(|name| self.env(name)).map_err(|why| {
            CliError::new(Kind::Configuration, format!("this looks like GitLab CI, but {why}"))
                .with_hint("name the image by its reference")
                .into()
        })
    }

    /// GitLab's server: configured, or CI's own.
    pub fn gitlab_server(&self) -> Option<ServerUrl> {
        let configured = self.config.gitlab.url.as_ref().map(|value| value.value.clone());
        configured.or_else(|| self.ci_server())
    }

    fn ci_server(&self) -> Option<ServerUrl> {
        self.env("CI_SERVER_URL")?.parse().ok()
    }

    /// A client for GitLab's API, when its server is known and a token for it is at hand. A job's
    /// token goes to the server that gave it only.
    ///
    /// # Errors
    /// When the token may not be sent there, or a CA file is broken.
    pub fn gitlab(&self) -> Result<Option<gitlab::Client>, Report> {
        const OWN: &str = "MOORLINE_GITLAB_TOKEN";
        const JOB: &str = "CI_JOB_TOKEN";
        let Some(server) = self.gitlab_server() else { return self.gitlab_of_remote() };
        let token = |kind, text: &str, source: &str| Token {
            kind,
            secret: Secret::new(text.to_owned()),
            source: source.to_owned(),
        };
        if let Some(text) = self.env(OWN) {
            return self.gitlab_at(server, token(TokenKind::Access, text, OWN)).map(Some);
        }
        if let Some((secret, source)) = self.credentials().api_token(&server)? {
            let token = Token { kind: TokenKind::Access, secret, source };
            return self.gitlab_at(server, token).map(Some);
        }
        let of_ci = self.ci_server().as_ref() == Some(&server);
        match self.env(JOB).filter(|_| of_ci) {
            Some(text) => self.gitlab_at(server, token(TokenKind::Job, text, JOB)).map(Some),
            None => Ok(None),
        }
    }

    /// Where nothing else names a server: that of the git remote, with a token that was kept for
    /// exactly it. Other tokens do not go where only a directory's content leads.
    fn gitlab_of_remote(&self) -> Result<Option<gitlab::Client>, Report> {
        let Some(server) = std::env::current_dir().ok().and_then(|dir| git_remote::server(&dir))
        else {
            return Ok(None);
        };
        if let Some((secret, source)) = self.credentials().api_token(&server)? {
            let token = Token { kind: TokenKind::Access, secret, source };
            return self.gitlab_at(server, token).map(Some);
        }
        if self.env("MOORLINE_GITLAB_TOKEN").is_some() {
            output::warn(format!(
                "MOORLINE_GITLAB_TOKEN is not sent to {server}, which only this directory's git \
                 remote names: write [gitlab] url in your configuration, or moorline login --api {server}"
            ));
        }
        Ok(None)
    }

    /// A client for the API of this server, with this token.
    ///
    /// # Errors
    /// When the token may not be sent there, or a CA file is broken.
    pub fn gitlab_at(&self, server: ServerUrl, token: Token) -> Result<gitlab::Client, Report> {
        let url = server.to_string().parse::<Realm>().ok();
        let insecure = url
            .is_some_and(|u| self.insecure.iter().any(|listed| listed.names(u.host(), u.port())));
        Ok(gitlab::Client::new(gitlab::Options {
            server,
            token,
            ca_files: self.ca_files.clone(),
            insecure,
            proxies: self.proxies()?,
            patience: std::time::Duration::from_secs(30),
        })?)
    }

    /// Runs something asynchronous to its end. One runtime serves all of a command's calls, so that
    /// connections stay open between them.
    ///
    /// # Errors
    /// When the system refuses what the runtime needs.
    pub fn block_on<F: Future>(&self, work: F) -> Result<F::Output, Report> {
        if self.runtime.get().is_none() {
            // several threads: layers are downloaded while this one converts
            let made =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let made = made.map_err(|e| {
                CliError::new(Kind::Configuration, format!("cannot start the network runtime: {e}"))
            })?;
            // a second one cannot come in between: this type is not shared between threads
            let _ = self.runtime.set(made);
        }
        match self.runtime.get() {
            Some(runtime) => Ok(runtime.block_on(work)),
            None => Err(CliError::new(Kind::Configuration, "no network runtime").into()),
        }
    }

    /// Finds a program in `PATH`.
    pub fn which(&self, program: &str) -> Option<PathBuf> {
        let path = self.env("PATH")?;
        std::env::split_paths(path).map(|dir| dir.join(program)).find(|file| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::metadata(file)
                .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        })
    }

    /// Refuses early when nothing here can run a container: no download is worth it then.
    ///
    /// # Errors
    /// With the cause and what mends it; exit code 9.
    pub fn require_runtime(&self, wanted: Option<RuntimeChoice>) -> Result<(), Report> {
        let wanted = wanted.or(self.settings.runtime).unwrap_or_default();
        let installed = |names: &[&str]| names.iter().any(|name| self.which(name).is_some());
        let there = match wanted {
            RuntimeChoice::Auto => installed(&["apptainer", "singularity"]),
            RuntimeChoice::Apptainer => installed(&["apptainer"]),
            RuntimeChoice::Singularity => installed(&["singularity"]),
            RuntimeChoice::Builtin => false,
        };
        if there {
            return Ok(());
        }
        if matches!(wanted, RuntimeChoice::Apptainer | RuntimeChoice::Singularity) {
            let message = format!("{} is not installed here", wanted.name());
            let error = CliError::new(Kind::NoRuntime, message);
            return Err(error.with_hint("--runtime builtin needs no container software").into());
        }
        crate::execute::probe().map_err(|refused| {
            let (cause, said) = (&refused.cause, &refused.said);
            let message = format!("no container runtime works here: {cause} ({said})");
            let error = CliError::new(Kind::NoRuntime, message);
            match refused.fix {
                Some(fix) => error.with_hint(fix).into(),
                None => error.with_hint("install apptainer").into(),
            }
        })
    }
}

impl Settings {
    fn of(config: &Config) -> Self {
        let submit = &config.submit;
        Self {
            backend: submit.backend.as_ref().map(|v| v.value.clone()),
            runtime: submit.runtime.as_ref().map(|v| v.value),
            mounts: submit.mounts.iter().map(|v| v.value.clone()).collect(),
            env: submit
                .env
                .iter()
                .map(|(name, v)| EnvVar { name: name.clone(), value: v.value.clone() })
                .collect(),
            resources: Resources {
                cpus: submit.cpus.as_ref().map(|v| v.value),
                memory_mib: submit.memory_mib.as_ref().map(|v| v.value),
                time_seconds: submit.time_seconds.as_ref().map(|v| v.value),
                queue: None,
                account: None,
            },
            images: config.images.iter().map(|(name, v)| (name.clone(), v.value.clone())).collect(),
            built: config.built.iter().map(|(name, v)| (name.clone(), v.value.clone())).collect(),
        }
    }
}

/// Site, user, project: the later wins, within what each may set.
fn read_config(global: &Global, config_home: &Path) -> Result<Config, Report> {
    let read = |path: &Path, level: Level, needed: bool| -> Result<Config, Report> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Config::parse(&text, level, path)?),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !needed => Ok(Config::default()),
            Err(e) => Err(CliError::new(
                Kind::Configuration,
                format!("cannot read {}: {e}", path.display()),
            )
            .into()),
        }
    };
    let site = read(Path::new(config::SITE_FILE), Level::Site, false)?;
    let user = match &global.config {
        Some(path) => read(path, Level::User, true)?,
        None => read(&config_home.join(config::USER_FILE), Level::User, false)?,
    };
    let project = read(Path::new(config::PROJECT_FILE), Level::Project, false)?;
    Ok(Config::merge(site, user, project))
}
