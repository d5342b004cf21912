//! What the sources may read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{Explicit, Vault};
use crate::oci::Registry;
use crate::secret::Realm;

/// How long a helper may take by default, a question to its user included.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that the sources read.
pub struct Settings {
    /// `--username` with `--password-stdin`.
    pub explicit: Option<Explicit>,
    /// The process environment.
    pub environment: BTreeMap<String, String>,
    /// Our own file, `$XDG_CONFIG_HOME/moorline/credentials.json`; it need not exist.
    pub file: PathBuf,
    /// The keyring; `None` where it must not be asked.
    pub keyring: Option<Box<dyn Vault>>,
    /// The kernel's keyring, where no other answers; `None` where it must not be asked.
    pub kernel: Option<Box<dyn Vault>>,
    /// Token realms from flags or the configuration.
    pub realms: Vec<(Registry, Realm)>,
    /// How long a credential helper may take.
    pub helper_patience: Duration,
    /// Names of further variables that a helper may see, from the user's own configuration.
    pub helper_variables: Vec<String>,
    /// Who is told what a user should know although it is no error; each sentence once.
    pub warn: Option<Warn>,
}

/// Takes a sentence for the user.
pub type Warn = Box<dyn Fn(&str) + Send + Sync>;

impl Settings {
    /// Only our own file.
    #[must_use]
    pub fn file_only(file: PathBuf) -> Self {
        Self {
            explicit: None,
            environment: BTreeMap::new(),
            file,
            keyring: None,
            kernel: None,
            realms: Vec::new(),
            helper_patience: PATIENCE,
            helper_variables: Vec::new(),
            warn: None,
        }
    }
}
