//! Everything that a verb may ask of its surroundings.

use std::cell::{OnceCell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use tokio::runtime::Runtime;

use super::places::{self, Places, Variables};
use super::project::Project;
use super::settings::Settings;
use crate::backend::Environment;
use crate::cli::show::output::{self, CliError, Report, Voice};
use crate::cli::show::window;
use crate::config::{self, Config, ConfigError, Level, Origin, Problem, Value};
use crate::credential::{Explicit, Scope};
use crate::failure::Kind;
use crate::files::{ForeignError, ForeignFile, Writers, barred};
use crate::ledger::index::Catalogue;
use crate::net::HostBudget;
use crate::oci::{Platform, Registry};
use crate::registry::{Client, HostPort};
use crate::text::Hidden;

/// Set on each global flag: the flags of a verb come first.
const HEADING: &str = "Global options";

/// Flags that stand before or after any verb.
#[derive(Debug, Args, Clone)]
pub struct Global {
    /// Print only errors and data: no progress, remarks or warnings
    #[arg(help_heading = HEADING, short, long, global = true)]
    pub quiet: bool,
    /// Say what is done, step by step; twice for a trace of the network (never a secret)
    #[arg(help_heading = HEADING, short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print the answer as one JSON document, or these fields of it: --json=job,state
    #[arg(help_heading = HEADING, long, global = true, value_name = "FIELD,...", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub json: Option<String>,
    /// Shorten nothing in tables
    #[arg(help_heading = HEADING, long, global = true)]
    pub full: bool,
    /// Read this file instead of the user configuration
    #[arg(help_heading = HEADING, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The registry of names without one.
    #[arg(help_heading = HEADING, long, global = true, value_name = "HOST[:PORT]", help = "The registry of names without one [env: MOORLINE_REGISTRY]")]
    pub registry: Option<Registry>,
    /// Allow plain http, or a certificate that cannot be verified, for this registry
    #[arg(help_heading = HEADING, long, global = true, value_name = "HOST[:PORT]")]
    pub insecure_registry: Vec<String>,
    /// Trust the certificates in this PEM file, too
    #[arg(help_heading = HEADING, long, global = true, value_name = "FILE")]
    pub ca_file: Vec<PathBuf>,
}

/// Larger configuration files are refused.
const MOST_BYTES: u64 = 1 << 20;

/// What the network runtime is made for.
#[derive(Clone, Copy, Debug)]
pub enum Threads {
    /// Questions and their answers. Threads that wake each other for every packet are a tenth of the
    /// time that a single question takes.
    One,
    /// Layers are downloaded while the calling thread converts.
    Several,
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
    pub(super) environment: Variables,
    pub(super) insecure: Vec<HostPort>,
    pub(super) ca_files: Vec<PathBuf>,
    pub(super) settings: Settings,
    pub(super) project: RefCell<Project>,
    pub(super) contributed: RefCell<Vec<String>>,
    /// What the image of this command is for, where no pin says it.
    pub(super) platform: RefCell<Option<Platform>>,
    pub(super) places: Places,
    pub(super) threads: Threads,
    pub(super) runtime: OnceCell<Runtime>,
    pub(super) hosts: OnceCell<Arc<HostBudget>>,
    pub(super) client: OnceCell<Client>,
    pub(super) api_clients: RefCell<Vec<crate::gitlab::Client>>,
    pub(super) explicit: OnceCell<Explicit>,
    pub(super) catalogue: OnceCell<RefCell<Catalogue>>,
    /// The secrets that no message may repeat.
    pub(super) hidden: Hidden,
}

/// The variables of this process that are set to something; names and values that are no UTF-8 are nothing that Moorline
/// reads.
pub fn given() -> Variables {
    let text = std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    text.filter(|(_, value)| !value.is_empty()).collect()
}

impl Context {
    /// Reads environment and configuration.
    ///
    /// # Errors
    /// When there is no home directory and nothing else names the places, or a configuration file
    /// is broken.
    pub fn read(global: &Global, threads: Threads) -> Result<Self, Report> {
        let voice = Voice::new(global.quiet, global.json.is_some(), global.full);
        crate::cli::show::trace::start(global.verbose);
        // names and values that are no UTF-8 are nothing that Moorline reads
        let environment: Variables = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        window::keep_columns(places::set(&environment, "COLUMNS"));
        let config_home = places::config_home(&environment)?;
        let (mut config, project) = read_config(global, &config_home, &environment)?;
        if let Some(said) = said_registry(global, &environment)? {
            config.registry = Some(said);
        }
        let places = Places::of(&environment, &config, &config_home)?;
        let program = std::env::current_exe().map_err(|e| {
            CliError::new(Kind::Configuration, format!("cannot find this program itself: {e}"))
        })?;
        let named = ["LOGNAME", "USER"].iter().find_map(|name| places::set(&environment, name));
        let user = named
            .map_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()), str::to_owned);
        let mut ca_files = global.ca_file.clone();
        ca_files.extend(config.ca_files.iter().map(|value| value.value.clone()));
        // GitLab's runner writes the authority of its server there
        if let Some(of_ci) = places::set(&environment, "CI_SERVER_TLS_CA_FILE") {
            let file = PathBuf::from(of_ci);
            if file.is_file() {
                ca_files.push(file);
            } else {
                let path = output::cell(of_ci);
                output::warn(format!(
                    "CI_SERVER_TLS_CA_FILE is passed over: there is no file {path}"
                ));
            }
        }
        let mut context = Self {
            voice,
            program,
            user,
            insecure: insecure(global, &config)?,
            ca_files,
            settings: Settings::of(&config),
            project: RefCell::new(project),
            contributed: RefCell::default(),
            platform: RefCell::default(),
            config,
            environment,
            places,
            threads,
            runtime: OnceCell::new(),
            hosts: OnceCell::new(),
            client: OnceCell::new(),
            api_clients: RefCell::default(),
            explicit: OnceCell::new(),
            catalogue: OnceCell::new(),
            hidden: output::hidden(),
        };
        context.settle_registry();
        Ok(context)
    }

    /// A variable of the environment; empty counts as unset.
    pub fn env(&self, name: &str) -> Option<&str> {
        places::set(&self.environment, name)
    }

    /// Keeps what an image in an archive is for, until the job is made of it.
    pub fn note_platform(&self, platform: Platform) {
        *self.platform.borrow_mut() = Some(platform);
    }

    /// What [`Context::note_platform`] kept.
    pub fn noted_platform(&self) -> Option<Platform> {
        self.platform.borrow().clone()
    }

    /// What engine commands may see of the environment.
    pub fn engine_environment() -> Environment {
        Environment::allowed(std::env::vars_os())
    }

    /// Runs something asynchronous to its end. One runtime serves all of a command's calls, so that
    /// connections stay open between them.
    ///
    /// # Errors
    /// When the system refuses what the runtime needs.
    pub fn block_on<F: Future>(&self, work: F) -> Result<F::Output, Report> {
        Ok(self.runtime()?.block_on(work))
    }

    /// What runs asynchronous work, made when it is first needed.
    ///
    /// # Errors
    /// When the system refuses what it needs.
    pub(super) fn runtime(&self) -> Result<&Runtime, Report> {
        if self.runtime.get().is_none() {
            let mut made = match self.threads {
                Threads::One => tokio::runtime::Builder::new_current_thread(),
                Threads::Several => tokio::runtime::Builder::new_multi_thread(),
            };
            let made = made.worker_threads(2).enable_all().build();
            let made = made.map_err(|e| {
                CliError::new(Kind::Configuration, format!("cannot start the network runtime: {e}"))
            })?;
            // a second one cannot come in between: this type is not shared between threads
            let _ = self.runtime.set(made);
        }
        match self.runtime.get() {
            Some(runtime) => Ok(runtime),
            None => Err(CliError::new(Kind::Configuration, "no network runtime").into()),
        }
    }
}

/// The registry that a flag or the environment names.
fn said_registry(
    global: &Global,
    environment: &Variables,
) -> Result<Option<Value<Registry>>, Report> {
    const VARIABLE: &str = "MOORLINE_REGISTRY";
    if let Some(registry) = &global.registry {
        return Ok(Some(Value { value: registry.clone(), origin: Origin::Flag("--registry") }));
    }
    let Some(text) = places::set(environment, VARIABLE) else { return Ok(None) };
    // it may name a project, too, for MOORLINE_USERNAME; a name without a registry must not go anywhere else
    let scope = Scope::typed(text).map_err(|error| {
        CliError::new(Kind::Configuration, format!("{VARIABLE}: {error}"))
            .with_hint("write HOST or HOST:PORT, or unset it")
    })?;
    Ok(Some(Value { value: scope.registry, origin: Origin::Environment(VARIABLE) }))
}

/// The hosts of `--insecure-registry` and of the configuration.
fn insecure(global: &Global, config: &Config) -> Result<Vec<HostPort>, Report> {
    let flags = global.insecure_registry.iter().map(|text| ("--insecure-registry", text.as_str()));
    let keys = config.insecure_registries.iter();
    let keys = keys.map(|value| ("insecure_registries", value.value.as_str()));
    flags
        .chain(keys)
        .map(|(of, text)| text.parse().map_err(|e| CliError::usage(format!("{of}: {e}")).into()))
        .collect()
}

/// Site, user, project: the later wins, within what each may set.
fn read_config(
    global: &Global,
    config_home: &Path,
    environment: &Variables,
) -> Result<(Config, Project), Report> {
    let read =
        |path: &Path, level: Level, file: ForeignFile<'_>| -> Result<Option<Config>, Report> {
            match file.find(path) {
                Ok(None) => Ok(None),
                Ok(Some(opened)) => {
                    let text = opened.text().map_err(|error| unread(path, &error))?;
                    Ok(Some(Config::parse(&text, level, path)?))
                }
                Err(error) => Err(unread(path, &error)),
            }
        };
    // below /etc only root can put something; and in a user namespace root has another number
    let any = ForeignFile::anyones(MOST_BYTES).through_links();
    let site = read(Path::new(config::SITE_FILE), Level::Site, any)?.unwrap_or_default();
    let user = match &global.config {
        // named on the command line: whose it is, is the caller's to know
        // "none": the one device that people name here
        Some(path) if path == Path::new("/dev/null") => Config::default(),
        Some(path) => {
            let text = any.or_handed().text(path).map_err(|error| unread(path, &error))?;
            Config::parse(&text, Level::User, path)?
        }
        // whoever can write it decides whom the caller trusts; dotfiles are often links
        None => {
            let writers = Writers::of_caller();
            let own = ForeignFile::written_by(&writers, MOST_BYTES).through_links();
            read(&config_home.join(config::USER_FILE), Level::User, own)?.unwrap_or_default()
        }
    };
    let groups = site.trusted_groups.iter().chain(&user.trusted_groups);
    let mut project = Project::here(environment, groups.map(|group| group.value.as_str()));
    let here = match project.text() {
        Some(text) => {
            let here = Config::parse(&text, Level::Project, Path::new(config::PROJECT_FILE))?;
            steers_no_engine(&here)?;
            // whoever chose a registry himself keeps it
            let chosen = site.registry.is_some() || user.registry.is_some();
            if chosen { Config { registry: None, ..here } } else { here }
        }
        None => Config::default(),
    };
    Ok((Config::merge(site, user, here), project))
}

/// A project file sets no variable that steers an engine: that could do something else than the job says.
fn steers_no_engine(project: &Config) -> Result<(), Report> {
    let steers = |name: &str| {
        let name = name.to_ascii_uppercase();
        crate::backend::engines().flat_map(|of| of.families).any(|f| name.starts_with(f))
    };
    match project.submit.env.iter().find(|(name, _)| steers(name)) {
        Some((name, value)) => {
            let line = if let Origin::File { line, .. } = value.origin { line } else { 1 };
            let problem = Problem::Variable { name: name.clone() };
            let file = PathBuf::from(config::PROJECT_FILE);
            Err(ConfigError { file, line, problem, job_file: false }.into())
        }
        None => Ok(()),
    }
}

fn unread(path: &Path, error: &ForeignError) -> Report {
    let message = format!("cannot read {}: {error}", path.display());
    let report = CliError::new(Kind::Configuration, message);
    match error {
        ForeignError::Outsider(_) | ForeignError::ForeignLink(_) => report
            .with_hint("a configuration decides whom you trust: it must be yours, and chmod go-w keeps others out")
            .into(),
        error if error.is_missing() => report
            .with_hint("--config names a file that there is; without it ~/.config/moorline/config.toml counts")
            .into(),
        ForeignError::Io(_) if barred(path).is_some() => report
            .with_hint("HOME or XDG_CONFIG_HOME may be another user's, as su leaves it: set it to a directory of yours")
            .into(),
        ForeignError::Io(_) => report.into(),
        _ => report.with_hint("put a regular file of UTF-8 text there").into(),
    }
}
