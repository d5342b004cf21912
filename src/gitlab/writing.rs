//! What this program writes into GitLab, and only when it is asked to: one note in a merge request, one status of a
//! commit.
//!
//! ```text
//! note     GET user, notes   --ours by author and marker?-->  PUT that one   or   POST a new one
//! status   POST              GitLab keeps one for each name, ref and pipeline
//! ```
//!
//! Both need an access token with the scope `api`: of a project, a group or a person. A job's token opens neither
//! ("CI/CD job token"). *Not promised:* one note when two pipelines write their first at the same moment.

use gitlab::api::common::SortOrder;
use gitlab::api::projects::merge_requests::notes::{
    CreateMergeRequestNote, EditMergeRequestNote, MergeRequestNotes,
};
use gitlab::api::projects::repository::commits::{CommitStatusState, CreateCommitStatus};
use gitlab::api::users::CurrentUser;

use super::answers::{Made, Note, User};
use super::api::built;
use super::{Client, GitlabError};

/// So many notes of a merge request are looked through.
const MOST_NOTES: usize = 2000;
/// The longest description, address and name of a status, in bytes.
const MOST_STATUS: usize = 255;

/// How a commit is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Good.
    Success,
    /// Bad.
    Failed,
    /// Neither: nobody can say.
    Skipped,
}

/// A commit's status.
#[derive(Clone, Debug)]
pub struct Status<'a> {
    /// Which commit; the whole id.
    pub commit: &'a str,
    /// Its pipeline, where several have it.
    pub pipeline: Option<u64>,
    /// Branch or tag.
    pub git_ref: Option<&'a str>,
    /// How it is.
    pub state: State,
    /// The status's name: one of this name replaces the one before.
    pub name: &'a str,
    /// What is said of it.
    pub description: &'a str,
    /// Where more is.
    pub url: Option<&'a str>,
}

/// What became of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is new.
    New(u64),
    /// The one from before has the new text.
    Updated(u64),
    /// The one from before says the same already.
    Same(u64),
}

impl Client {
    /// Writes a note, or a new text into the one from before. That is the first one of this token's user that begins
    /// with `marker`; somebody else's is left alone.
    ///
    /// # Errors
    /// As [`Client::project`].
    pub async fn note(
        &self,
        project: &str,
        merge_request: u64,
        marker: &str,
        text: &str,
    ) -> Result<Noted, GitlabError> {
        let of = format!("merge request {merge_request} of {project}");
        let what = "the token's user".to_owned();
        let user: User =
            self.one(built(&what, self, CurrentUser::builder().build())?, what).await?;
        let what = format!("the notes of {of}");
        let endpoint = MergeRequestNotes::builder()
            .project(project)
            .merge_request(merge_request)
            .sort(SortOrder::Ascending)
            .build();
        let notes: Vec<Note> = self.rows(built(&what, self, endpoint)?, what, MOST_NOTES).await?;
        let ours = |note: &&Note| note.author.id == user.id && note.body.starts_with(marker);
        let body = format!("{marker}\n{text}");
        let what = format!("a note in {of}");
        let Some(old) = notes.iter().find(ours) else {
            let endpoint = CreateMergeRequestNote::builder()
                .project(project)
                .merge_request(merge_request)
                .body(body)
                .build();
            let made: Made = self.one(built(&what, self, endpoint)?, what).await?;
            return Ok(Noted::New(made.id));
        };
        if old.body == body {
            return Ok(Noted::Same(old.id));
        }
        let endpoint = EditMergeRequestNote::builder()
            .project(project)
            .merge_request(merge_request)
            .note(old.id)
            .body(body)
            .build();
        let made: Made = self.one(built(&what, self, endpoint)?, what).await?;
        Ok(Noted::Updated(made.id))
    }

    /// Marks a commit.
    ///
    /// # Errors
    /// As [`Client::project`].
    pub async fn mark(&self, project: &str, status: &Status<'_>) -> Result<(), GitlabError> {
        let what = format!("a status of commit {} of {project}", status.commit);
        let mut builder = CreateCommitStatus::builder();
        builder
            .project(project)
            .commit(status.commit)
            .state(match status.state {
                State::Success => CommitStatusState::Success,
                State::Failed => CommitStatusState::Failed,
                State::Skipped => CommitStatusState::Skipped,
            })
            .name(shortened(status.name))
            .description(shortened(status.description));
        if let Some(id) = status.pipeline {
            builder.pipeline_id(id);
        }
        // a longer one is refused, and the status says enough without
        if let Some(name) = status.git_ref.filter(|name| name.len() <= MOST_STATUS) {
            builder.ref_(name);
        }
        if let Some(url) = status.url.filter(|url| url.len() <= MOST_STATUS) {
            builder.target_url(url);
        }
        let _: Made = self.one(built(&what, self, builder.build())?, what).await?;
        Ok(())
    }
}

/// As much as GitLab takes.
fn shortened(text: &str) -> &str {
    let fits = |(at, c): (usize, char)| Some(at + c.len_utf8()).filter(|end| *end <= MOST_STATUS);
    let end = text.char_indices().map_while(fits).last().unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_what_fits() {
        assert_eq!(shortened(""), "");
        assert_eq!(shortened("Match"), "Match");
        assert_eq!(shortened(&"ö".repeat(300)), "ö".repeat(127));
    }
}
