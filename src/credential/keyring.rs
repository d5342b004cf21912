//! Sources: the user's keyring ([`super::desktop`]), and the kernel's ([`super::kernel`]) where no
//! other answers.
//!
//! The secret lies in the keyring; user name, realm and the fact that it is there lie in our file,
//! because a keyring cannot be listed.

use std::sync::PoisonError;

use super::file::Row;
use super::run::Run;
use super::{CredentialError, Keeper, SourceQuestion, VaultError};
use crate::secret::{Candidates, Secret};

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
    place: Keeper,
    name: &str,
) -> Result<Result<Secret, String>, CredentialError> {
    let broken = |reason| CredentialError::Keyring { name: name.to_owned(), reason };
    let Some(vault) = run.vault(place) else {
        return Ok(Err("absent here, it is not used".into()));
    };
    match vault.get(name) {
        Ok(Some(secret)) => Ok(Ok(secret)),
        // the kernel forgets, and the file that names the login may be shared with other machines
        Ok(None) if place == Keeper::Kernel => Ok(Err(format!(
            "no longer there (it expires, ends with a restart, and is on one machine only): \
             moorline login {name} --username NAME"
        ))),
        Ok(None) => Err(broken("login put it there, and it is gone".into())),
        Err(VaultError::Absent(why)) => Ok(Err(format!("absent here, {why}"))),
        Err(VaultError::Broken(why)) => Err(broken(why)),
    }
}

/// Keeps a secret in one of the keyrings.
pub(super) fn put(
    run: &Run,
    place: Keeper,
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
pub(super) fn remove(run: &Run, place: Keeper, name: &str) -> Result<bool, CredentialError> {
    let Some(vault) = run.vault(place) else {
        return Ok(place == Keeper::File); // it goes with its row
    };
    match vault.remove(name) {
        Ok(()) => Ok(true),
        Err(VaultError::Absent(_)) => Ok(place == Keeper::Kernel),
        Err(error) => Err(told(name, error)),
    }
}

fn told(name: &str, error: VaultError) -> CredentialError {
    match error {
        VaultError::Absent(why) => CredentialError::NoKeyring(why),
        VaultError::Broken(reason) => CredentialError::Keyring { name: name.to_owned(), reason },
    }
}
