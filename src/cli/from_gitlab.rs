//! The flags that name an image by what GitLab's CI built, and the way from them to a pin.

use std::path::PathBuf;

use clap::Args;

use super::clone;
use super::context::Context;
use super::gitlab_registry;
use super::output::{self, CliError, Report};
use crate::failure::Kind;
use crate::files::{ForeignError, ForeignFile};
use crate::gitlab::{CiJob, Handed};
use crate::oci::{Platform, Reference, Registry};
use crate::pin::Built;
use crate::resolve::origin::{Asked, Found, Search, Which};

/// Set on each flag: a heading for what comes next would hold the flags of the verb as well.
const HEADING: &str = "From GitLab, instead of IMAGE";

/// Larger digest files hold something else.
const MOST_BYTES: u64 = 1 << 20;

/// Which build's image.
#[derive(Debug, Default, Clone, Args)]
pub struct FromGitlab {
    /// The project; left out: in CI the running job's own, else that of the clone around you
    #[arg(help_heading = HEADING, long, value_name = "GROUP/PROJECT")]
    pub project: Option<String>,
    /// What the newest pipeline of this branch or tag built
    #[arg(help_heading = HEADING, long = "ref", value_name = "BRANCH|TAG", conflicts_with_all = ["commit", "mr", "release"])]
    pub git_ref: Option<String>,
    /// What was built from this commit
    #[arg(help_heading = HEADING, long, value_name = "SHA", conflicts_with_all = ["mr", "release"])]
    pub commit: Option<String>,
    /// What this pipeline built; latest: the newest successful one, of --ref or the default branch
    #[arg(help_heading = HEADING, long, value_name = "ID|latest", conflicts_with_all = ["commit", "mr", "release"])]
    pub pipeline: Option<String>,
    /// What the newest successful pipeline with this successful job built
    #[arg(help_heading = HEADING, long, value_name = "NAME", conflicts_with_all = ["commit", "mr", "release"])]
    pub job: Option<String>,
    /// What the newest pipeline of this merge request built
    #[arg(help_heading = HEADING, long, value_name = "IID", conflicts_with = "release")]
    pub mr: Option<u64>,
    /// What was built for this release
    #[arg(help_heading = HEADING, long, value_name = "TAG")]
    pub release: Option<String>,
    /// The image below the project, when it has several
    #[arg(help_heading = HEADING, long, value_name = "NAME")]
    pub repository: Option<String>,
    /// The digest that a build job wrote: kaniko, buildah, podman, buildx metadata
    #[arg(help_heading = HEADING, long, value_name = "FILE", conflicts_with_all = ["git_ref", "commit", "pipeline", "job", "mr", "release"])]
    pub digest_file: Option<PathBuf>,
}

impl From<Built> for FromGitlab {
    fn from(built: Built) -> Self {
        let Built { project, git_ref, commit, pipeline, job, mr, release, repository } = built;
        Self { project, git_ref, commit, pipeline, job, mr, release, repository, digest_file: None }
    }
}

impl FromGitlab {
    /// Takes from a job file what no flag said. A build that a flag selects is instead of the
    /// file's, whichever word the file has for it.
    pub fn fill(&mut self, file: Built) {
        let own = self.selects() || self.digest_file.is_some();
        let filed = Self::from(file);
        self.project = self.project.take().or(filed.project);
        self.repository = self.repository.take().or(filed.repository);
        if !own {
            let (project, repository) = (self.project.take(), self.repository.take());
            *self = Self { project, repository, ..filed };
        }
    }

    /// Whether any of the flags was given.
    pub fn is_named(&self) -> bool {
        self.project.is_some()
            || self.repository.is_some()
            || self.digest_file.is_some()
            || self.selects()
    }

    /// Whether a build was selected, and not just a project.
    fn selects(&self) -> bool {
        [&self.git_ref, &self.commit, &self.pipeline, &self.job, &self.release]
            .iter()
            .any(|flag| flag.is_some())
            || self.mr.is_some()
    }

    /// The project's place in the registry; `None` where [`FromGitlab::find`] will say what lacks.
    pub fn place(&self, context: &Context) -> Option<String> {
        let ci = context.ci_job().ok()?;
        let project = self.project.clone().or_else(|| Some(ci.as_ref()?.project.clone()))?;
        Some(format!("{}/{}", registry(context, ci.as_ref()).ok()?, project.to_lowercase()))
    }

    fn which(&self) -> Result<Which, Report> {
        let git_ref = self.git_ref.clone();
        let pipeline = match self.pipeline.as_deref() {
            None => None,
            Some("latest") => Some(None),
            Some(text) => Some(Some(text.parse::<u64>().map_err(|_| {
                CliError::usage(format!("--pipeline {text}: write its number, or latest"))
            })?)),
        };
        if matches!(pipeline, Some(Some(_))) && git_ref.is_some() {
            return Err(CliError::usage("--ref: a pipeline's number says all").into());
        }
        if let Some(name) = &self.job {
            let pipeline = pipeline.flatten();
            return Ok(Which::Job { name: name.clone(), pipeline, git_ref });
        }
        Ok(match (pipeline, &self.commit, self.mr, &self.release) {
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
    pub fn find(&self, context: &Context, platform: &Platform) -> Result<Found, Report> {
        let ci = context.ci_job()?;
        let mut of_clone = None;
        let (project, host) = match (&self.project, &ci) {
            (Some(project), _) => {
                (project.trim_matches('/').to_owned(), registry(context, ci.as_ref())?)
            }
            (None, Some(job)) => (job.project.clone(), job.registry().clone()),
            (None, None) => {
                let assumed = clone::assume(context)?.ok_or_else(|| {
                    CliError::usage("no project was named").with_hint(
                        "add --project GROUP/PROJECT; only inside GitLab CI and in a clone it is known",
                    )
                })?;
                of_clone = Some(assumed.host);
                (assumed.project, assumed.registry)
            }
        };
        let own = ci.as_ref().filter(|job| job.project == project.to_lowercase());
        let client = context.client()?;
        let wants_api = self.digest_file.is_none() && (self.selects() || own.is_none());
        let api = if wants_api { context.gitlab()? } else { None };
        let gitlab_host = context.gitlab_server().map(|url| url.host().to_string()).or(of_clone);
        let search = Search {
            registry: &client,
            api: api.as_ref(),
            host: &host,
            gitlab_host: gitlab_host.as_deref(),
            ci: ci.as_ref(),
            platform,
        };
        let repository = self.repository.as_deref();
        let found = if let Some(file) = &self.digest_file {
            let own = project.to_lowercase();
            let handed = read_digest(context, file, &|named| {
                let below = named.repository.as_str().strip_prefix(own.as_str());
                named.registry == host && below.is_some_and(|r| r.is_empty() || r.starts_with('/'))
            })?;
            context.block_on(search.handed(&handed, &project, repository))??
        } else if let (false, Some(job)) = (self.selects(), own) {
            context.block_on(search.of_this_job(job, repository))??
        } else {
            let repository = self.repository.clone();
            let asked = Asked { project, repository, which: self.which()? };
            context.block_on(search.built(&asked))??
        };
        for note in &found.notes {
            context.voice.say(note);
        }
        for warning in &found.warnings {
            output::warn(output::cell(warning));
        }
        Ok(found)
    }
}

/// The registry of GitLab's images.
fn registry(context: &Context, ci: Option<&CiJob>) -> Result<Registry, Report> {
    let found = match gitlab_registry::find(context, ci, None)? {
        Some(registry) => Some(registry),
        // a clone that cannot be read says nothing of a project that was named
        None => match clone::remote(context).ok().flatten() {
            Some(remote) => gitlab_registry::find(context, None, Some(&remote))?,
            None => None,
        },
    };
    found.ok_or_else(|| {
        CliError::new(Kind::Configuration, "it is not known which registry holds GitLab's images")
            .with_hint("write [gitlab] url = \"https://...\" and registry = \"HOST\" into ~/.config/moorline/config.toml")
            .into()
    })
}

/// A digest file comes out of a pipeline's artifacts: it decides what is run, so nobody else may have written
/// it. Nothing of what it holds is repeated in an error: it may be another file, with a secret in it.
fn read_digest(
    context: &Context,
    file: &std::path::Path,
    belongs: &dyn Fn(&Reference) -> bool,
) -> Result<Handed, Report> {
    let writers = context.project_writers();
    let opened = ForeignFile::written_by(&writers, MOST_BYTES).through_links();
    let bytes = opened.bytes(file).map_err(|error| {
        let kind = if error.is_missing() { Kind::NotFound } else { Kind::Usage };
        let refused =
            CliError::new(kind, format!("cannot read the digest file {}: {error}", file.display()));
        match error {
            ForeignError::Outsider(_) | ForeignError::ForeignLink(_) => refused
                .with_hint("look at it; a copy of your own that nobody else can write is taken"),
            _ => refused,
        }
    })?;
    Handed::read(&bytes, belongs).map_err(|error| {
        let hint = crate::failure::Failure::hint(&error).unwrap_or_default();
        CliError::usage(format!("the digest file {}: {error}", file.display()))
            .with_hint(hint)
            .into()
    })
}
