//! What can be wrong with a credential source. No variant quotes a file's content.

use std::path::{Path, PathBuf};

use super::helper_name::is_name;
use crate::failure::{Failure, Kind, io_kind};
use crate::files::ForeignError;

/// A credential source that is broken, or a credential that is not there.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A text that names no registry.
    #[error("{0:?} is not a registry with an optional project: write registry[/group/project]")]
    Scope(String),
    /// An address that is plain http.
    #[error("write the registry without http://; a credential is not sent over plain http")]
    PlainScope,
    /// Half a credential in the environment.
    #[error("the environment has {has} but not {lacks}")]
    Incomplete {
        /// What is set.
        has: &'static str,
        /// What is not.
        lacks: &'static str,
    },
    /// A variable whose value cannot be understood.
    #[error("the environment variable {name} is broken: {reason}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// Why.
        reason: String,
    },
    /// A credential file that others could read.
    #[error("the credential file {path} has mode {mode:04o}, so others can reach it")]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A credential file that somebody else could replace.
    #[error("the credential file is not safe: {path} {reason}")]
    Unsafe {
        /// The file or one of the folders above it.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A credential file that cannot be read.
    #[error("cannot read the credential file {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A credential file that is not what it should be.
    #[error("the credential file {path} is malformed at line {line}, column {column}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// A file of a newer version, which is read but not written.
    #[error("the credential file {path} was written by a newer version (schema {schema})")]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its schema.
        schema: u32,
    },
    /// A credential file that cannot be written.
    #[error("cannot write the credential file {path}: {source}")]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file or variable of docker, podman or apptainer that cannot be used.
    #[error("{place} cannot be used: {reason}")]
    Foreign {
        /// The file or variable.
        place: String,
        /// Why.
        reason: String,
    },
    /// A credential helper that a file names for this registry, and that failed.
    #[error(
        "the credential helper docker-credential-{name}, which {place} names for {server}, failed: \
         {reason}"
    )]
    Helper {
        /// Its name without `docker-credential-`.
        name: String,
        /// The file or variable.
        place: String,
        /// The registry as it is written there.
        server: String,
        /// Why; never what it wrote.
        reason: String,
    },
    /// A file given on the command line that holds no credential.
    #[error("the credential file {path} {reason}")]
    NoCredential {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is a keyring, and it does not do what it should.
    #[error("the keyring has a problem with the credential of {name}: {reason}")]
    Keyring {
        /// Whose, as it was given to `login`.
        name: String,
        /// What it said.
        reason: String,
    },
    /// There is no keyring.
    #[error("there is no keyring: {0}")]
    NoKeyring(String),
    /// Nothing to forget.
    #[error("no credential is stored for {0}")]
    NotStored(String),
}

impl CredentialError {
    /// For `map_err`: why a file with credentials is not read.
    pub(super) fn of_file(path: &Path) -> impl Fn(ForeignError) -> Self + use<'_> {
        |error| {
            let path = path.to_owned();
            match error {
                ForeignError::Io(source) => Self::Read { path, source },
                other => Self::Unsafe { path, reason: format!("is refused: {other}") },
            }
        }
    }
}

impl Failure for CredentialError {
    fn kind(&self) -> Kind {
        match self {
            Self::Scope(_) | Self::PlainScope => Kind::Usage,
            Self::NotStored(_) => Kind::NotFound,
            Self::Write { source, .. } => io_kind(source, Kind::Configuration),
            _ => Kind::Configuration,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::PlainScope => {
                "write HOST[:PORT]; --insecure-registry HOST[:PORT] allows plain http for it".into()
            }
            Self::Incomplete { .. } => {
                "set MOORLINE_REGISTRY, MOORLINE_USERNAME and MOORLINE_PASSWORD together, or none"
                    .into()
            }
            Self::Exposed { path, .. } => {
                format!(
                    "make a new token if others could read it, then: chmod 600 {}",
                    path.display()
                )
            }
            Self::Unsafe { path, .. } => format!(
                "make {} yours alone, or use another place: whoever can write there could put another \
                 credential in its place",
                path.display()
            ),
            Self::Malformed { path, .. } => {
                format!("move {} away and log in again", path.display())
            }
            Self::Foreign { place, .. } => format!(
                "repair {place}, or remove the registry from it: a broken source never counts as \
                 \"no credential\""
            ),
            Self::Helper { name, server, .. } if is_name(name) => {
                format!("see what it says: printf %s {server} | docker-credential-{name} get")
            }
            Self::NoCredential { .. } => {
                "the first line is the user name, the second the secret".into()
            }
            Self::Newer { .. } => "use the newer moorline to change it".into(),
            Self::Keyring { name, .. } => {
                format!(
                    "unlock the keyring, or: moorline login {name} --username NAME --store file"
                )
            }
            Self::NoKeyring(_) => "use --store file".into(),
            Self::NotStored(_) => "moorline login --list shows what is stored".into(),
            _ => return None,
        })
    }
}
