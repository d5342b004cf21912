//! What can go wrong with a ledger.

use std::io;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Kind, io_kind};
use crate::job::{JobId, ParseIdError, Tasks};

/// A ledger that could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The operating system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// A verb: `write`, `read`, `create`, `sync`.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Another user could write history here.
    #[error("the ledger {} is not safe: {why}", path.display())]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Something is in the ledger's place that is not a directory.
    #[error("the ledger {} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// A record cannot be written as JSON: a path that is not UTF-8.
    #[error("a record cannot be written as JSON: {0}")]
    Encode(#[from] serde_json::Error),
    /// An engine calls itself something that is no name.
    #[error("the engine's name cannot be recorded: {0}")]
    Name(#[from] ParseIdError),
    /// The system gave no random numbers.
    #[error("the system gave no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// Another process merges into it just now.
    #[error("somebody else merges into the ledger {} just now", .0.display())]
    Merging(PathBuf),
    /// There is nothing to merge.
    #[error("{} holds no ledger", .0.display())]
    NoLedger(PathBuf),
    /// A file is damaged, or not what was merged before.
    #[error("the ledger {} is not merged: {what}", dir.display())]
    NotMerged {
        /// The other ledger.
        dir: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// It speaks of a job that this ledger recorded by itself.
    #[error(
        "the ledger {} is not merged: it has records of job {job}, which this ledger has of its own; they could change \
         its verdict",
        dir.display()
    )]
    OwnJob {
        /// The other ledger.
        dir: PathBuf,
        /// The job.
        job: JobId,
    },
    /// Every new file name was taken; only a broken file system does this.
    #[error("no new writer could be made in {}", .0.display())]
    NoWriter(PathBuf),
}

impl LedgerError {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, source: crate::files::explained(&path, source), path }
    }
}

impl Failure for LedgerError {
    fn kind(&self) -> Kind {
        match self {
            Self::Io { source, .. } => io_kind(source, Kind::Configuration),
            Self::Encode(_) => Kind::Usage,
            Self::NoLedger(_) => Kind::NotFound,
            Self::NotMerged { .. } => Kind::Integrity,
            Self::OwnJob { .. } => Kind::Policy,
            _ => Kind::Configuration,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } if self.kind() == Kind::NoSpace => Some(
                "free some space or raise the quota; nothing that was recorded before is lost"
                    .to_owned(),
            ),
            Self::Io { .. } => Some(
                "name a directory that you can write: MOORLINE_LEDGER, or ledger in the configuration"
                    .to_owned(),
            ),
            Self::Unsafe { path, .. } => Some(format!(
                "use a directory of your own, or: chmod go-w {}",
                shlex::try_quote(&path.to_string_lossy()).unwrap_or_default()
            )),
            Self::Merging(_) => Some("try again when it has ended".to_owned()),
            Self::NoLedger(_) => Some(
                "name the directory that has the .jsonl files, such as moorline-artifacts/ledger of a CI job".to_owned(),
            ),
            Self::NotMerged { dir, .. } => Some(format!(
                "MOORLINE_LEDGER={} moorline audit verify says all that is wrong; get the artifact anew",
                shlex::try_quote(&dir.to_string_lossy()).unwrap_or_default()
            )),
            Self::OwnJob { .. } => Some(
                "if that directory is a copy of this ledger, which nobody else could write: --same-jobs".to_owned(),
            ),
            Self::Encode(_) => Some("use paths whose names are UTF-8".to_owned()),
            _ => None,
        }
    }
}

/// A job that was asked for and not found, or not only one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No job has this id.
    #[error("no job {asked:?} in the ledger")]
    Unknown {
        /// What was typed.
        asked: String,
        /// The newest jobs, newest first, at most five.
        newest: Vec<JobId>,
    },
    /// The job has no such task.
    #[error("{asked:?}: {}", match tasks {
        Some(tasks) => format!("the job has the tasks {tasks}"),
        None => "the job is not an array and has no tasks".to_owned(),
    })]
    NoTask {
        /// What was typed.
        asked: String,
        /// The tasks that it has.
        tasks: Option<Tasks>,
    },
    /// Tasks are named one at a time.
    #[error("{asked:?} names several tasks at once")]
    SeveralTasks {
        /// What was typed.
        asked: String,
        /// The part of it that names the job.
        job: String,
        /// The tasks.
        tasks: Tasks,
    },
    /// Several jobs have it.
    #[error("{asked:?} names {} jobs, not one", candidates.len())]
    Ambiguous {
        /// What was typed.
        asked: String,
        /// All of them, oldest first.
        candidates: Vec<JobId>,
    },
}

impl Failure for LookupError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unknown { .. } | Self::NoTask { .. } => Kind::NotFound,
            Self::SeveralTasks { .. } | Self::Ambiguous { .. } => Kind::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        let (start, jobs) = match self {
            Self::NoTask { tasks, asked } => {
                return Some(match (tasks, asked.rsplit_once('.')) {
                    (None, _) => "leave out the point and what follows".to_owned(),
                    (Some(_), Some((job, _))) => {
                        format!("moorline status {job} lists its tasks; one is named at a time")
                    }
                    (Some(_), None) => "one task is named at a time".to_owned(),
                });
            }
            Self::SeveralTasks { job, tasks, .. } => {
                let most = if tasks.count() > 4 { 2 } else { 4 };
                let mut each: Vec<_> =
                    tasks.numbers().take(most).map(|task| format!("{job}.{task}")).collect();
                if tasks.count() > 4 {
                    each.push("...".to_owned());
                }
                return Some(format!("name each: {}; or the whole job: {job}", each.join(" ")));
            }
            Self::Unknown { newest, .. } if newest.is_empty() => {
                return Some("the ledger holds no job yet".to_owned());
            }
            Self::Unknown { newest, .. } => ("the newest jobs are", newest),
            Self::Ambiguous { candidates, .. } => ("type more of one of", candidates),
        };
        let mut shown: Vec<_> = jobs.iter().take(8).map(ToString::to_string).collect();
        if jobs.len() > shown.len() {
            shown.push(format!("and {} more", jobs.len() - shown.len()));
        }
        Some(format!("{start}: {}", shown.join(" ")))
    }
}
