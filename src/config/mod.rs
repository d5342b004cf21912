//! Configuration files and job files: text in, types out. Who reads which file is `cli`'s business.
//!
//! ```text
//! site      /etc/moorline/config.toml                 trusted
//! user      $XDG_CONFIG_HOME/moorline/config.toml     trusted
//! project   moorline.toml                             somebody else's input: names, references,
//!                                                     resources, mounts and environment only; no
//!                                                     variable that decides what runs (variables.rs)
//! ------- merge: the later wins -------------------- > Config, each value with its Origin
//! job file  submit -f job.toml                        keys equal the long flags
//! ```
//!
//! Source: TOML 1.0; `docs/reference/files.md` is the list of keys, `keys.rs` the one in code.

mod error;
mod job_file;
mod keys;
mod read;
mod server;
mod settings;
mod variables;

use std::fmt;
use std::path::PathBuf;

pub use error::{ConfigError, Problem};
pub use job_file::JobFile;
pub use read::{parse_age, parse_size};
pub use server::{ParseServerError, ServerUrl};
pub use settings::{
    BackendSettings, Config, Entry, GitlabSettings, RegistrySifSettings, StoreSettings,
    SubmitSettings,
};

/// Where a project's configuration is looked for.
pub const PROJECT_FILE: &str = "moorline.toml";
/// The site's configuration.
pub const SITE_FILE: &str = "/etc/moorline/config.toml";
/// The user's configuration, below the directory of configurations.
pub const USER_FILE: &str = "moorline/config.toml";

/// Whose configuration file it is, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The machine's administrators'.
    Site,
    /// The user's own, or one named by `--config`.
    User,
    /// A repository's; somebody else's input.
    Project,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Site => "site",
            Self::User => "user",
            Self::Project => "project",
        })
    }
}

/// Where a value was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a file.
    File {
        /// Whose.
        level: Level,
        /// Which.
        file: PathBuf,
        /// From 1.
        line: usize,
    },
    /// In this environment variable; made by `cli`.
    Environment(&'static str),
    /// By this flag; made by `cli`.
    Flag(&'static str),
}

impl Origin {
    /// Whether somebody else's input said it.
    #[must_use]
    pub fn is_project(&self) -> bool {
        matches!(self, Self::File { level: Level::Project, .. })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { level, file, line } => write!(f, "{level} ({}:{line})", file.display()),
            Self::Environment(name) => write!(f, "environment ({name})"),
            Self::Flag(name) => write!(f, "flag ({name})"),
        }
    }
}

/// A value and where it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}
