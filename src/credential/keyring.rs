//! Sources: the user's keyring (Secret Service over D-Bus), and the kernel's ([`super::kernel`])
//! where no other answers.
//!
//! The secret lies in the keyring under the service `moorline` and the scope's text; user name,
//! realm and the fact that it is there lie in our file, because a keyring cannot be listed. No
//! D-Bus, as on login nodes, batch nodes and in CI, means that the source is absent; a keyring
//! that is there and does not answer is broken.

use std::sync::{PoisonError, mpsc};
use std::time::Duration;

use super::file::Row;
use super::run::Run;
use super::{CredentialError, Place, SourceQuestion, Vault, VaultError};
use crate::secret::{Candidates, Secret};

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
        with_entry(name, ::keyring::Entry::delete_credential)?;
        Ok(())
    }
}

/// Runs on a thread of its own, because D-Bus may never answer and may not be called from a
/// thread that serves tokio.
fn with_entry<T: Send + 'static>(
    name: &str,
    work: impl FnOnce(&::keyring::Entry) -> ::keyring::Result<T> + Send + 'static,
) -> Result<Option<T>, VaultError> {
    let (send, receive) = mpsc::channel();
    let name = name.to_owned();
    let job = move || {
        let done = match ::keyring::Entry::store_status() {
            Err(error) => {
                // the library's words name sockets and interfaces, and tell a user nothing
                tracing::debug!(%error, "no Secret Service");
                Err(VaultError::Absent("no desktop keyring answers over D-Bus".into()))
            }
            Ok(()) => match ::keyring::Entry::new(SERVICE, &name).and_then(|e| work(&e)) {
                Ok(value) => Ok(Some(value)),
                Err(::keyring::Error::NoEntry) => Ok(None),
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

pub(super) fn find(
    question: &SourceQuestion<'_>,
    row: &Row,
    found: &mut Candidates,
) -> Result<(), CredentialError> {
    let (place, name) = (row.store, row.scope.to_string());
    let unlocked = &question.run.unlocked;
    let known = unlocked.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
    let secret = match known {
        Some(secret) => secret,
        None => match ask(question.run, place, &name)? {
            Ok(secret) => secret,
            Err(why) => {
                found.skipped.push(format!("{place} (login {name}): {why}"));
                return Ok(());
            }
        },
    };
    unlocked.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), secret.clone());
    let source = format!("{} (login {name})", place.described());
    found.offered.push(question.candidate(&row.username, secret, source));
    Ok(())
}

/// The secret that `login NAME` put there. The inner error is why there is none although nothing
/// is broken.
pub(super) fn ask(
    run: &Run,
    place: Place,
    name: &str,
) -> Result<Result<Secret, String>, CredentialError> {
    let broken = |reason| CredentialError::Keyring { name: name.to_owned(), reason };
    let Some(vault) = run.vault(place) else {
        return Ok(Err("absent here, it is not used".into()));
    };
    match vault.get(name) {
        Ok(Some(secret)) => Ok(Ok(secret)),
        // the kernel forgets, and the file that names the login may be shared with other machines
        Ok(None) if place == Place::Kernel => Ok(Err(format!(
            "no longer there (it expires, ends with a restart, and is on one machine only): \
             moorline login {name}"
        ))),
        Ok(None) => Err(broken("login put it there, and it is gone".into())),
        Err(VaultError::Absent(why)) => Ok(Err(format!("absent here, {why}"))),
        Err(VaultError::Broken(why)) => Err(broken(why)),
    }
}

/// Keeps a secret in one of the keyrings.
pub(super) fn put(
    run: &Run,
    place: Place,
    name: &str,
    secret: &Secret,
) -> Result<(), CredentialError> {
    let Some(vault) = run.vault(place) else {
        return Err(CredentialError::NoKeyring("it is not used".into()));
    };
    vault.put(name, secret).map_err(|error| told(name, error))
}

/// Removes a secret, and says whether it is gone: a desktop's keyring that does not answer here
/// keeps it. What a place cannot hold any more is gone.
pub(super) fn remove(run: &Run, place: Place, name: &str) -> Result<bool, CredentialError> {
    let Some(vault) = run.vault(place) else {
        return Ok(place == Place::File); // it goes with its row
    };
    match vault.remove(name) {
        Ok(()) => Ok(true),
        Err(VaultError::Absent(_)) => Ok(place == Place::Kernel),
        Err(error) => Err(told(name, error)),
    }
}

fn told(name: &str, error: VaultError) -> CredentialError {
    match error {
        VaultError::Absent(why) => CredentialError::NoKeyring(why),
        VaultError::Broken(reason) => CredentialError::Keyring { name: name.to_owned(), reason },
    }
}
