//! What the clone around the working directory says of GitLab: a project, and perhaps its registry.
//!
//! It is somebody else's input. So nothing is sent to the host that it names: it is compared with
//! the GitLab that the configuration, a realm or CI name, and no token goes anywhere because of it.

use super::context::Context;
use super::output::{self, CliError, Report};
use crate::config::ServerUrl;
use crate::failure::Kind;
use crate::gitlab::Remote;
use crate::oci::Registry;

/// The GitLab whose registry everybody knows.
const KNOWN: (&str, &str) = ("gitlab.com", "registry.gitlab.com");

/// The project of the clone, and the registry of its images.
pub struct Assumed {
    /// `group/project`.
    pub project: String,
    /// Where its images are.
    pub registry: Registry,
    /// GitLab's host.
    pub host: String,
}

/// Finds the clone's project and says on stderr that it is assumed. `None` outside clones.
///
/// # Errors
/// When the clone cannot be read, or belongs to no GitLab that is known here.
pub fn assume(context: &Context) -> Result<Option<Assumed>, Report> {
    let broken = |e| {
        CliError::new(Kind::Configuration, format!("cannot read this clone's remote: {e}"))
            .with_hint("name the project with --project")
    };
    let here = std::env::current_dir().map_err(broken)?;
    let uid = rustix::process::getuid().as_raw();
    let Some(remote) = crate::gitlab::remote(&here, uid).map_err(broken)? else {
        return Ok(None);
    };
    let Some(registry) = registry(context, &remote) else {
        let message = format!(
            "this clone is of {}, and which registry holds its images is not known",
            remote.host
        );
        return Err(CliError::new(Kind::Configuration, message)
            .with_hint(format!(
                "write [gitlab] url = \"https://{}\" and registry = \"HOST\" into ~/.config/moorline/config.toml, or name the project with --project",
                remote.host
            ))
            .into());
    };
    let (project, file) = (&remote.project, remote.file.display().to_string());
    context
        .voice
        .say(format!("assuming --project {project}: the remote of {}", output::cell(&file)));
    let host = remote.host.to_string();
    Ok(Some(Assumed { project: remote.project, registry, host }))
}

/// The registry of the remote's GitLab, as far as somebody who is trusted said it.
fn registry(context: &Context, remote: &Remote) -> Option<Registry> {
    let config = &context.config;
    let own = config.gitlab.registry.as_ref().or(config.registry.as_ref()).map(|v| v.value.clone());
    if let Some(server) = context.gitlab_server() {
        return own.filter(|_| is_of(remote, &server));
    }
    let of_realm = config.realms.iter().find(|(_, realm)| is_of(remote, &realm.value));
    if let Some((registry, _)) = of_realm {
        return Some(registry.clone());
    }
    (remote.host.as_str() == KNOWN.0).then(|| KNOWN.1.parse().ok())?
}

/// Whether a remote is a server's. A remote of ssh has no port of the web's.
fn is_of(remote: &Remote, server: &ServerUrl) -> bool {
    let (remote, server) = (remote.host.as_str(), server.host().as_str());
    remote == server || server.rsplit_once(':').is_some_and(|(name, _)| name == remote)
}
