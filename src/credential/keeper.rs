//! Where `login` keeps a secret.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where `login` keeps a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keeper {
    /// The user's keyring.
    Keyring,
    /// The kernel's keyring of this machine.
    Kernel,
    /// Our file, mode 0600.
    File,
}

impl Keeper {
    /// For sentences.
    #[must_use]
    pub fn described(self) -> &'static str {
        match self {
            Self::Keyring => "the keyring",
            Self::Kernel => "the kernel's keyring",
            Self::File => "the file",
        }
    }
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keyring => "keyring",
            Self::Kernel => "kernel keyring",
            Self::File => "file",
        })
    }
}
