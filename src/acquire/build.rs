//! An image by what GitLab's CI built, and the way from there to a pin.

use std::path::{Path, PathBuf};

use super::clone;
use super::error::AcquireError;
use super::home;
use super::surroundings::{Surroundings, block_on};
use crate::failure::Report;
use crate::files::ForeignFile;
use crate::gitlab::{CiJob, Handed};
use crate::oci::{Platform, Reference, Registry};
use crate::pin::Built;
use crate::resolve::origin::{AskedBuild, BuiltImage, Search, Which};
use crate::text::one_line;

/// Larger digest files hold something else.
const MOST_BYTES: u64 = 1 << 20;

/// Which build's image.
#[derive(Clone, Debug, Default)]
pub struct Build {
    /// In the words of the flags. Without a project: in CI the running job's own, else that of the clone.
    pub built: Built,
    /// The digest that a build job wrote.
    pub digest_file: Option<PathBuf>,
}

impl From<Built> for Build {
    fn from(built: Built) -> Self {
        Self { built, digest_file: None }
    }
}

impl Build {
    /// Whether anything was said.
    #[must_use]
    pub fn is_named(&self) -> bool {
        !self.built.is_empty() || self.digest_file.is_some()
    }

    /// As flags.
    pub(super) fn words(&self) -> String {
        self.built.to_string()
    }

    /// The registry of the project; `None` where [`Build::find`] will say what lacks.
    pub fn registry(&self, here: &dyn Surroundings) -> Option<Registry> {
        let ci = here.ci_job().ok()?;
        self.built.project.as_ref().or(ci.as_ref().map(|job| &job.project))?;
        registry(here, ci.as_ref()).ok()
    }

    fn which(&self) -> Result<Which, AcquireError> {
        let git_ref = self.built.git_ref.clone();
        let pipeline = match self.built.pipeline.as_deref() {
            None => None,
            Some("latest") => Some(None),
            Some(text) => {
                Some(Some(text.parse::<u64>().map_err(|_| AcquireError::Pipeline(one_line(text)))?))
            }
        };
        if matches!(pipeline, Some(Some(_))) && git_ref.is_some() {
            return Err(AcquireError::RefOfPipeline);
        }
        if let Some(name) = &self.built.job {
            let pipeline = pipeline.flatten();
            return Ok(Which::Job { name: name.clone(), pipeline, git_ref });
        }
        Ok(match (pipeline, &self.built.commit, self.built.mr, &self.built.release) {
            (Some(id), ..) => Which::Pipeline { id, git_ref },
            (_, Some(sha), ..) => Which::Commit(sha.to_lowercase()),
            (_, _, Some(iid), _) => Which::MergeRequest(iid),
            (.., Some(tag)) => Which::Release(tag.clone()),
            _ => git_ref.map_or(Which::Newest, Which::Ref),
        })
    }

    /// Finds the image, and says how it is known.
    ///
    /// # Errors
    /// As GitLab and the registry say; 2 when the flags do not name a project outside CI.
    pub fn find(&self, here: &dyn Surroundings, platform: &Platform) -> Result<BuiltImage, Report> {
        let ci = here.ci_job()?;
        let mut of_clone = None;
        let (project, host) = match (&self.built.project, &ci) {
            (Some(project), _) => {
                (project.trim_matches('/').to_owned(), registry(here, ci.as_ref())?)
            }
            (None, Some(job)) => (job.project.clone(), job.registry().clone()),
            (None, None) => {
                let assumed = clone::assume(here)?.ok_or(AcquireError::NoProject)?;
                of_clone = Some(assumed.host);
                (assumed.project, assumed.registry)
            }
        };
        let own = ci.as_ref().filter(|job| job.project == project.to_lowercase());
        let client = here.client()?;
        let wants_api = self.digest_file.is_none() && (self.built.selects() || own.is_none());
        let api = if wants_api { here.gitlab()? } else { None };
        let gitlab_host = here.gitlab_server().map(|url| url.host().to_string()).or(of_clone);
        let search = Search {
            registry: &client,
            api: api.as_ref(),
            host: &host,
            gitlab_host: gitlab_host.as_deref(),
            ci: ci.as_ref(),
            platform,
        };
        let repository = self.built.repository.as_deref();
        let found = if let Some(file) = &self.digest_file {
            let own = project.to_lowercase();
            let handed = read_digest(here, file, &|named| {
                let below = named.repository.as_str().strip_prefix(own.as_str());
                named.registry == host && below.is_some_and(|r| r.is_empty() || r.starts_with('/'))
            })?;
            block_on(here, search.handed(&handed, &project, repository))??
        } else if let (false, Some(job)) = (self.built.selects(), own) {
            block_on(here, search.of_this_job(job, repository))??
        } else {
            let repository = self.built.repository.clone();
            let asked = AskedBuild { project, repository, which: self.which()? };
            block_on(here, search.built(&asked))??
        };
        for note in &found.notes {
            here.say(note);
        }
        for warning in &found.warnings {
            here.warn(&one_line(warning));
        }
        Ok(found)
    }
}

/// The registry of GitLab's images.
fn registry(here: &dyn Surroundings, ci: Option<&CiJob>) -> Result<Registry, Report> {
    let found = match home::find(here, ci, None)? {
        Some(registry) => Some(registry),
        // a clone that cannot be read says nothing of a project that was named
        None => match clone::remote(here).ok().flatten() {
            Some(remote) => home::find(here, None, Some(&remote))?,
            None => None,
        },
    };
    Ok(found.ok_or(AcquireError::NoRegistry)?)
}

/// A digest file comes out of a pipeline's artifacts: it decides what is run, so nobody else may have written
/// it. Nothing of what it holds is repeated in an error: it may be another file, with a secret in it.
fn read_digest(
    here: &dyn Surroundings,
    file: &Path,
    belongs: &dyn Fn(&Reference) -> bool,
) -> Result<Handed, Report> {
    let writers = here.project_writers();
    let opened = ForeignFile::written_by(&writers, MOST_BYTES).through_links().or_handed();
    let bytes = opened
        .bytes(file)
        .map_err(|error| AcquireError::DigestFile { file: file.to_owned(), error })?;
    Ok(Handed::read(&bytes, belongs)
        .map_err(|error| AcquireError::NoDigest { file: file.to_owned(), error })?)
}
