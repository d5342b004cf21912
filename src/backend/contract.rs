//! What a backend is given, and what it must be able to do.

use std::path::PathBuf;

use crate::job::{EngineKey, IntentId, JobId, Resources, Tasks};

use super::error::BackendError;
use super::facts::Facts;
use super::seen::Seen;

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
    /// Whether it takes the job held, and starts it when it is told to ([`Backend::release`]).
    pub hold: bool,
    /// Its tasks, when it is an array; each has a directory of its own, [`task_dir`](crate::worker::task_dir).
    pub tasks: Option<Tasks>,
    /// How many of them run at once at most.
    pub at_once: Option<u32>,
    /// What the engine itself brings to the worker; `None` where the worker sees the job's directory.
    pub sent: Option<Sent>,
}

/// Files that an engine brings to the worker, beside the job's `control/` and `work/`. It brings back `work/` and
/// [`RETURNED`](crate::worker::RETURNED).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The image, which keeps its name; `None` where the worker gets it by itself.
    pub image: Option<PathBuf>,
    /// The worker's program, which is named `moorline`.
    pub worker: PathBuf,
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
    /// Files that it reads, and their text.
    pub files: Vec<(PathBuf, String)>,
}

/// An engine.
pub trait Backend {
    /// What others must know of it.
    fn facts(&self) -> &'static Facts;

    /// Its name on the command line and in engine keys.
    fn kind(&self) -> &'static str {
        self.facts().name
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

    /// Lets a job begin that was taken held. One that is not held any more is no error.
    ///
    /// # Errors
    /// When the engine refused or could not be asked.
    fn release(&self, _job: &EngineKey) -> Result<(), BackendError> {
        Ok(())
    }

    /// What the engine says of each job, in the order given. A job that it does not know is
    /// [`crate::job::JobState::Unknown`], which is not an error. A fault that concerns one job only
    /// is that job's [`Seen::silent`].
    ///
    /// # Errors
    /// When the engine could not be asked.
    fn status(&self, jobs: &[EngineKey]) -> Result<Vec<Seen>, BackendError>;

    /// What the engine says of the tasks of an array, those of which it says the same together: each of `tasks` once.
    ///
    /// # Errors
    /// When the engine could not be asked.
    fn status_of_tasks(
        &self,
        job: &EngineKey,
        tasks: &Tasks,
    ) -> Result<Vec<(Tasks, Seen)>, BackendError> {
        let _ = tasks;
        Err(no_arrays(self.kind(), job))
    }

    /// The same of several arrays at once, in the order given. One that could not be asked for is silent.
    fn status_of_arrays(&self, arrays: &[(EngineKey, Tasks)]) -> Vec<Vec<(Tasks, Seen)>> {
        let of = |(job, tasks): &(EngineKey, Tasks)| {
            let answer = self.status_of_tasks(job, tasks);
            answer.unwrap_or_else(|error| vec![(tasks.clone(), Seen::silent(error.why()))])
        };
        arrays.iter().map(of).collect()
    }

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

    /// Ends some tasks of an array; those that have ended already are no error.
    ///
    /// # Errors
    /// When the engine refused or could not be asked.
    fn cancel_tasks(&self, job: &EngineKey, tasks: &Tasks) -> Result<(), BackendError> {
        let _ = tasks;
        Err(no_arrays(self.kind(), job))
    }

    /// Looks for a job by the intent that travelled with it, and by its id; the oldest first. More than one means that the
    /// engine took it more often than it said.
    ///
    /// # Errors
    /// When nobody found it, and not everybody who could know answered.
    fn find(&self, job: &JobId, intent: &IntentId) -> Result<Vec<EngineKey>, BackendError>;

    /// How long the engine waits between telling a job to end and killing it, where it says so.
    fn grace(&self) -> Option<std::time::Duration> {
        None
    }
}

fn no_arrays(engine: &'static str, job: &EngineKey) -> BackendError {
    BackendError::Array {
        engine,
        what: format!("the tasks of {job}"),
        why: "it has no arrays",
        hint: "name the job without a task",
    }
}
