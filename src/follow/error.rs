//! What can go wrong while following jobs.

use std::io;
use std::path::PathBuf;

use crate::backend::BackendError;
use crate::failure::{Failure, Kind};
use crate::job::{JobId, JobRef, Tasks};
use crate::ledger::LedgerError;

/// What went wrong while following jobs. Texts from outside are kept harmless: one line, no control characters.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The engine could not be asked.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The ledger could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Between two questions it went.
    #[error("job {0} is no longer in the ledger")]
    Gone(JobRef),
    /// Its submission was interrupted.
    #[error("job {0}: it is uncertain whether the engine took it")]
    Uncertain(JobRef),
    /// The time that the user gave is up.
    #[error("the jobs have not ended in the given time")]
    InTime,
    /// The engine answers and does not know the job.
    #[error(
        "job {job}: nobody can say how it is: {kind} has not known it for {seconds} s, and there is no receipt ({why})"
    )]
    Unknown {
        /// The job.
        job: JobRef,
        /// Its engine.
        kind: String,
        /// For how long.
        seconds: u64,
        /// What the engine said.
        why: String,
    },
    /// The engine does not answer.
    #[error("job {job}: {kind} has not answered for {seconds} s: {why}")]
    Silent {
        /// One of its jobs.
        job: JobRef,
        /// The engine.
        kind: String,
        /// For how long.
        seconds: u64,
        /// What was met.
        why: String,
    },
    /// A job of an engine that a newer program knows.
    #[error("this moorline knows no backend {0}")]
    NoBackend(String),
    /// There is nobody to tell that the job shall end.
    #[error("job {0} cannot be cancelled: no engine is known to have it")]
    NobodyHasIt(JobRef),
    /// Each task of an array has its own.
    #[error("job {job} is an array of the tasks {tasks}, and each has an output of its own")]
    OfWhichTask {
        /// The job.
        job: JobId,
        /// Its tasks.
        tasks: Tasks,
        /// The first one.
        first: u32,
    },
    /// The job's directory has no such file.
    #[error("job {job} has no {name}: {why}")]
    NoOutput {
        /// The job.
        job: JobRef,
        /// The file.
        name: &'static str,
        /// Why it may be missing.
        why: &'static str,
    },
    /// What a job wrote cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Failure for FollowError {
    fn kind(&self) -> Kind {
        match self {
            Self::Backend(error) => error.kind(),
            Self::Ledger(error) => error.kind(),
            Self::Gone(_) | Self::NoOutput { .. } => Kind::NotFound,
            Self::OfWhichTask { .. } => Kind::Usage,
            Self::Unreadable { .. } => Kind::Configuration,
            Self::Uncertain(_)
            | Self::InTime
            | Self::Unknown { .. }
            | Self::Silent { .. }
            | Self::NoBackend(_)
            | Self::NobodyHasIt(_) => Kind::Engine,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Backend(error) => return error.hint(),
            Self::Ledger(error) => return error.hint(),
            Self::Uncertain(_) => "moorline recover asks the engine again",
            Self::InTime => "they go on; wait again, or moorline cancel them",
            Self::Unknown { job, .. } => {
                return Some(format!(
                    "moorline logs {job} shows what it wrote; --unknown SECONDS waits longer for a receipt"
                ));
            }
            Self::OfWhichTask { job, first, .. } => {
                return Some(format!("name a task: {job}.{first}"));
            }
            Self::Silent { .. } => "the job may go on; wait again, --silent SECONDS waits longer",
            Self::NobodyHasIt(_) => "moorline recover asks the engine for it",
            Self::NoBackend(_) => {
                "a newer moorline gave it the job: use that one, or the engine's own commands"
            }
            Self::Gone(_) | Self::NoOutput { .. } | Self::Unreadable { .. } => {
                return None;
            }
        };
        Some(text.to_owned())
    }
}
