//! `moorline run` as an engine: a process in somebody's foreground, which a lock shows to live.
//!
//! ```text
//! control/running   {"schema":1,"job":...,"intent":...,"owner":...,"place":{...},"process":{...}}
//!                   locked by the `run` for as long as it lives
//! at its end        the same with "exit_code", and only then the lock goes
//! ```
//!
//! It takes no orders: a `run` begins by itself. Not promised: that a lock is seen from another machine;
//! a `run` of another machine whose lock looks free is *unknown*, never ended.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::local::process::{self, Place, Process};
use super::{Backend, BackendError, Facts, Order, Seen, Submission};
use crate::files::ForeignFile;
use crate::job::{EngineKey, IntentId, JobId, JobState, Observation};

/// Its kind in the ledger.
pub const FOREGROUND: &str = "run";

static FACTS: Facts =
    Facts { name: FOREGROUND, again: Some(super::local::ENGINE), ..Facts::OF_THIS_MACHINE };

/// The record's name in the control directory.
const RECORD: &str = "running";
/// The record has some 400 bytes.
const MOST: u64 = 64 << 10;
/// The version of the record.
const SCHEMA: u32 = 1;
/// How long a `run` may take to end after it was told to.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    schema: u32,
    job: JobId,
    intent: IntentId,
    owner: String,
    submitted_at: jiff::Timestamp,
    place: Place,
    process: Process,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
}

/// A `run` that lives: the caller's own process.
#[derive(Debug)]
pub struct Held {
    file: File,
    path: PathBuf,
    record: Record,
}

impl Held {
    /// Says that this process runs the order, for as long as the value lives.
    ///
    /// # Errors
    /// When the record cannot be written or locked.
    pub fn take(order: &Order, owner: &str) -> Result<Self, BackendError> {
        let path = order.dir.join("control").join(RECORD);
        let process = Process::myself().map_err(io_error("reading /proc/self/stat", &path))?;
        let record = Record {
            schema: SCHEMA,
            job: order.job,
            intent: order.intent,
            owner: owner.to_owned(),
            submitted_at: jiff::Timestamp::now(),
            place: Place::here(),
            process,
            exit_code: None,
        };
        // locked and whole before it has its name: whoever looks sees nothing or all of it
        let aside = path.with_file_name(format!(".{RECORD}.{}", std::process::id()));
        let made = || {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            Ok(file)
        };
        let file = made().map_err(io_error("locking", &aside))?;
        let mut held = Self { file, path, record };
        let named = held.write().and_then(|()| {
            std::fs::hard_link(&aside, &held.path).map_err(io_error("creating", &held.path))
        });
        std::fs::remove_file(&aside).map_err(io_error("removing", &aside))?;
        named.map(|()| held)
    }

    /// Its name among engines' jobs.
    #[must_use]
    pub fn key(&self) -> EngineKey {
        self.record.key()
    }

    /// Leaves the exit code for whoever looks when this process is gone.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn ended(&mut self, exit_code: i32) -> Result<(), BackendError> {
        self.record.exit_code = Some(exit_code);
        self.write()
    }

    fn write(&mut self) -> Result<(), BackendError> {
        let mut put = || {
            let mut bytes = serde_json::to_vec(&self.record)?;
            bytes.push(b'\n');
            self.file.rewind()?;
            self.file.write_all(&bytes)?;
            self.file.sync_all()
        };
        put().map_err(io_error("writing", &self.path))
    }
}

impl Record {
    fn key(&self) -> EngineKey {
        EngineKey {
            kind: FOREGROUND.to_owned(),
            cluster: Some(self.place.host.clone()),
            id: self.job.to_string(),
            submitted_at: self.submitted_at,
            owner: self.owner.clone(),
        }
    }
}

/// What the directory of a `run` shows.
enum Shown {
    /// The lock is held.
    Lives(Option<Record>),
    /// The lock is free; a record of an older program is empty.
    Gone(Option<Record>),
    /// There is a control directory and no record: it ended before it began.
    Never,
    /// There is no such directory.
    Missing,
}

/// What others must know of it.
pub(super) fn facts() -> &'static Facts {
    &FACTS
}

/// The `run`s of this user.
#[derive(Clone, Debug)]
pub struct Foreground {
    jobs: PathBuf,
}

impl Foreground {
    /// `jobs` is the directory that holds `JOB_ID/control`.
    #[must_use]
    pub fn new(jobs: PathBuf) -> Self {
        Self { jobs }
    }

    fn control(&self, job: &EngineKey) -> Option<PathBuf> {
        // parsed, so that an id from a ledger cannot be a path
        let id = job.id.parse::<JobId>().ok()?;
        Some(self.jobs.join(id.to_string()).join("control"))
    }

    fn observe(&self, job: &EngineKey) -> Seen {
        let Some(control) = self.control(job) else { return Seen::unknown("not a job id") };
        let word = |state, exit_code, word: &str, reason: Option<&str>| Seen {
            engine_state: Some(word.to_owned()),
            exit_code,
            reason: reason.map(str::to_owned),
            ..Observation::of(state).into()
        };
        let interrupted = |record: Option<&Record>| {
            let place = record.map_or(Ok(()), |record| record.place.same_as_here());
            match (place, record.is_some_and(|record| record.place.is_rebooted())) {
                (Err(why), false) => Seen::silent(why),
                _ if control.join("cancel").exists() => {
                    word(JobState::Killed, None, "interrupted", Some("cancelled"))
                }
                _ => {
                    let why = "the run was interrupted before it could record its end";
                    word(JobState::Failed, None, "interrupted", Some(why))
                }
            }
        };
        match look(&control) {
            Ok(Shown::Lives(_)) => word(JobState::Running, None, "running", None),
            Ok(Shown::Gone(Some(Record { exit_code: Some(code), .. }))) => {
                let state = if code == 0 { JobState::Completed } else { JobState::Failed };
                word(state, Some(code), "ended", None)
            }
            Ok(Shown::Gone(record)) => interrupted(record.as_ref()),
            Ok(Shown::Never) => interrupted(None),
            Ok(Shown::Missing) => Seen::unknown("its job directory is gone"),
            Err(error) => Seen::silent(error.to_string()),
        }
    }
}

fn look(control: &Path) -> io::Result<Shown> {
    let Some(opened) = ForeignFile::own(MOST).find(&control.join(RECORD))? else {
        return Ok(if control.is_dir() { Shown::Never } else { Shown::Missing });
    };
    let lives = match flock(opened.file(), FlockOperation::NonBlockingLockShared) {
        Ok(()) => false,
        Err(rustix::io::Errno::WOULDBLOCK) => true,
        Err(e) => return Err(e.into()),
    };
    let bytes = opened.bytes()?;
    // an older program's is empty, and that of one that is writing it just now is cut
    let record = serde_json::from_slice::<Record>(&bytes).ok();
    Ok(if lives { Shown::Lives(record) } else { Shown::Gone(record) })
}

fn io_error(what: &str, path: &Path) -> impl FnOnce(io::Error) -> BackendError {
    let what = format!("{what} {}", path.display());
    move |source| BackendError::Io { what, source }
}

fn no_orders() -> BackendError {
    BackendError::Unfit {
        engine: FOREGROUND,
        what: "a job".to_owned(),
        why: "`moorline run` begins by itself".to_owned(),
    }
}

fn failed(job: &EngineKey, said: impl Into<String>) -> BackendError {
    BackendError::Failed {
        engine: FOREGROUND,
        command: format!("cancelling {job}"),
        said: said.into(),
    }
}

impl Backend for Foreground {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn plan(&self, _: &Order) -> Result<Submission, BackendError> {
        Err(no_orders())
    }

    fn submit(&self, _: &Order) -> Result<EngineKey, BackendError> {
        Err(no_orders())
    }

    fn ready(&self) -> Result<String, BackendError> {
        Ok("jobs would run here".to_owned())
    }

    fn status(&self, jobs: &[EngineKey]) -> Result<Vec<Seen>, BackendError> {
        Ok(jobs.iter().map(|job| self.observe(job)).collect())
    }

    fn cancel(&self, job: &EngineKey) -> Result<(), BackendError> {
        let none = || failed(job, "there is no such job");
        let control = self.control(job).ok_or_else(none)?;
        let look = || look(&control).map_err(io_error("looking at", &control));
        let record = match look()? {
            Shown::Gone(_) | Shown::Never => return Ok(()),
            Shown::Missing => return Err(none()),
            Shown::Lives(record) => record.ok_or_else(|| failed(job, "end it in its terminal"))?,
        };
        record.place.same_as_here().map_err(|elsewhere| failed(job, elsewhere))?;
        let mark = control.join("cancel");
        File::create(&mark).map_err(io_error("creating", &mark))?;
        record.process.signal(process::TERM);
        let deadline = Instant::now() + PATIENCE;
        while matches!(look()?, Shown::Lives(_)) {
            if Instant::now() >= deadline {
                let pid = record.process.pid;
                return Err(failed(job, format!("process {pid} was told to end and has not")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn find(&self, job: &JobId, intent: &IntentId) -> Result<Vec<EngineKey>, BackendError> {
        let control = self.jobs.join(job.to_string()).join("control");
        match look(&control).map_err(io_error("looking at", &control))? {
            Shown::Lives(Some(record)) | Shown::Gone(Some(record)) if record.intent == *intent => {
                Ok(vec![record.key()])
            }
            _ => Ok(vec![]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Resources;

    fn order(jobs: &Path) -> Order {
        let job = JobId::from_parts(1, 1);
        let dir = jobs.join(job.to_string());
        std::fs::create_dir_all(dir.join("control")).unwrap();
        Order {
            job,
            intent: IntentId::from_bytes([7; 16]),
            dir,
            digest: "sha256:00".into(),
            resources: Resources::default(),
            hold: false,
            tasks: None,
            at_once: None,
            sent: None,
        }
    }

    /// What is seen once nobody holds the lock: a process that another test starts has it from fork to exec.
    fn ended(status: impl Fn() -> Seen) -> Seen {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let seen = status();
            if seen.state.is_final() || std::time::Instant::now() > end {
                return seen;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    #[test]
    fn the_lock_is_the_state() {
        let jobs = tempfile::tempdir().unwrap();
        let order = order(jobs.path());
        let engine = Foreground::new(jobs.path().to_owned());
        let status = |key: &EngineKey| engine.status(std::slice::from_ref(key)).unwrap().remove(0);
        let mut held = Held::take(&order, "ada").unwrap();
        let key = held.key();
        assert!(Held::take(&order, "ada").is_err(), "it is held once");
        assert_eq!(status(&key).state, JobState::Running);
        assert_eq!(engine.find(&order.job, &order.intent).unwrap(), std::slice::from_ref(&key));
        assert_eq!(engine.find(&order.job, &IntentId::from_bytes([8; 16])).unwrap(), []);
        held.ended(3).unwrap();
        assert_eq!(status(&key).state, JobState::Running, "until its end is recorded");
        drop(held);
        let seen = ended(|| status(&key));
        assert_eq!((seen.state, seen.exit_code), (JobState::Failed, Some(3)));
        let names = crate::listing::names(&order.dir.join("control")).unwrap();
        assert_eq!(names, ["running"], "nothing is left beside it");
    }

    #[test]
    fn one_that_left_no_end_was_interrupted() {
        let jobs = tempfile::tempdir().unwrap();
        let order = order(jobs.path());
        let engine = Foreground::new(jobs.path().to_owned());
        let held = Held::take(&order, "ada").unwrap();
        let (key, mut record) = (held.key(), held.record.clone());
        drop(held);
        let status = || engine.status(std::slice::from_ref(&key)).unwrap().remove(0);
        let seen = ended(status);
        assert_eq!(
            (seen.state, seen.engine_state.as_deref()),
            (JobState::Failed, Some("interrupted"))
        );
        // an older program's record is empty
        let path = order.dir.join("control").join(RECORD);
        std::fs::write(&path, "").unwrap();
        assert_eq!(status().state, JobState::Failed);
        // of another machine nobody here can say it
        record.place = Place { host: "far".into(), boot: "x".into(), ..record.place };
        std::fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
        let seen = status();
        assert_eq!((seen.state, seen.silent.is_some()), (JobState::Unknown, true));
        std::fs::remove_dir_all(&order.dir).unwrap();
        assert_eq!((status().state, status().silent), (JobState::Unknown, None));
    }
}
