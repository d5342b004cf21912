//! The parts of GitLab's answers that are read; everything else is left out. All of it is foreign
//! text: commits and names are checked where they are used.

use serde::Deserialize;

/// `GET /personal_access_tokens/self`: what a token says of itself, whatever its scopes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AccessToken {
    /// `read_api`, `read_registry`, ...
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// `GET /projects/:id`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Project {
    /// Its number.
    pub id: u64,
    /// `group/project`, with the capitals that GitLab shows.
    pub path_with_namespace: String,
    /// None in an empty repository.
    #[serde(default)]
    pub default_branch: Option<String>,
}

/// `GET /projects/:id/registry/repositories`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Repository {
    /// Its number.
    pub id: u64,
    /// The path below the project; empty for the project's own.
    #[serde(default)]
    pub name: String,
    /// `group/project/name`.
    pub path: String,
    /// With the registry's host in front.
    #[serde(default)]
    pub location: String,
}

/// `GET /projects/:id/pipelines/:pipeline`, and the rows of the list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Pipeline {
    /// Its number.
    pub id: u64,
    /// The commit.
    pub sha: String,
    /// Branch, tag, or `refs/merge-requests/...`.
    #[serde(rename = "ref", default)]
    pub git_ref: Option<String>,
    /// `success`, `failed`, `running`, ...
    pub status: String,
    /// Whether the ref is a tag; only in the single answer.
    #[serde(default)]
    pub tag: Option<bool>,
}

/// `GET /projects/:id/pipelines/:pipeline/jobs`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Job {
    /// Its number.
    pub id: u64,
    /// As in `.gitlab-ci.yml`.
    pub name: String,
    /// `success`, `failed`, ...
    pub status: String,
}

/// `GET /projects/:id/repository/commits/:sha`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Commit {
    /// The whole id.
    pub id: String,
}

/// `GET /projects/:id/merge_requests/:iid`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct MergeRequest {
    /// The newest commit of the source branch.
    #[serde(default)]
    pub sha: Option<String>,
    /// The source branch.
    pub source_branch: String,
    /// The project that the commits come from.
    #[serde(default)]
    pub source_project_id: Option<u64>,
    /// The project that they should go to.
    #[serde(default)]
    pub target_project_id: Option<u64>,
    /// The newest pipeline.
    #[serde(default)]
    pub head_pipeline: Option<Pipeline>,
}

/// `GET /projects/:id/releases/:tag`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Release {
    /// The tag.
    pub tag_name: String,
    /// What it points to.
    #[serde(default)]
    pub commit: Option<Commit>,
}

/// `GET /user`: whose token it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct User {
    /// The number.
    pub id: u64,
}

/// `GET /projects/:id/merge_requests/:iid/notes`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Note {
    /// Its number.
    pub id: u64,
    /// Its text.
    pub body: String,
    /// Who wrote it.
    pub author: User,
}

/// The answer to something that was made or changed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Made {
    /// Its number.
    pub id: u64,
}
