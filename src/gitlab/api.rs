//! The questions, one method each.

use gitlab::api::personal_access_tokens::PersonalAccessTokenSelf;
use gitlab::api::projects::Project as ProjectEndpoint;
use gitlab::api::projects::merge_requests::MergeRequest as MergeRequestEndpoint;
use gitlab::api::projects::pipelines::{
    Pipeline as PipelineEndpoint, PipelineJobs, PipelineStatus, Pipelines,
};
use gitlab::api::projects::registry::Repositories;
use gitlab::api::projects::releases::ProjectReleaseByTag;
use gitlab::api::projects::repository::commits::Commit as CommitEndpoint;
use gitlab::api::{self, ApiError, AsyncQuery, Endpoint, Pageable, Pagination};
use serde::de::DeserializeOwned;

use super::answers::{
    AccessToken, Commit, Job, MergeRequest, Pipeline, Project, Release, Repository,
};
use super::{Client, GitlabError};

/// Rows of a list that are looked at; who needs more has to ask more precisely.
const MOST_ROWS: usize = 200;

impl Client {
    /// What the access token says of itself. Servers older than GitLab 15.5 answer 404.
    ///
    /// # Errors
    /// As [`Client::project`]; 401 when the token is wrong.
    pub async fn access_token(&self) -> Result<AccessToken, GitlabError> {
        let what = "its access token".to_owned();
        let endpoint = built(&what, self, PersonalAccessTokenSelf::builder().build())?;
        self.one(endpoint, what).await
    }

    /// A project.
    ///
    /// # Errors
    /// As [`GitlabError`] says; missing and forbidden look the same.
    pub async fn project(&self, project: &str) -> Result<Project, GitlabError> {
        let what = format!("project {project}");
        let endpoint = built(&what, self, ProjectEndpoint::builder().project(project).build())?;
        self.one(endpoint, what).await
    }

    /// The container repositories of a project.
    ///
    /// # Errors
    /// As [`Client::project`]. A job token is enough for its own project.
    pub async fn repositories(&self, project: &str) -> Result<Vec<Repository>, GitlabError> {
        let what = format!("the container repositories of {project}");
        let endpoint = built(&what, self, Repositories::builder().project(project).build())?;
        self.rows(endpoint, what, MOST_ROWS).await
    }

    /// A pipeline.
    ///
    /// # Errors
    /// As [`Client::project`].
    pub async fn pipeline(&self, project: &str, id: u64) -> Result<Pipeline, GitlabError> {
        let what = format!("pipeline {id} of {project}");
        let endpoint = PipelineEndpoint::builder().project(project).pipeline(id).build();
        self.one(built(&what, self, endpoint)?, what).await
    }

    /// The successful pipelines of a branch or tag, and of a commit where one is given; the newest
    /// first, at most `most`.
    ///
    /// # Errors
    /// As [`Client::project`].
    pub async fn successful(
        &self,
        project: &str,
        git_ref: Option<&str>,
        sha: Option<&str>,
        most: usize,
    ) -> Result<Vec<Pipeline>, GitlabError> {
        let what = format!("the successful pipelines of {project}");
        let mut builder = Pipelines::builder();
        builder.project(project).status(PipelineStatus::Success);
        if let Some(name) = git_ref {
            builder.ref_(name);
        }
        if let Some(sha) = sha {
            builder.sha(sha);
        }
        let endpoint = built(&what, self, builder.build())?;
        let mut rows: Vec<Pipeline> = self.rows(endpoint, what, most).await?;
        rows.sort_by_key(|row| std::cmp::Reverse(row.id));
        Ok(rows)
    }

    /// The jobs of a pipeline.
    ///
    /// # Errors
    /// As [`Client::project`].
    pub async fn jobs(&self, project: &str, pipeline: u64) -> Result<Vec<Job>, GitlabError> {
        let what = format!("the jobs of pipeline {pipeline} of {project}");
        let endpoint = PipelineJobs::builder().project(project).pipeline(pipeline).build();
        self.rows(built(&what, self, endpoint)?, what, MOST_ROWS).await
    }

    /// A commit, by a whole or short id, a branch or a tag.
    ///
    /// # Errors
    /// As [`Client::project`].
    pub async fn commit(&self, project: &str, name: &str) -> Result<Commit, GitlabError> {
        let what = format!("commit {name} of {project}");
        let endpoint = CommitEndpoint::builder().project(project).commit(name).build();
        self.one(built(&what, self, endpoint)?, what).await
    }

    /// A merge request, by the number that GitLab shows.
    ///
    /// # Errors
    /// As [`Client::project`].
    pub async fn merge_request(
        &self,
        project: &str,
        iid: u64,
    ) -> Result<MergeRequest, GitlabError> {
        let what = format!("merge request {iid} of {project}");
        let endpoint = MergeRequestEndpoint::builder().project(project).merge_request(iid).build();
        self.one(built(&what, self, endpoint)?, what).await
    }

    /// A release, by its tag.
    ///
    /// # Errors
    /// As [`Client::project`].
    pub async fn release(&self, project: &str, tag: &str) -> Result<Release, GitlabError> {
        let what = format!("release {tag} of {project}");
        let endpoint = ProjectReleaseByTag::builder().project(project).tag(tag).build();
        self.one(built(&what, self, endpoint)?, what).await
    }

    pub(super) async fn one<T: DeserializeOwned + 'static>(
        &self,
        endpoint: impl Endpoint + Sync,
        what: String,
    ) -> Result<T, GitlabError> {
        endpoint.query_async(&*self.0).await.map_err(|error| self.explain(error, what))
    }

    pub(super) async fn rows<T: DeserializeOwned + Send + 'static>(
        &self,
        endpoint: impl Endpoint + Pageable + Sync,
        what: String,
        most: usize,
    ) -> Result<Vec<T>, GitlabError> {
        let paged = api::paged(endpoint, Pagination::Limit(most));
        paged.query_async(&*self.0).await.map_err(|error| self.explain(error, what))
    }

    /// Our own errors get their subject; what is left of the crate's are answers in an unknown form.
    fn explain(&self, error: ApiError<GitlabError>, subject: String) -> GitlabError {
        let ApiError::Client { source: mut ours } = error else {
            let reason = self.0.unread(&error.to_string());
            let host = self.0.host().to_owned();
            return GitlabError::Protocol { host, what: subject, reason };
        };
        if let GitlabError::Answer { what, .. }
        | GitlabError::Redirected { what, .. }
        | GitlabError::Protocol { what, .. } = &mut ours
        {
            *what = subject;
        }
        ours
    }
}

/// A builder fails only when a field was forgotten, which tests find.
pub(super) fn built<T, E: std::fmt::Display>(
    what: &str,
    client: &Client,
    endpoint: Result<T, E>,
) -> Result<T, GitlabError> {
    endpoint.map_err(|e| GitlabError::Protocol {
        host: client.0.host().to_owned(),
        what: what.to_owned(),
        reason: e.to_string(),
    })
}
