//! Why a configuration or job file cannot be used: the file, the line, the key.

use std::path::PathBuf;

use super::{PROJECT_FILE, SITE_FILE, USER_FILE};
use crate::failure::{Failure, Kind};

/// A file that cannot be used. Keys are printed escaped, since a project file is foreign text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {problem}", file.display())]
pub struct ConfigError {
    /// Which file.
    pub file: PathBuf,
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
    /// Whether the file is a job file, whose errors are the command line's.
    pub job_file: bool,
}

/// What is wrong at a place of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not TOML.
    #[error("this is not TOML: {0}")]
    Toml(String),
    /// Larger than any such file.
    #[error("the file has {bytes} bytes; at most {limit} are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A key that nothing reads.
    #[error("unknown key {key:?}")]
    Unknown {
        /// The key.
        key: String,
        /// The known key that looks most like it.
        nearest: Option<String>,
    },
    /// A key that a project file may not set.
    #[error(
        "the key {key:?} is not allowed in a project file, because that file is somebody else's input"
    )]
    Forbidden {
        /// The key.
        key: String,
        /// The flag or variable that says the same, if there is one.
        also: Option<&'static str>,
    },
    /// A variable that a project file may not set.
    #[error(
        "a project file, which is somebody else's input, may not set {name:?}: that variable decides \
         what runs beside the program or instead of it"
    )]
    Variable {
        /// Its name.
        name: String,
    },
    /// `[policy]`, which this version cannot keep.
    #[error("the key {key:?} belongs to a policy that this version cannot enforce")]
    Policy {
        /// The key.
        key: String,
    },
    /// A secret in a file that is no place for secrets.
    #[error("the key {key:?} looks like a secret; a configuration file must not hold secrets")]
    Secret {
        /// The key; its value is not repeated.
        key: String,
    },
    /// An address with a password in it.
    #[error(
        "the key {key:?} is an address with a password in it; a configuration file must not hold secrets"
    )]
    Password {
        /// The key; its value is not repeated.
        key: String,
        /// Whether it is a database's.
        postgres: bool,
    },
    /// A value of the wrong type.
    #[error("{key:?} must be {expected}, not {found}")]
    Type {
        /// The key.
        key: String,
        /// What is read.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A value that breaks its own rules.
    #[error("{key:?}: {why}")]
    Value {
        /// The key.
        key: String,
        /// Which rule.
        why: String,
    },
}

impl Failure for ConfigError {
    fn kind(&self) -> Kind {
        match self.problem {
            Problem::Policy { .. } => Kind::Policy,
            _ if self.job_file => Kind::Usage,
            _ => Kind::Configuration,
        }
    }

    fn hint(&self) -> Option<String> {
        match &self.problem {
            Problem::Unknown { nearest: Some(nearest), .. } => {
                Some(format!("did you mean {nearest}?"))
            }
            Problem::Forbidden { also, .. } => {
                let other = also.map(|other| format!("; {other} says the same"));
                Some(format!(
                    "remove it from {PROJECT_FILE}; it may stand in {SITE_FILE} or in \
                     $XDG_CONFIG_HOME/{USER_FILE}{}",
                    other.unwrap_or_default()
                ))
            }
            Problem::Variable { name } => Some(format!(
                "remove it from {PROJECT_FILE}; --env {name}=VALUE sets it for one job, and [submit.env] \
                 in $XDG_CONFIG_HOME/{USER_FILE} for all of yours"
            )),
            Problem::Secret { .. } => {
                Some("moorline login REGISTRY --username NAME keeps it in a safe place".into())
            }
            Problem::Password { postgres: true, .. } => Some(
                "leave the password out: PGPASSFILE or a service file (PGSERVICEFILE) holds it, and \
                 sslmode=verify-full belongs into the address"
                    .into(),
            ),
            Problem::Password { .. } => Some("leave user and password out of the address".into()),
            Problem::Policy { .. } => Some("use a moorline that knows this policy".into()),
            _ => None,
        }
    }
}
