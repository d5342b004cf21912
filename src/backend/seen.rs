//! What an engine said of one job, and whether it said it.

use crate::job::{JobState, Observation};

/// An engine's word on one job. *Unknown* has two meanings that callers must tell apart: the engine
/// answered and does not know the job, or nobody who could know answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The state.
    pub state: JobState,
    /// The exit code as a shell would give it; only for ended jobs.
    pub exit_code: Option<i32>,
    /// The engine's own word, for example `PENDING`.
    pub engine_state: Option<String>,
    /// Why it waits or failed, in the engine's words; foreign text.
    pub reason: Option<String>,
    /// Why whoever knows the job best could not be asked; the state is old or unknown then.
    pub silent: Option<String>,
    /// It is held in the way in which Moorline submits held jobs; its owner can hold a job in the same way.
    pub held: bool,
}

impl Seen {
    /// The engine answered, and does not know the job.
    #[must_use]
    pub fn unknown(why: &str) -> Self {
        Observation { reason: Some(why.to_owned()), ..Observation::of(JobState::Unknown) }.into()
    }

    /// Nobody answered.
    #[must_use]
    pub fn silent(why: String) -> Self {
        Self { silent: Some(why), ..Observation::of(JobState::Unknown).into() }
    }

    /// As the ledger records it.
    #[must_use]
    pub fn observation(&self) -> Observation {
        Observation {
            state: self.state,
            exit_code: self.exit_code,
            engine_state: self.engine_state.clone(),
            reason: self.reason.clone(),
        }
    }
}

impl From<Observation> for Seen {
    fn from(seen: Observation) -> Self {
        let Observation { state, exit_code, engine_state, reason } = seen;
        Self { state, exit_code, engine_state, reason, silent: None, held: false }
    }
}
