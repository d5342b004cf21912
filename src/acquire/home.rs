//! Which registry holds the images of the GitLab that is meant: one answer for the flags, for names of
//! the project file and for clones.
//!
//! ```text
//!  CI's own server              CI_REGISTRY
//!  [gitlab] url, registry       as configured
//!  [realms] and logins          the registry whose tokens come from that server; without a server the
//!                               only one that there is
//!  gitlab.com                   registry.gitlab.com
//! ```
//!
//! The other way round, a registry that a project file names is its GitLab's when the name says so
//! (`gitlab/own_registry.rs`) or one of the first three does.
//!
//! A clone's remote says which GitLab is meant, and nothing more: it is compared with what the
//! configuration, a login or CI names, and nothing is sent to a host because a remote names it.

use std::collections::BTreeMap;

use super::surroundings::Surroundings;
use crate::config::ServerUrl;
use crate::failure::Report;
use crate::gitlab::{CiJob, Remote, is_own_registry};
use crate::oci::{DOCKER_HUB, Registry};

/// The GitLab whose registry everybody knows.
const KNOWN: (&str, &str) = ("gitlab.com", "registry.gitlab.com");

/// The registry, as far as somebody who is trusted said it.
///
/// # Errors
/// When the file that remembers logins is broken.
pub(super) fn find(
    here: &dyn Surroundings,
    ci: Option<&CiJob>,
    remote: Option<&Remote>,
) -> Result<Option<Registry>, Report> {
    let config = here.config();
    let server = here.gitlab_server();
    let is_meant = |server: &ServerUrl| remote.is_none_or(|remote| is_of(remote, server));
    // CI's registry belongs to CI's server, which a configuration may replace
    let of_ci = config.gitlab.url.is_none() || server == here.ci_server();
    if let Some(job) = ci.filter(|_| of_ci && remote.is_none()) {
        return Ok(Some(job.registry().clone()));
    }
    let own = config.gitlab.registry.as_ref().or(config.registry.as_ref());
    if let Some(own) = own
        && server.as_ref().map_or(remote.is_none(), is_meant)
    {
        return Ok(Some(own.value.clone()));
    }
    let mut known = known(here)?;
    known.retain(|_, realms| match (&server, remote) {
        (_, Some(remote)) => realms.iter().any(|realm| is_of(remote, realm)),
        (Some(server), None) => realms.contains(server),
        (None, None) => true,
    });
    let mut registries = known.into_keys();
    if let (Some(only), None) = (registries.next(), registries.next()) {
        return Ok(Some(only));
    }
    let meant = remote.map(|remote| remote.host.as_str().to_owned());
    let meant = meant.or_else(|| server.map(|server| server.host().to_string()));
    Ok(meant.filter(|host| host == KNOWN.0).and_then(|_| KNOWN.1.parse().ok()))
}

/// The registry of the GitLab that a clone came from, as far as somebody who is trusted said it.
///
/// # Errors
/// When the file that remembers logins is broken.
pub fn registry_of_clone(
    here: &dyn Surroundings,
    remote: &Remote,
) -> Result<Option<Registry>, Report> {
    find(here, None, Some(remote))
}

/// Whether a registry is that of the GitLab that a clone came from: by its name, or by the word of somebody who is
/// trusted. What a project file says of itself is no such word.
///
/// # Errors
/// When the file that remembers logins is broken, or CI's variables contradict each other.
pub fn is_registry_of(
    here: &dyn Surroundings,
    registry: &Registry,
    remote: &Remote,
) -> Result<bool, Report> {
    if is_own_registry(registry, &remote.host) {
        return Ok(true);
    }
    let configured = here.config().gitlab.registry.as_ref();
    let is_meant = here.gitlab_server().is_some_and(|server| is_of(remote, &server));
    if is_meant && configured.is_some_and(|own| own.value == *registry) {
        return Ok(true);
    }
    let of_ci = here.ci_server().is_some_and(|server| is_of(remote, &server));
    if of_ci && here.ci_job()?.is_some_and(|job| job.registry() == registry) {
        return Ok(true);
    }
    let known = known(here)?;
    Ok(known.get(registry).is_some_and(|realms| realms.iter().any(|realm| is_of(remote, realm))))
}

/// The servers that hand out each registry's tokens: configured, or confirmed at a login.
fn known(here: &dyn Surroundings) -> Result<BTreeMap<Registry, Vec<ServerUrl>>, Report> {
    let mut known: BTreeMap<Registry, Vec<ServerUrl>> = BTreeMap::new();
    for (registry, realm) in &here.config().realms {
        known.entry(registry.clone()).or_default().push(realm.value.clone());
    }
    for login in here.logins()? {
        if login.scope.registry.as_str() == DOCKER_HUB {
            continue;
        }
        let realm = login.realm.and_then(|realm| realm.to_string().parse().ok());
        known.entry(login.scope.registry).or_default().extend(realm);
    }
    known.retain(|_, realms| !realms.is_empty());
    Ok(known)
}

/// Whether a remote is a server's. A remote of ssh has no port of the web's.
fn is_of(remote: &Remote, server: &ServerUrl) -> bool {
    let (remote, server) = (remote.host.as_str(), server.host().as_str());
    remote == server || server.rsplit_once(':').is_some_and(|(name, _)| name == remote)
}
