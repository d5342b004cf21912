//! What can go wrong while following jobs.

use std::io;
use std::path::PathBuf;

use crate::backend::BackendError;
use crate::failure::{Failure, Kind, io_kind};
use crate::files::FileError;
use crate::job::{JobId, JobRef, JobState, Tasks};
use crate::ledger::LedgerError;
use crate::text::{Foreign, plural};

/// Why a job of `moorline run` has no output that is kept.
pub(super) const PRINTED: &str = "moorline run printed it where it was called, and keeps none";

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
    /// What a job leaves is known at its end.
    #[error("job {job} has not ended: it is {state}, and its output files are not complete")]
    NotEnded {
        /// The job.
        job: JobRef,
        /// How it is.
        state: JobState,
    },
    /// No receipt says what the job left.
    #[error("job {job} left no receipt: nothing says which files are its output")]
    NoReceipt {
        /// The job.
        job: JobRef,
        /// Its working directory.
        work: PathBuf,
    },
    /// Some tasks of an array left no receipt.
    #[error(
        "the tasks {tasks} of job {job} left no receipt: nothing says which files are their output"
    )]
    NoReceipts {
        /// The array.
        job: JobRef,
        /// Those tasks.
        tasks: Tasks,
    },
    /// The ledger does not hold the names any more.
    #[error("the names of the files of job {0} were erased from the ledger")]
    Erased(JobRef),
    /// None of the files is a declared output.
    #[error("job {job} left no file that is declared as its output")]
    NoneDeclared {
        /// The job.
        job: JobRef,
        /// How many others it left.
        others: usize,
    },
    /// The receipt does not list a file.
    #[error("the receipt of job {job} lists no file {name:?}")]
    NotLeft {
        /// The job.
        job: JobRef,
        /// What was asked for.
        name: String,
    },
    /// A receipt is foreign text.
    #[error(
        "the receipt of job {job} names {path:?}, which is no path below the working directory"
    )]
    Astray {
        /// The job.
        job: JobRef,
        /// What it says.
        path: String,
    },
    /// It is not there.
    #[error("cannot fetch {}: {why}", Foreign::path(file))]
    NoFile {
        /// The job.
        job: JobRef,
        /// Where it should be.
        file: PathBuf,
        /// What is in the way.
        why: String,
    },
    /// Something else than a regular file has the name.
    #[error("cannot fetch {}: {why}", Foreign::path(file))]
    NotRegular {
        /// Where it should be.
        file: PathBuf,
        /// What is there.
        why: String,
    },
    /// The bytes are others.
    #[error(
        "{} is not what job {job} left: its bytes are not those of the receipt",
        Foreign::path(file)
    )]
    Changed {
        /// The job.
        job: JobRef,
        /// The file.
        file: PathBuf,
    },
    /// Another file has the name.
    #[error("{} exists already, and is another file", Foreign::path(to))]
    Occupied {
        /// The name.
        to: PathBuf,
    },
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Failure for FollowError {
    fn kind(&self) -> Kind {
        match self {
            Self::Backend(error) => error.kind(),
            Self::Ledger(error) => error.kind(),
            Self::Gone(_)
            | Self::NoOutput { .. }
            | Self::NotEnded { .. }
            | Self::NoReceipt { .. }
            | Self::NoReceipts { .. }
            | Self::Erased(_)
            | Self::NoneDeclared { .. }
            | Self::NotLeft { .. }
            | Self::NoFile { .. }
            | Self::NotRegular { .. } => Kind::NotFound,
            Self::OfWhichTask { .. } | Self::Occupied { .. } => Kind::Usage,
            Self::Astray { .. } | Self::Changed { .. } => Kind::Integrity,
            Self::File(error) => io_kind(&error.source, Kind::Configuration),
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
            Self::NotEnded { job, .. } => {
                return Some(format!("moorline wait {job} waits for its end; then fetch again"));
            }
            Self::NoReceipt { job, work } => {
                let work = Foreign::path(work);
                return Some(format!(
                    "moorline status {job} says how it ended; what it wrote may lie in {work}"
                ));
            }
            Self::NoReceipts { job, .. } => {
                return Some(format!("moorline status {job} says how they ended"));
            }
            Self::Erased(_) => {
                "its working directory may still have them: moorline status names it"
            }
            Self::NoneDeclared { others: 0, .. } => {
                "moorline submit --output GLOB declares which files are a job's output"
            }
            Self::NoneDeclared { job, others } => {
                return Some(format!(
                    "--all takes what is new ({}); moorline audit job {job} lists it",
                    plural(*others, "file")
                ));
            }
            Self::NotLeft { job, .. } => {
                return Some(format!("moorline audit job {job} lists what it left"));
            }
            Self::Changed { .. } => "--changed takes it as it is now",
            Self::Occupied { .. } => "--force replaces it; -o DIR writes into another directory",
            Self::Astray { .. } => "do not trust this job's files: somebody made that receipt up",
            Self::NoFile { job, .. } => {
                return Some(format!("moorline rerun {job} makes the job's files once more"));
            }
            Self::NotRegular { .. } => {
                "only regular files are fetched; cp takes what a link leads to, if you want that"
            }
            Self::Silent { .. } => "the job may go on; wait again, --silent SECONDS waits longer",
            Self::NobodyHasIt(_) => "moorline recover asks the engine for it",
            Self::NoBackend(_) => {
                "a newer moorline gave it the job: use that one, or the engine's own commands"
            }
            Self::NoOutput { job, why, .. } if *why == PRINTED => {
                return Some(format!("moorline status {job} shows how it ended"));
            }
            Self::Gone(_) | Self::NoOutput { .. } | Self::Unreadable { .. } | Self::File(_) => {
                return None;
            }
        };
        Some(text.to_owned())
    }
}
