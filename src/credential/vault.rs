//! A place that keeps secrets by name: what a keyring must be able to do.

use std::time::Duration;

use crate::secret::Secret;

/// Why a keyring did not do it.
#[derive(Debug)]
pub enum VaultError {
    /// There is none.
    Absent(String),
    /// There is one.
    Broken(String),
}

/// A place that keeps secrets by name.
pub trait Vault: Send + Sync {
    /// Keeps a secret, in place of an older one.
    ///
    /// # Errors
    /// When there is no keyring, or it refuses.
    fn put(&self, name: &str, secret: &Secret) -> Result<(), VaultError>;

    /// The secret, `None` when there is none of this name.
    ///
    /// # Errors
    /// When there is no keyring, or it refuses.
    fn get(&self, name: &str) -> Result<Option<Secret>, VaultError>;

    /// Forgets the secret; it is no error when there was none.
    ///
    /// # Errors
    /// When there is no keyring, or it refuses.
    fn remove(&self, name: &str) -> Result<(), VaultError>;

    /// How long a secret stays at least when nobody uses it; `None`: until it is removed.
    fn lasts(&self) -> Option<Duration> {
        None
    }
}
