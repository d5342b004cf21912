//! A job's state, in Ganga's words where it has one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is known of a job. `Unknown` is honest: an engine that no longer lists a job has not
/// said that the job finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// The intent is recorded, the engine has not answered.
    Submitting,
    /// The engine has it in its queue.
    Submitted,
    /// It runs.
    Running,
    /// It ended with exit code 0.
    Completed,
    /// It ended otherwise, or the engine gave it up.
    Failed,
    /// It was cancelled.
    Killed,
    /// The engine does not know, or could not be asked.
    Unknown,
}

impl JobState {
    /// Whether the state can no longer change.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Killed)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Submitting => "submitting",
            Self::Submitted => "submitted",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Killed => "killed",
            Self::Unknown => "unknown",
        })
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
