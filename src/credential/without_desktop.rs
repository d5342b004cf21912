//! In place of the user's keyring, in programs that were built without the feature `desktop-keyring`: it is
//! absent, and says why.

use super::{Vault, VaultError};
use crate::secret::Secret;

/// The keyring of this session, of which this program knows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemKeyring;

fn absent<T>() -> Result<T, VaultError> {
    Err(VaultError::Absent(
        "this moorline was built without desktop keyrings (cargo's feature desktop-keyring)".into(),
    ))
}

impl Vault for SystemKeyring {
    fn put(&self, _name: &str, _secret: &Secret) -> Result<(), VaultError> {
        absent()
    }

    fn get(&self, _name: &str) -> Result<Option<Secret>, VaultError> {
        absent()
    }

    fn remove(&self, _name: &str) -> Result<(), VaultError> {
        absent()
    }
}
