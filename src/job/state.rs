//! A job's state, in Ganga's words where it has one.

use serde::{Deserialize, Serialize};

use super::name::open_names;

open_names! {
    /// What is known of a job. `Unknown` is honest: an engine that no longer lists a job has not
    /// said that the job finished.
    pub enum JobState {
        /// The intent is recorded, the engine has not answered.
        Submitting = "submitting",
        /// The engine has it in its queue.
        Submitted = "submitted",
        /// It runs.
        Running = "running",
        /// It ended with exit code 0.
        Completed = "completed",
        /// It ended otherwise, or the engine gave it up.
        Failed = "failed",
        /// It was cancelled.
        Killed = "killed",
        /// The engine does not know, or could not be asked.
        Unknown = "unknown",
    }
}

impl JobState {
    /// Whether the state can no longer change.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Killed)
    }
}

/// What an engine said of a job when it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The state.
    pub state: JobState,
    /// The exit code as a shell would give it (128+n for signal n); only for ended jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The engine's own word, for example `PENDING` or `NODE_FAIL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_state: Option<String>,
    /// Why it waits or failed, in the engine's words; foreign text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Observation {
    /// A state without anything else.
    #[must_use]
    pub fn of(state: JobState) -> Self {
        Self { state, exit_code: None, engine_state: None, reason: None }
    }
}
