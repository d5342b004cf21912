//! Engines that run jobs: one file per engine, one driver that runs their commands.
//!
//! # Adding a backend
//! Write `backend/NAME.rs` with a type that implements [`Backend`], and its line in `cli/adapters.rs`.
//! [`Backend::plan`] is pure, so its text gets a golden file; the suite in `tests/jobs/backend.rs`
//! runs on it: submit, state, exit code, output, cancel, find by intent.

mod driver;
mod error;
pub mod foreground;
pub mod local;
mod seen;
pub mod slurm;

use std::path::PathBuf;

use crate::job::{EngineKey, IntentId, JobId, Resources};

pub use driver::{Environment, answer};
pub use error::BackendError;
pub use foreground::{FOREGROUND, Foreground, Held};
pub use local::{Local, supervise};
pub use seen::Seen;
pub use slurm::Slurm;

/// What a backend is given: identifiers, numbers and paths; none of the user's text.
#[derive(Clone, Debug)]
pub struct Order {
    /// The job.
    pub job: JobId,
    /// Travels with the job, so that it can be found again.
    pub intent: IntentId,
    /// `JOBS_DIR/ID`; holds `control/job.sh`, `work/`, and receives `stdout` and `stderr`.
    pub dir: PathBuf,
    /// The pinned digest (`sha256:...`), for the engine's own records.
    pub digest: String,
    /// What to ask of the engine.
    pub resources: Resources,
}

/// What a backend will do: a command line and the files it needs, without any secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables that the engine's command gets beside the allow-list.
    pub env: Vec<(String, String)>,
    /// Where it is started.
    pub cwd: PathBuf,
}

/// An engine.
pub trait Backend {
    /// Its name on the command line and in engine keys.
    fn kind(&self) -> &'static str;

    /// The kind of engine that repeats its jobs.
    fn again(&self) -> &'static str {
        self.kind()
    }

    /// What would be done; asks nothing and nobody.
    ///
    /// # Errors
    /// [`BackendError::Unfit`] when a path or name cannot be said in the engine's language.
    fn plan(&self, order: &Order) -> Result<Submission, BackendError>;

    /// Hands the job over and returns the engine's key.
    ///
    /// # Errors
    /// [`BackendError::Uncertain`] when the engine may have taken the job without saying so; every
    /// other error means that it did not.
    fn submit(&self, order: &Order) -> Result<EngineKey, BackendError>;

    /// What the engine says of each job, in the order given. A job that it does not know is
    /// [`crate::job::JobState::Unknown`], which is not an error. A fault that concerns one job only
    /// is that job's [`Seen::silent`].
    ///
    /// # Errors
    /// When the engine could not be asked.
    fn status(&self, jobs: &[EngineKey]) -> Result<Vec<Seen>, BackendError>;

    /// Asks whether there is anybody who would take a job, and says who; nothing is submitted.
    ///
    /// # Errors
    /// When nobody answers.
    fn ready(&self) -> Result<String, BackendError>;

    /// Ends every process of the job that the engine can reach; a job that has ended already is
    /// not an error. The engine may need a while: ask [`Backend::status`] for the end.
    ///
    /// # Errors
    /// When the engine refused or could not be asked.
    fn cancel(&self, job: &EngineKey) -> Result<(), BackendError>;

    /// Looks for a job by the intent that travelled with it.
    ///
    /// # Errors
    /// When the engine could not be asked.
    fn find(&self, intent: &IntentId) -> Result<Option<EngineKey>, BackendError>;

    /// How long the engine waits between telling a job to end and killing it, where it says so.
    fn grace(&self) -> Option<std::time::Duration> {
        None
    }
}
