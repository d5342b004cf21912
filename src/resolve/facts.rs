//! What is known of a build before the registry is asked: project, commit, ref, pipeline, and the
//! tags where its image can be.
//!
//! ```text
//!  --pipeline, --job, --mr           GitLab's API only
//!  --ref, --commit, --release        GitLab's API, else the conventions
//!  nothing, inside CI                the job's own variables
//! ```

use crate::failure::{Failure, Kind};
use crate::gitlab::{self, CiJob, GitlabError, Pipeline, Repository, TokenKind, UsualTag};
use crate::oci::Tag;
use crate::pin::Origin;

/// How far back a job is looked for in successful pipelines.
const MOST_PIPELINES: usize = 20;

/// Which build of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// The newest of the default branch.
    #[default]
    Newest,
    /// The newest of a branch or tag.
    Ref(String),
    /// A commit's, by its whole or short id.
    Commit(String),
    /// A pipeline's: by its number, else the newest successful one of a branch.
    Pipeline {
        /// The number.
        id: Option<u64>,
        /// The branch or tag; the default branch when none is given.
        git_ref: Option<String>,
    },
    /// The newest successful pipeline in which a job of this name succeeded.
    Job {
        /// The job's name.
        name: String,
        /// In this pipeline only.
        pipeline: Option<u64>,
        /// The branch or tag; the default branch when none is given.
        git_ref: Option<String>,
    },
    /// The newest of a merge request.
    MergeRequest(u64),
    /// A release's, by its tag.
    Release(String),
}

/// A build of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedBuild {
    /// `group/project`.
    pub project: String,
    /// The image's path below the project's, when it has several.
    pub repository: Option<String>,
    /// Which build.
    pub which: Which,
}

/// Why a build could not be found out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FactsError {
    /// The API's answer.
    #[error(transparent)]
    Gitlab(#[from] GitlabError),
    /// Only the API knows.
    #[error("{what} of {project} is known to GitLab's API only, and {why}")]
    NeedsApi {
        /// `pipeline 4711`.
        what: String,
        /// The project.
        project: String,
        /// Why it was not asked.
        why: String,
    },
    /// The API knows no such build.
    #[error("{project} has {what}")]
    NoBuild {
        /// The project.
        project: String,
        /// `no successful pipeline of main`.
        what: String,
    },
    /// A merge request from a fork.
    #[error(
        "merge request {iid} of {project} comes from another project, so its image is not one of {project}"
    )]
    Fork {
        /// The project.
        project: String,
        /// The merge request.
        iid: u64,
    },
    /// A text that cannot be a commit or a project.
    #[error("{text:?} is not a {what}")]
    Malformed {
        /// What it should be.
        what: &'static str,
        /// The text.
        text: String,
    },
}

impl Failure for FactsError {
    fn kind(&self) -> Kind {
        match self {
            Self::Gitlab(error) => error.kind(),
            Self::NeedsApi { .. } => Kind::Denied,
            Self::NoBuild { .. } => Kind::NotFound,
            Self::Fork { .. } => Kind::Policy,
            Self::Malformed { .. } => Kind::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Gitlab(error) => error.hint(),
            Self::NeedsApi { .. } => Some(
                "put a personal, project or group access token with the scope read_api into \
                 MOORLINE_GITLAB_TOKEN; a deploy token finds images by --ref, --commit and --release"
                    .into(),
            ),
            Self::NoBuild { .. } => {
                Some("look at the project's pipelines; only successful ones count".into())
            }
            Self::Fork { .. } => {
                Some("name the fork with --project and the commit with --commit".into())
            }
            Self::Malformed { .. } => None,
        }
    }
}

/// What is known of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Project, commit, ref, pipeline, job, each with its evidence.
    pub origin: Origin,
    /// Where the image can be, the most telling tags first; the first group with an image wins.
    pub tiers: Vec<Vec<UsualTag>>,
    /// One commit was asked for. A branch's own tag may name a later one, so beyond the first group
    /// an image counts only when its label says this commit.
    pub one_commit: bool,
    /// The project's repositories, when somebody who knows them was asked.
    pub repositories: Option<Vec<Repository>>,
    /// Sentences about what was not asked and why.
    pub notes: Vec<String>,
}

impl Facts {
    /// Notes a fact and how it is known.
    fn know(&mut self, field: &str, evidence: &str) {
        self.origin.evidence.insert(field.into(), evidence.into());
    }

    fn commit(&mut self, sha: &str, evidence: &str) {
        self.origin.commit = Some(sha.to_lowercase());
        self.know("commit", evidence);
    }

    fn git_ref(&mut self, name: &str, evidence: &str) {
        self.origin.git_ref = Some(name.to_owned());
        self.know("ref", evidence);
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        self.commit(&pipeline.sha, "api");
        self.origin.pipeline = Some(pipeline.id);
        self.know("pipeline", "api");
        if let Some(name) = &pipeline.git_ref {
            self.git_ref(name, "api");
        }
    }

    /// The tags of what is known. `tag_first` when the ref is a git tag, whose own pipeline may
    /// have built the commit anew.
    fn places(&mut self, tag_first: bool, default_branch: bool) {
        let git_ref = self.origin.git_ref.as_deref();
        // refs/merge-requests/1/head is no name that a job's variables have
        let git_ref = git_ref.filter(|name| !name.starts_with("refs/"));
        let commit = self.origin.commit.as_deref();
        let of_commit = commit.map_or_else(Vec::new, |sha| gitlab::of_commit(sha, git_ref));
        let of_ref = git_ref.map_or_else(Vec::new, gitlab::of_ref);
        self.tiers = if tag_first { vec![of_ref, of_commit] } else { vec![of_commit, of_ref] };
        if default_branch {
            self.tiers.push(latest());
        }
        self.tiers.retain(|tier| !tier.is_empty());
    }
}

fn latest() -> Vec<UsualTag> {
    let tag: Option<Tag> = "latest".parse().ok();
    tag.map(|tag| UsualTag { below: String::new(), tag }).into_iter().collect()
}

/// What the running job itself says.
#[must_use]
pub fn of_job(job: &CiJob) -> Facts {
    let mut facts = Facts::default();
    facts.origin.project = Some(job.project.clone());
    facts.know("project", "ci-environment");
    facts.commit(&job.commit, "ci-environment");
    if let Some(name) = &job.git_ref {
        facts.git_ref(name, "ci-environment");
    }
    if job.pipeline.is_some() {
        facts.origin.pipeline = job.pipeline;
        facts.know("pipeline", "ci-environment");
    }
    facts.places(job.is_tag, job.is_default);
    facts
}

/// Finds out about a build, through the API when its token may read the project.
///
/// # Errors
/// As [`FactsError`] says. A token that GitLab refuses is an error; one that this project is closed
/// to is a note, as long as the conventions can answer.
pub async fn learn(
    asked: &AskedBuild,
    api: Option<&gitlab::Client>,
    ci: Option<&CiJob>,
) -> Result<Facts, FactsError> {
    let project = asked.project.as_str();
    if project.split('/').count() < 2 || project.split('/').any(str::is_empty) {
        let text = project.to_owned();
        return Err(FactsError::Malformed { what: "project: write group/project", text });
    }
    if let Which::Commit(sha) = &asked.which
        && !(sha.len() >= 7 && sha.len() <= 64 && sha.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        let what = "commit: write at least 7 of its hexadecimal digits";
        return Err(FactsError::Malformed { what, text: sha.clone() });
    }
    let mut facts = Facts::default();
    facts.origin.project = Some(project.to_lowercase());
    let mut why = "no API token is at hand".to_owned();
    if let Some(api) = api {
        if asked.repository.is_none() {
            match api.repositories(project).await {
                Ok(found) => facts.repositories = Some(found),
                Err(error) if error.is_closed() => why = error.to_string(),
                Err(error) => return Err(error.into()),
            }
        }
        if api.kind() == TokenKind::Job {
            "a job token does not open it".clone_into(&mut why);
        } else {
            match api.project(project).await {
                Ok(found) => {
                    let branch = found.default_branch.clone();
                    facts.know("project", "api");
                    ask(&mut facts, asked, api, found.id, branch.as_deref()).await?;
                    return Ok(facts);
                }
                Err(error) if error.is_closed() => why = error.to_string(),
                Err(error) => return Err(error.into()),
            }
        }
    }
    if let Some(job) = ci.filter(|job| is_of(job, asked)) {
        return Ok(Facts { repositories: facts.repositories, ..of_job(job) });
    }
    by_convention(&mut facts, asked, why)?;
    Ok(facts)
}

/// Whether the running job's own pipeline is asked for.
fn is_of(job: &CiJob, asked: &AskedBuild) -> bool {
    let own = job.project == asked.project.to_lowercase();
    let this = |id: &Option<u64>| id.is_some() && *id == job.pipeline;
    own && matches!(&asked.which, Which::Pipeline { id, .. } if this(id))
}

/// Without the API: what the names of tags can tell.
fn by_convention(facts: &mut Facts, asked: &AskedBuild, why: String) -> Result<(), FactsError> {
    let project = &asked.project;
    let needs = |what: String, why: String| {
        Err(FactsError::NeedsApi { what, project: project.clone(), why })
    };
    facts.know("project", "convention");
    match &asked.which {
        Which::Newest => facts.tiers = vec![latest()],
        Which::Ref(name) | Which::Release(name) => {
            facts.git_ref(name, "convention");
            facts.places(true, false);
        }
        Which::Commit(sha) => {
            facts.commit(sha, "convention");
            facts.places(false, false);
        }
        Which::Pipeline { id: Some(id), .. } => return needs(format!("pipeline {id}"), why),
        Which::Pipeline { id: None, .. } => return needs("the newest pipeline".into(), why),
        Which::Job { name, .. } => return needs(format!("job {name:?}"), why),
        Which::MergeRequest(iid) => return needs(format!("merge request {iid}"), why),
    }
    facts.notes.push(format!("GitLab's API was not asked ({why}): by the tags' names and labels"));
    Ok(())
}

/// With the API.
async fn ask(
    facts: &mut Facts,
    asked: &AskedBuild,
    api: &gitlab::Client,
    project_id: u64,
    default_branch: Option<&str>,
) -> Result<(), FactsError> {
    let project = asked.project.as_str();
    let none = |what: String| FactsError::NoBuild { project: project.to_owned(), what };
    let is_default = |name: Option<&str>| name.is_some() && name == default_branch;
    let branch = || default_branch.ok_or_else(|| none("no default branch: it is empty".into()));
    let newest = async |name: &str| -> Result<Pipeline, FactsError> {
        let found = api.successful(project, Some(name), None, 1).await?.into_iter().next();
        found.ok_or_else(|| none(format!("no successful pipeline of {name}")))
    };
    match &asked.which {
        Which::Newest => {
            let name = branch()?;
            facts.pipeline(&newest(name).await?);
            facts.places(false, true);
        }
        Which::Ref(name) => {
            let pipeline = newest(name).await?;
            // the rows of the list do not say whether it is a tag
            let whole = api.pipeline(project, pipeline.id).await?;
            facts.pipeline(&pipeline);
            facts.places(whole.tag == Some(true), is_default(Some(name)));
        }
        Which::Commit(sha) => {
            let commit = api.commit(project, sha).await?.id;
            facts.commit(&commit, "api");
            if let Some(newest) = api.successful(project, None, Some(&commit), 1).await?.first() {
                facts.pipeline(newest);
            }
            facts.places(false, false);
            facts.one_commit = true;
        }
        Which::Pipeline { id, git_ref } => {
            let pipeline = match id {
                Some(id) => api.pipeline(project, *id).await?,
                None => newest(git_ref.as_deref().map_or_else(branch, Ok)?).await?,
            };
            if pipeline.status != "success" {
                let (id, status) = (pipeline.id, &pipeline.status);
                facts.notes.push(format!("pipeline {id} is in the state {status}"));
            }
            facts.pipeline(&pipeline);
            facts.places(false, false);
            facts.one_commit = true;
        }
        Which::Job { name, pipeline, git_ref } => {
            let pipelines = if let Some(id) = pipeline {
                vec![api.pipeline(project, *id).await?]
            } else {
                let git_ref = git_ref.as_deref().map_or_else(branch, Ok)?;
                api.successful(project, Some(git_ref), None, MOST_PIPELINES).await?
            };
            let found = with_job(api, project, pipelines, name).await?;
            let found = found.ok_or_else(|| none(format!("no successful job {name:?} there")))?;
            facts.pipeline(&found);
            facts.origin.job = Some(name.clone());
            facts.know("job", "api");
            facts.places(false, false);
            facts.one_commit = true;
        }
        Which::MergeRequest(iid) => {
            let request = api.merge_request(project, *iid).await?;
            if request.source_project_id != Some(project_id) {
                return Err(FactsError::Fork { project: project.to_owned(), iid: *iid });
            }
            match (&request.head_pipeline, &request.sha) {
                (Some(pipeline), _) => facts.pipeline(pipeline),
                (None, Some(sha)) => facts.commit(sha, "api"),
                (None, None) => return Err(none(format!("no commit in merge request {iid}"))),
            }
            // jobs of its pipelines see the source branch as their ref
            facts.git_ref(&request.source_branch, "api");
            facts.places(false, false);
            facts.one_commit = true;
        }
        Which::Release(tag) => {
            let release = api.release(project, tag).await?;
            facts.git_ref(&release.tag_name, "api");
            if let Some(commit) = &release.commit {
                facts.commit(&commit.id, "api");
            }
            facts.places(true, false);
        }
    }
    Ok(())
}

async fn with_job(
    api: &gitlab::Client,
    project: &str,
    pipelines: Vec<Pipeline>,
    name: &str,
) -> Result<Option<Pipeline>, GitlabError> {
    for pipeline in pipelines {
        let jobs = api.jobs(project, pipeline.id).await?;
        if jobs.iter().any(|job| job.name == name && job.status == "success") {
            return Ok(Some(pipeline));
        }
    }
    Ok(None)
}
