//! The directories of `docs/reference/files.md`: from the environment, else from the configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cli::show::output::{CliError, Report};
use crate::config::{Config, Origin, Value};
use crate::failure::Kind;

/// The process's environment.
pub(super) type Variables = BTreeMap<String, String>;

/// Where things are.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) cache: PathBuf,
    pub(super) ledger: PathBuf,
    pub(super) jobs: PathBuf,
    /// Who said each of the three.
    pub(super) said: [String; 3],
    /// The credentials are in it too.
    pub(super) config: PathBuf,
    /// The ledger's index, when the user says where; `off` keeps none on the disk.
    pub(super) index: Option<PathBuf>,
    /// For what is small and of this session (XDG base directory specification).
    pub(super) runtime: Option<PathBuf>,
}

impl Places {
    /// All of them: what no container may see.
    pub(super) fn own(&self) -> Vec<&Path> {
        let index = self.index.as_deref().filter(|path| path.is_absolute());
        [&*self.jobs, &self.ledger, &self.cache, &self.config].into_iter().chain(index).collect()
    }

    /// # Errors
    /// When there is no home directory and nothing else names one of them.
    pub(super) fn of(
        environment: &Variables,
        config: &Config,
        config_home: &Path,
    ) -> Result<Self, Report> {
        type Said = (PathBuf, String);
        let place = |variable: &'static str,
                     setting: &Option<Value<PathBuf>>,
                     default: Option<Said>|
         -> Result<Said, Report> {
            let named = set(environment, variable).map(PathBuf::from);
            let named = named.map(|path| std::path::absolute(&path).unwrap_or(path));
            let named = named.map(|path| (path, Origin::Environment(variable).to_string()));
            let set = setting.as_ref().map(|value| (value.value.clone(), value.origin.to_string()));
            named.or(set).or(default).ok_or_else(homeless)
        };
        let below = |name: &'static str, home: &str, last: &str| -> Option<Said> {
            let said = match named(environment, name) {
                Some(_) => Origin::Environment(name).to_string(),
                None => "default".to_owned(),
            };
            xdg(environment, name, home).map(|base| (base.join(last), said))
        };
        let cache = below("XDG_CACHE_HOME", ".cache", "moorline");
        let ledger = below("XDG_DATA_HOME", ".local/share", "moorline/ledger");
        let jobs = below("XDG_STATE_HOME", ".local/state", "moorline/jobs");
        let (cache, of_cache) = place("MOORLINE_CACHE", &config.cache, cache)?;
        let (ledger, of_ledger) = place("MOORLINE_LEDGER", &config.ledger, ledger)?;
        let (jobs, of_jobs) = place("", &config.jobs_dir, jobs)?;
        Ok(Self {
            cache,
            ledger,
            jobs,
            said: [of_cache, of_ledger, of_jobs],
            config: config_home.join("moorline"),
            index: set(environment, "MOORLINE_INDEX").map(PathBuf::from),
            runtime: set(environment, "XDG_RUNTIME_DIR")
                .map(PathBuf::from)
                .filter(|path| path.is_absolute()),
        })
    }
}

/// The folder that holds the user's configuration.
///
/// # Errors
/// When there is no home directory.
pub(super) fn config_home(environment: &Variables) -> Result<PathBuf, Report> {
    xdg(environment, "XDG_CONFIG_HOME", ".config").ok_or_else(homeless)
}

/// A variable; empty counts as unset.
pub(super) fn set<'a>(environment: &'a Variables, name: &str) -> Option<&'a str> {
    environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// A base directory: its own variable, when that is absolute, else below the home directory.
fn xdg(environment: &Variables, name: &str, below: &str) -> Option<PathBuf> {
    named(environment, name)
        .or_else(|| set(environment, "HOME").map(|home| Path::new(home).join(below)))
}

/// What a variable of that specification says; a path that is not absolute says nothing.
fn named(environment: &Variables, name: &str) -> Option<PathBuf> {
    set(environment, name).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn homeless() -> Report {
    CliError::new(Kind::Configuration, "HOME is not set, so no directory is known")
        .with_hint(
            "set HOME, or MOORLINE_CACHE, MOORLINE_LEDGER, XDG_CONFIG_HOME and XDG_STATE_HOME",
        )
        .into()
}
