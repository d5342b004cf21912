//! `control/local.json`: what is known of a local job.
//!
//! The submitter creates it, exclusively; from then on only the supervisor writes it, each time as a
//! new file that replaces the old one. `control/cancel` is a separate, empty file, because another
//! process makes it.
//!
//! ```text
//! waiting --supervisor began--> starting --job.sh began--> running --all its processes gone--> ended
//! ```

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::backend::{BackendError, Order};
use crate::files::{self, ForeignFile};
use crate::job::{EngineKey, IntentId, JobId, JobRef, JobState, Tasks};

use super::process::{Place, Process};
use super::times::{ENGINE, TAKE_OVER};

/// The version of this document.
const SCHEMA: u32 = 1;
/// It has some 600 bytes.
const MOST: u64 = 64 << 10;

/// The document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub schema: u32,
    pub job: JobId,
    pub intent: IntentId,
    pub owner: String,
    pub submitted_at: jiff::Timestamp,
    /// Wall time limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_seconds: Option<u64>,
    /// The tasks of an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Tasks>,
    /// How many of them run at once at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once: Option<u32>,
    /// Which task of an array this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
    pub place: Place,
    #[serde(flatten)]
    pub phase: Phase,
}

/// How far the job is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "lowercase")]
pub(super) enum Phase {
    Waiting,
    Starting {
        supervisor: Process,
    },
    Running {
        supervisor: Process,
        /// The shell that runs `job.sh`.
        main: Option<Process>,
        started_at: jiff::Timestamp,
    },
    Ended {
        state: JobState,
        exit_code: Option<i32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        started_at: Option<jiff::Timestamp>,
        ended_at: jiff::Timestamp,
    },
}

impl Phase {
    pub fn state(&self) -> JobState {
        match self {
            Self::Waiting | Self::Starting { .. } => JobState::Submitted,
            Self::Running { .. } => JobState::Running,
            Self::Ended { state, .. } => *state,
        }
    }

    pub fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting { .. } => "starting",
            Self::Running { .. } => "running",
            Self::Ended { .. } => "ended",
        }
    }
}

impl Record {
    /// A job that nobody has begun.
    pub fn new(order: &Order, owner: String) -> Self {
        Self {
            schema: SCHEMA,
            job: order.job,
            intent: order.intent,
            owner,
            submitted_at: jiff::Timestamp::now(),
            time_seconds: order.resources.time_seconds,
            tasks: order.tasks.clone(),
            at_once: order.tasks.as_ref().map(|_| order.at_once.unwrap_or_else(|| fitting(order))),
            task: None,
            place: Place::here(),
            phase: Phase::Waiting,
        }
    }

    /// A task of this array that nobody has begun.
    pub fn of_task(&self, task: u32) -> Self {
        Self {
            tasks: None,
            at_once: None,
            task: Some(task),
            submitted_at: jiff::Timestamp::now(),
            phase: Phase::Waiting,
            ..self.clone()
        }
    }

    /// By what processes of it are known: the job, or its task.
    pub fn mark(&self) -> String {
        JobRef { job: self.job, task: self.task }.to_string()
    }

    pub fn key(&self) -> EngineKey {
        EngineKey {
            kind: ENGINE.to_owned(),
            cluster: Some(self.place.host.clone()),
            id: self.job.to_string(),
            submitted_at: self.submitted_at,
            owner: self.owner.clone(),
        }
    }

    /// Whether a supervisor may still begin.
    pub fn is_fresh(&self) -> bool {
        let age = jiff::Timestamp::now().duration_since(self.submitted_at);
        age.unsigned_abs() < TAKE_OVER
    }

    /// The supervisor; its number is that of the session that it made.
    pub fn supervisor(&self) -> Option<Process> {
        match self.phase {
            Phase::Starting { supervisor } | Phase::Running { supervisor, .. } => Some(supervisor),
            _ => None,
        }
    }
}

/// As many tasks as this machine has processors for.
fn fitting(order: &Order) -> u32 {
    let here = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let each = order.resources.cpus.unwrap_or(1).max(1);
    (u32::try_from(here).unwrap_or(u32::MAX) / each).max(1)
}

fn file(dir: &Path) -> PathBuf {
    dir.join("control/local.json")
}

fn cancel_file(dir: &Path) -> PathBuf {
    dir.join("control/cancel")
}

fn io(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> BackendError {
    let what = format!("{what} {}", path.display());
    move |source| BackendError::Io { what, source }
}

/// Whether the directory is a local job's.
pub(super) fn exists(dir: &Path) -> bool {
    file(dir).exists()
}

/// Reads the record of a directory's owner; another's is refused, because its process numbers would
/// be signalled.
pub(super) fn read(dir: &Path) -> Result<Record, BackendError> {
    let path = file(dir);
    let bad = |why: String| io("reading", &path)(std::io::Error::new(ErrorKind::InvalidData, why));
    let bytes = ForeignFile::own(MOST).bytes(&path).map_err(|e| io("reading", &path)(e.into()))?;
    let record: Record = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
    if record.schema > SCHEMA {
        return Err(bad(format!("schema {} is newer than {SCHEMA}", record.schema)));
    }
    Ok(record)
}

/// Creates the record; a directory that has one already is a job that was submitted before.
pub(super) fn create(dir: &Path, record: &Record) -> Result<(), BackendError> {
    let temporary = write_aside(dir, record)?;
    // A link instead of a rename: it fails when the name is taken.
    let linked = std::fs::hard_link(&temporary, file(dir));
    std::fs::remove_file(&temporary).map_err(io("removing", &temporary))?;
    linked.map_err(io("creating", &file(dir)))
}

/// Replaces the record.
pub(super) fn replace(dir: &Path, record: &Record) -> Result<(), BackendError> {
    let temporary = write_aside(dir, record)?;
    let path = file(dir);
    files::rename(&temporary, &path).map_err(io("replacing", &path))?;
    let control = dir.join("control");
    files::sync_folder(&control).map_err(io("syncing", &control))
}

/// Writes how a job or task ended.
pub(super) fn end(
    dir: &Path,
    record: &mut Record,
    started_at: Option<jiff::Timestamp>,
    state: JobState,
    exit_code: Option<i32>,
    reason: Option<String>,
) -> Result<(), BackendError> {
    let ended_at = jiff::Timestamp::now();
    record.phase = Phase::Ended { state, exit_code, reason, started_at, ended_at };
    replace(dir, record)
}

/// Takes the record of a job that never began away.
pub(super) fn remove(dir: &Path) -> Result<(), BackendError> {
    let path = file(dir);
    std::fs::remove_file(&path).map_err(io("removing", &path))
}

fn write_aside(dir: &Path, record: &Record) -> Result<PathBuf, BackendError> {
    let path = dir.join(format!("control/.local.json.{}", std::process::id()));
    let mut bytes = serde_json::to_vec_pretty(record)
        .map_err(|e| io("writing", &path)(std::io::Error::other(e)))?;
    bytes.push(b'\n');
    let write = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(&bytes)?;
        file.sync_all()
    };
    write().map_err(|source| {
        let _ = std::fs::remove_file(&path);
        io("writing", &path)(source)
    })?;
    Ok(path)
}

/// Leaves the wish to cancel, before any signal is sent.
pub(super) fn mark_cancelled(dir: &Path) -> Result<(), BackendError> {
    let path = cancel_file(dir);
    File::create(&path).map(drop).map_err(io("creating", &path))
}

/// Whether somebody wishes to cancel.
pub(super) fn is_cancelled(dir: &Path) -> bool {
    cancel_file(dir).exists()
}
