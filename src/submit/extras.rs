//! What goes into a job's `control/` besides plan and script: for a worker that gets the image by itself, and runtimes
//! that the submitter added.
//!
//! ```text
//! getting       in the plan: nothing of it is secret
//! credential    control/registry-credential, 0600, a deploy token; the worker removes it when it has pulled
//! authorities   control/authorities.pem
//! added         control/added/, for workers that do not see the store (added.rs)
//! config        control/image-config.json, for a tree that is published without it; its digest is the pin's
//! ```

use super::added::Added;
use super::error::SubmitError;
use super::jobdir::JobDir;
use crate::credential;
use crate::secret::Credential;
use crate::worker::{AUTHORITIES_FILE, CONFIG_FILE, CREDENTIAL_FILE, Getting};

/// All of it; a job whose image is read where it lies has none.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// For the plan.
    pub getting: Getting,
    /// For the registry.
    pub credential: Option<Credential>,
    /// Certificates, PEM.
    pub authorities: Option<Vec<u8>>,
    /// The image's configuration.
    pub config: Option<Vec<u8>>,
    /// Runtimes that the submitter added.
    pub added: Added,
}

impl Extras {
    /// Writes the files.
    ///
    /// # Errors
    /// When one cannot be written.
    pub(super) fn put(&self, dir: &JobDir) -> Result<(), SubmitError> {
        if let Some(bytes) = &self.authorities {
            dir.put(AUTHORITIES_FILE, bytes, 0o400)?;
        }
        if let Some(bytes) = &self.config {
            dir.put(CONFIG_FILE, bytes, 0o400)?;
        }
        if let Some(credential) = &self.credential {
            dir.put(CREDENTIAL_FILE, &credential::two_lines(credential), 0o600)?;
        }
        self.added.put(dir)
    }
}
