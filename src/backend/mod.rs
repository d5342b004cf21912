//! Engines that run jobs: one file per engine, one driver that runs their commands.
//!
//! # Adding a backend
//! Write `backend/NAME.rs` with a type that implements [`Backend`], and its line in `cli/adapters.rs`.
//! [`Backend::plan`] is pure, so its text gets a golden file; the suite in `tests/backend_suite.rs`
//! then runs on it: submit, state, exit code, output, cancel, find by intent.

use std::path::PathBuf;

use crate::failure::Failure;
use crate::job::{EngineKey, IntentId, JobId, Observation, Resources};

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

    /// What would be done; asks nothing and nobody.
    fn plan(&self, order: &Order) -> Submission;

    /// Hands the job over and returns the engine's key.
    ///
    /// # Errors
    /// [`BackendError::Uncertain`] when the engine may have taken the job without saying so; every
    /// other error means that it did not.
    fn submit(&self, order: &Order) -> Result<EngineKey, BackendError>;

    /// What the engine says of each job, in the order given. A job that it does not know is
    /// [`crate::job::JobState::Unknown`], which is not an error.
    ///
    /// # Errors
    /// When the engine could not be asked.
    fn status(&self, jobs: &[EngineKey]) -> Result<Vec<Observation>, BackendError>;

    /// Ends every process of the job; a job that has ended already is not an error.
    ///
    /// # Errors
    /// When the engine refused or could not be asked.
    fn cancel(&self, job: &EngineKey) -> Result<(), BackendError>;

    /// Looks for a job by the intent that travelled with it.
    ///
    /// # Errors
    /// When the engine could not be asked.
    fn find(&self, intent: &IntentId) -> Result<Option<EngineKey>, BackendError>;
}

/// What went wrong with an engine. Built up by the backends; see `error.rs`.
pub use error::BackendError;

mod error {
    use super::Failure;
    use crate::failure::Kind;

    /// An engine's failure; messages carry the engine's own words.
    #[derive(Debug, thiserror::Error)]
    pub enum BackendError {
        /// The engine's command is not installed.
        #[error("{engine} is not here: the command {command:?} was not found")]
        Absent {
            /// The engine.
            engine: &'static str,
            /// Its command.
            command: String,
        },
        /// The engine said no.
        #[error("{engine} refused the job: {said}")]
        Refused {
            /// The engine.
            engine: &'static str,
            /// Its words.
            said: String,
        },
        /// The command failed for another reason.
        #[error("{engine}: {command} failed: {said}")]
        Failed {
            /// The engine.
            engine: &'static str,
            /// Its command.
            command: String,
            /// Its words.
            said: String,
        },
        /// The engine may have taken the job.
        #[error("{engine} did not say whether it took the job: {said}")]
        Uncertain {
            /// The engine.
            engine: &'static str,
            /// Its words.
            said: String,
        },
        /// A file or process of our own.
        #[error("{what}: {source}")]
        Io {
            /// What failed, on what.
            what: String,
            /// Why.
            source: std::io::Error,
        },
    }

    impl Failure for BackendError {
        fn kind(&self) -> Kind {
            match self {
                Self::Io { source, .. } => crate::failure::io_kind(source, Kind::Engine),
                _ => Kind::Engine,
            }
        }

        fn hint(&self) -> Option<String> {
            match self {
                Self::Absent { engine, .. } => Some(format!(
                    "run this on a machine where {engine} can be submitted to, or use --backend local"
                )),
                Self::Uncertain { .. } => Some(
                    "moorline recover asks the engine again; nothing is submitted twice".into(),
                ),
                _ => None,
            }
        }
    }
}
