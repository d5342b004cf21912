//! What the clone around the working directory says of GitLab: a project, and perhaps its registry.
//!
//! It is somebody else's input. So nothing is sent to the host that it names: it is compared with
//! the GitLab that the configuration, a realm or CI name, and no token goes anywhere because of it.

use super::error::AcquireError;
use super::home;
use super::surroundings::Surroundings;
use crate::failure::Report;
use crate::gitlab::Remote;
use crate::oci::Registry;
use crate::text::one_line;

/// The project of the clone, and the registry of its images.
pub(super) struct Assumed {
    /// `group/project`.
    pub project: String,
    /// Where its images are.
    pub registry: Registry,
    /// GitLab's host.
    pub host: String,
}

/// Finds the clone's project and says that it is assumed. `None` outside clones.
///
/// # Errors
/// When the clone cannot be read, or belongs to no GitLab that is known here.
pub(super) fn assume(here: &dyn Surroundings) -> Result<Option<Assumed>, Report> {
    let Some(remote) = remote(here)? else { return Ok(None) };
    let Some(registry) = home::find(here, None, Some(&remote))? else {
        return Err(AcquireError::UnknownHost(remote.host.to_string()).into());
    };
    let (project, file) = (&remote.project, remote.file.display().to_string());
    here.say(&format!("assuming --project {project}: the remote of {}", one_line(&file)));
    let host = remote.host.to_string();
    Ok(Some(Assumed { project: remote.project, registry, host }))
}

/// The remote of the clone around the working directory.
///
/// # Errors
/// When there is a clone and it cannot be read, or others can write its configuration.
pub fn remote(here: &dyn Surroundings) -> Result<Option<Remote>, Report> {
    let broken = |e: std::io::Error| AcquireError::Clone(e.to_string());
    let dir = std::env::current_dir().map_err(broken)?;
    Ok(crate::gitlab::remote(&dir, &here.project_writers()).map_err(broken)?)
}
