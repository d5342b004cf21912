//! The user's keyring: Secret Service over D-Bus.
//!
//! The secret lies there under the service `moorline` and the scope's text. No D-Bus, as on login
//! nodes, batch nodes and in CI, means that the keyring is absent; one that is there and does not
//! answer is broken. Programs without the feature `desktop-keyring` have `without_desktop.rs` instead.
//!
//! Source: the crate `keyring`; freedesktop.org, "Secret Service API".

use std::sync::mpsc;
use std::time::Duration;

use super::{Vault, VaultError};
use crate::secret::Secret;

/// The name under which keyrings show our entries.
const SERVICE: &str = "moorline";

/// How long a keyring may take, a question to its user included.
const PATIENCE: Duration = Duration::from_secs(60);

/// The keyring of this session. It may ask its user to unlock it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemKeyring;

impl Vault for SystemKeyring {
    fn put(&self, name: &str, secret: &Secret) -> Result<(), VaultError> {
        let secret = secret.clone();
        with_entry(name, move |entry| entry.set_password(secret.expose()))?;
        Ok(())
    }

    fn get(&self, name: &str) -> Result<Option<Secret>, VaultError> {
        with_entry(name, |entry| entry.get_password().map(Secret::new))
    }

    fn remove(&self, name: &str) -> Result<(), VaultError> {
        with_entry(name, keyring::Entry::delete_credential)?;
        Ok(())
    }
}

/// Runs on a thread of its own, because D-Bus may never answer and may not be called from a
/// thread that serves tokio.
fn with_entry<T: Send + 'static>(
    name: &str,
    work: impl FnOnce(&keyring::Entry) -> keyring::Result<T> + Send + 'static,
) -> Result<Option<T>, VaultError> {
    let (send, receive) = mpsc::channel();
    let name = name.to_owned();
    let job = move || {
        let done = match keyring::Entry::store_status() {
            Err(error) => {
                // the library's words name sockets and interfaces, and tell a user nothing
                tracing::debug!(%error, "no Secret Service");
                Err(VaultError::Absent("no desktop keyring answers over D-Bus".into()))
            }
            Ok(()) => match keyring::Entry::new(SERVICE, &name).and_then(|e| work(&e)) {
                Ok(value) => Ok(Some(value)),
                Err(keyring::Error::NoEntry) => Ok(None),
                Err(error) => Err(VaultError::Broken(error.to_string())),
            },
        };
        // nobody listens any more when the time was over
        let _ = send.send(done);
    };
    std::thread::Builder::new()
        .name("keyring".into())
        .spawn(job)
        .map_err(|e| VaultError::Broken(e.to_string()))?;
    receive.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        Err(VaultError::Broken(format!("no answer within {} s", PATIENCE.as_secs())))
    })
}
