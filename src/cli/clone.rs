//! What the clone around the working directory says of GitLab: a project, and perhaps its registry.
//!
//! It is somebody else's input. So nothing is sent to the host that it names: it is compared with
//! the GitLab that the configuration, a realm or CI name, and no token goes anywhere because of it.

use super::context::Context;
use super::gitlab_registry;
use super::output::{self, CliError, Report};
use crate::failure::Kind;
use crate::gitlab::Remote;
use crate::oci::Registry;

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
    let Some(remote) = remote(context)? else { return Ok(None) };
    let Some(registry) = gitlab_registry::find(context, None, Some(&remote))? else {
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

/// The remote of the clone around the working directory.
///
/// # Errors
/// When there is a clone and it cannot be read, or others can write its configuration.
pub fn remote(context: &Context) -> Result<Option<Remote>, Report> {
    let broken = |e: std::io::Error| {
        let what = match e.kind() {
            std::io::ErrorKind::PermissionDenied => "cannot see whether this is a clone",
            _ => "cannot read this clone's remote",
        };
        CliError::new(Kind::Configuration, format!("{what}: {e}"))
            .with_hint("name the project with --project")
    };
    let here = std::env::current_dir().map_err(broken)?;
    Ok(crate::gitlab::remote(&here, &context.project_writers()).map_err(broken)?)
}
