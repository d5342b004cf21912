//! What an engine's own file says: how a job is written down for it, and what its answers mean.
//!
//! Everything here is pure: a dialect builds command lines and reads texts. [`Engine`](super::Engine)
//! runs the commands, and decides what follows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::driver::Finished;
use super::{BackendError, Facts, Order, Submission};
use crate::job::{EngineKey, IntentId, Observation, Tasks};

/// One engine's language.
pub(super) trait Dialect: Sync {
    /// What others must know of it.
    fn facts(&self) -> &'static Facts;

    /// The command that submits, and the files that it reads; held when the order says so.
    ///
    /// # Errors
    /// [`BackendError::Unfit`] when a part of the order cannot be said.
    fn submit(&self, order: &Order) -> Result<Submission, BackendError>;

    /// Whether the engine took the job.
    fn taken(&self, order: &Order, answer: &Finished) -> Taken;

    /// Questions for what a new job's key still lacks; each is asked only while it does.
    fn complete(&self, id: &str) -> Vec<Question>;

    /// What an answer adds to the key.
    fn completed(&self, question: &Question, text: &str, id: &str) -> Missing;

    /// Questions for the state of jobs, asked in this order until every job is answered for.
    fn status(&self, keys: &[&EngineKey]) -> Vec<Question>;

    /// The jobs of an answer. Lines that are none are left out.
    fn rows(&self, question: &Question, text: &str) -> Vec<Row>;

    /// Whether a failing answer to a question for rows means that there are none.
    fn is_none(&self, _said: &str) -> bool {
        false
    }

    /// Whether a failing command says that nobody answered it.
    fn is_unreachable(&self, said: &str) -> bool;

    /// Whether a text can be one of its ids.
    fn is_id(&self, text: &str) -> bool;

    /// Lets held jobs begin. Empty where an engine cannot hold.
    fn release(&self, _keys: &[&EngineKey]) -> Vec<Question> {
        Vec::new()
    }

    /// Whether a failing release says that the job is not held any more.
    fn is_released(&self, _said: &str) -> bool {
        false
    }

    /// Ends jobs.
    fn cancel(&self, keys: &[&EngineKey]) -> Vec<Question>;

    /// Ends some tasks of an array.
    fn cancel_tasks(&self, _key: &EngineKey, _tasks: &Tasks) -> Vec<Question> {
        Vec::new()
    }

    /// Questions for the jobs that an intent travelled with; all are asked.
    fn find(&self, intent: &IntentId) -> Vec<Question>;

    /// The caller's jobs with that intent.
    fn found(&self, question: &Question, text: &str, owner: &str, intent: &IntentId) -> Vec<Row>;

    /// Asks whether anybody would take a job.
    fn ready(&self) -> Question;

    /// Whether the answer means yes.
    fn is_ready(&self, text: &str) -> bool;

    /// Asks how long the engine waits between telling a job to end and killing it.
    fn grace(&self) -> Option<Question> {
        None
    }

    /// The answer.
    fn grace_in(&self, _text: &str) -> Option<Duration> {
        None
    }
}

/// Whose answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// Who runs the jobs: knows new ones at once, and forgets those that ended.
    Queue,
    /// Who keeps the jobs that ended; may be late, and may not exist.
    Accounting,
    /// Neither: a command that does something, or a setting.
    Other,
}

/// A command to run, and whose answer it gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub whom: Whom,
    pub argv: Vec<String>,
    /// Variables beside the allowed ones.
    pub env: &'static [(&'static str, &'static str)],
}

impl Question {
    pub fn new<S: Into<String>>(whom: Whom, argv: impl IntoIterator<Item = S>) -> Self {
        Self { whom, argv: argv.into_iter().map(Into::into).collect(), env: &[] }
    }
}

/// What an engine made of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It has the job, under this id, and perhaps said its cluster's name.
    Yes { id: String, cluster: Option<String> },
    /// It said no, and why.
    No(String),
    /// Nobody was there to take it.
    Unreachable(String),
    /// It may have it.
    Maybe(String),
}

/// Parts of a key that an answer gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    pub cluster: Option<String>,
    /// Seconds since 1970.
    pub submitted: Option<i64>,
}

/// What an engine says of one start of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub id: String,
    /// Of which tasks of an array it speaks; `None` of a job that is none.
    pub tasks: Option<Tasks>,
    /// Where one question is answered for several clusters.
    pub cluster: Option<String>,
    /// Seconds since 1970.
    pub submit: i64,
    pub user: String,
    pub seen: Observation,
    /// The engine itself may start the job again, which is a row with a later time.
    pub may_return: bool,
    /// It is held in the way in which Moorline submits held jobs.
    pub held: bool,
}

/// Where engines' commands without a place of their own are started.
pub(super) fn anywhere() -> PathBuf {
    Path::new("/").to_owned()
}
