//! The kernel's keyring, where `login` keeps a secret when no Secret Service answers.
//!
//! ```text
//!  thread keyring --link--> persistent keyring of the user --link--> key "moorline:SCOPE"
//!  (ends with the thread)   (no use for 3 days: gone; restart: gone)
//! ```
//!
//! Source: keyrings(7), persistent-keyring(7). The secret lies in the kernel's memory, never on a disk. Only a process
//! that possesses the user's persistent keyring can read it: any process of this user on this machine that asks for the
//! keyring, whatever its session. Each use starts the time limit again.
//!
//! Not promised: that the key is still there later. So a missing key is not an error of this source.

use std::time::Duration;

use linux_keyutils::{KeyError, KeyRing, KeyRingIdentifier};

use super::{Vault, VaultError};
use crate::secret::Secret;

/// Where the kernel says how many seconds a persistent keyring stays without being used.
const EXPIRY: &str = "/proc/sys/kernel/keys/persistent_keyring_expiry";

/// The kernel's own default of [`EXPIRY`].
const THREE_DAYS: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// The persistent keyring of this user on this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelKeyring;

impl Vault for KernelKeyring {
    fn put(&self, name: &str, secret: &Secret) -> Result<(), VaultError> {
        let secret = secret.clone();
        with_key(name, move |ring, key| ring.add_key(key, secret.expose()).map(|_| ()))?;
        Ok(())
    }

    fn get(&self, name: &str) -> Result<Option<Secret>, VaultError> {
        let bytes = with_key(name, |ring, key| ring.search(key)?.read_to_vec())?;
        let text = bytes.map(String::from_utf8).transpose();
        // not the error, which holds the bytes
        let text = text.map_err(|_| VaultError::Broken("what is kept is not text".into()))?;
        Ok(text.map(Secret::new))
    }

    fn remove(&self, name: &str) -> Result<(), VaultError> {
        with_key(name, |ring, key| ring.search(key)?.invalidate())?;
        Ok(())
    }

    fn lasts(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(EXPIRY).ok();
        let seconds = text.and_then(|text| text.trim().parse().ok());
        Some(seconds.map_or(THREE_DAYS, Duration::from_secs))
    }
}

/// Runs on a thread of its own: the link to the persistent keyring, without which nothing in it
/// may be read, ends with the thread, and this process's own keyrings stay as they are.
fn with_key<T: Send + 'static>(
    name: &str,
    work: impl FnOnce(KeyRing, &str) -> Result<T, KeyError> + Send + 'static,
) -> Result<Option<T>, VaultError> {
    let key = format!("moorline:{name}");
    let job = move || {
        let ring = KeyRing::get_persistent(KeyRingIdentifier::Thread)
            .map_err(|error| VaultError::Absent(format!("the kernel keeps none: {error}")))?;
        match work(ring, &key) {
            Ok(value) => Ok(Some(value)),
            Err(KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked) => {
                Ok(None)
            }
            Err(error) => Err(VaultError::Broken(format!("the kernel's keyring says: {error}"))),
        }
    };
    let started = std::thread::Builder::new().name("kernel-keyring".into()).spawn(job);
    let running = started.map_err(|e| VaultError::Broken(e.to_string()))?;
    running.join().unwrap_or_else(|_| Err(VaultError::Broken("its thread died".into())))
}
