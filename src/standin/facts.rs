//! What GitLab knows beside its registry, as the stand-in's configuration says it.

use serde::{Deserialize, Deserializer};

use crate::secret::Secret;

/// A text that is a secret from its first byte.
pub(super) fn secret<'de, D: Deserializer<'de>>(d: D) -> Result<Secret, D::Error> {
    String::deserialize(d).map(Secret::new)
}

/// What GitLab knows beside its registry. As JSON, below `gitlab` of the stand-in's configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GitlabFacts {
    /// Personal, project and group access tokens; the registry knows them too.
    pub api_tokens: Vec<ApiToken>,
    /// All pipelines, of any project.
    pub pipelines: Vec<CiPipeline>,
    /// All merge requests.
    pub merge_requests: Vec<CiMergeRequest>,
    /// All releases.
    pub releases: Vec<CiRelease>,
    /// The status that every API answer has from now on, to play an outage; 302 redirects to
    /// `redirect_to`.
    pub status: Option<u16>,
    /// Where a redirect leads.
    pub redirect_to: String,
}

/// An access token for some projects.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiToken {
    /// The secret.
    #[serde(deserialize_with = "secret")]
    pub secret: Secret,
    /// Its projects.
    pub projects: Vec<String>,
    /// What it may do; with neither `read_api` nor `api` every other route answers 403.
    #[serde(default = "read_api")]
    pub scopes: Vec<String>,
}

impl ApiToken {
    pub(super) fn has(&self, any: &[&str]) -> bool {
        self.scopes.iter().any(|scope| any.contains(&scope.as_str()))
    }

    /// Whether the registry's tokens for its projects let pull.
    pub(super) fn may_pull(&self) -> bool {
        self.has(&["read_registry", "read_api", "api"])
    }

    /// The same for pushing.
    pub(super) fn may_push(&self) -> bool {
        self.has(&["write_registry", "api"])
    }
}

fn read_api() -> Vec<String> {
    vec!["read_api".into()]
}

/// A pipeline.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CiPipeline {
    /// Its project.
    pub project: String,
    /// Its number.
    pub id: u64,
    /// Branch or tag.
    #[serde(rename = "ref")]
    pub git_ref: String,
    /// Whether the ref is a tag.
    #[serde(default)]
    pub tag: bool,
    /// The commit.
    pub sha: String,
    /// `success`, `failed`, `running`.
    pub status: String,
    /// Names of its jobs, which have its status.
    #[serde(default)]
    pub jobs: Vec<String>,
}

/// A merge request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CiMergeRequest {
    /// The project that it goes to.
    pub project: String,
    /// Its number there.
    pub iid: u64,
    /// The branch that it comes from.
    pub source_branch: String,
    /// The project that it comes from, when that is another one.
    #[serde(default)]
    pub source_project: Option<String>,
    /// Its newest pipeline.
    pub pipeline: u64,
}

/// A release.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CiRelease {
    /// Its project.
    pub project: String,
    /// Its tag.
    pub tag: String,
    /// The tag's commit.
    pub sha: String,
}
