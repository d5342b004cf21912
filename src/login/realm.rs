//! Which realm a secret may be sent to.

use super::error::LoginError;
use super::surroundings::{Surroundings, User};
use crate::failure::Report;
use crate::oci::{DOCKER_HUB, Registry};
use crate::secret::Realm;

/// The realm that the secret may be sent to: named by the user (`wanted`), configured, confirmed at an earlier
/// login to this registry, the registry's own host, or confirmed now. `named` is what the registry says.
///
/// # Errors
/// When the registry's realm is another one than the user's, or is not confirmed.
pub(super) fn confirmed(
    here: &dyn Surroundings,
    asked: &impl User,
    wanted: Option<&Realm>,
    registry: &Registry,
    named: Option<Realm>,
) -> Result<Option<Realm>, Report> {
    let Some(named) = named else { return Ok(wanted.cloned()) };
    if let Some(wanted) = wanted {
        if *wanted != named {
            let (registry, wanted) = (registry.clone(), wanted.clone());
            return Err(LoginError::OtherRealm { registry, named, wanted }.into());
        }
        return Ok(Some(named));
    }
    // an http realm of a registry that is not listed as insecure is refused by the client
    let is_own = [format!("https://{registry}"), format!("http://{registry}")]
        .iter()
        .any(|own| own.parse().is_ok_and(|own: Realm| own == named))
        && (named.is_https() || here.is_insecure(registry));
    let hub = registry.as_str() == DOCKER_HUB && named.to_string() == "https://auth.docker.io";
    let logins = here.credentials().list()?;
    let mut remembered = logins.iter().filter(|row| row.scope.is_of(registry));
    let confirmed = here.known_realms(registry).contains(&named)
        || remembered.any(|row| row.realm.as_ref() == Some(&named));
    if is_own || hub || confirmed {
        return Ok(Some(named));
    }
    let question =
        format!("{registry} gets its tokens from {named}. Send your secret there? [y/N] ");
    match asked.confirms(&question)? {
        Some(true) => Ok(Some(named)),
        Some(false) => Err(LoginError::Declined { named }.into()),
        None => Err(LoginError::Unconfirmed { registry: registry.clone(), named }.into()),
    }
}
