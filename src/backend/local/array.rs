//! The tasks of an array on this machine: so many at once, each with a supervisor of its own.
//!
//! ```text
//! supervise JOB                  starts and reaps      supervise JOB/tasks/7          as a job of its own
//!   control/local.json           ------------------->    control/local.json, control/cancel
//!   control/cancel: no task begins any more              stdout, stderr
//! ```
//!
//! A task that was not begun has no record: how it is follows from the array's.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::WaitOptions;

use super::process::Process;
use super::record::{self, Phase, Record, end};
use crate::backend::driver::{Environment, JOB_NAMES};
use crate::backend::{BackendError, Seen};
use crate::job::{JobState, Tasks};
use crate::worker::task_dir;

/// Records that an array runs, and when it began.
///
/// # Errors
/// When the record cannot be written.
pub(super) fn begin(
    dir: &Path,
    record: &mut Record,
    supervisor: Process,
) -> Result<jiff::Timestamp, BackendError> {
    let started_at = jiff::Timestamp::now();
    record.phase = Phase::Running { supervisor, main: None, started_at };
    record::replace(dir, record)?;
    Ok(started_at)
}

/// Runs the tasks of an array to their end, and says how it ended.
///
/// # Errors
/// When a task's record cannot be written. How a task ended is in its own record.
pub(super) fn run(
    dir: &Path,
    record: &Record,
    tasks: &Tasks,
    environment: &Environment,
) -> Result<(JobState, Option<i32>), BackendError> {
    let most = usize::try_from(record.at_once.unwrap_or(1).max(1)).unwrap_or(1);
    let mut running: BTreeMap<i32, u32> = BTreeMap::new();
    let mut left = tasks.numbers();
    let mut ends = Ends::default();
    loop {
        while running.len() < most && !record::is_cancelled(dir) {
            let Some(task) = left.next() else { break };
            match start(dir, record, task, environment) {
                Ok(Some(pid)) => drop(running.insert(pid, task)),
                Ok(None) => ends.add(task, JobState::Killed, None),
                // the others may do better
                Err(why) => {
                    ends.add(task, JobState::Failed, None);
                    never_began(dir, record, task, &why)?;
                }
            }
        }
        if running.is_empty() {
            break;
        }
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, _))) => {
                // others are what a task without a supervisor has left behind
                if let Some(task) = running.remove(&pid.as_raw_nonzero().get()) {
                    let (state, code) = ended(&task_dir(dir, Some(task)));
                    ends.add(task, state, code);
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
    Ok(ends.whole())
}

/// Starts a task's supervisor; `None` when somebody ended the task before it began.
fn start(
    dir: &Path,
    record: &Record,
    task: u32,
    environment: &Environment,
) -> Result<Option<i32>, String> {
    let of = task_dir(dir, Some(task));
    let why = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
    let control = of.join("control");
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&control);
    made.map_err(|error| why("its directory cannot be made", &error))?;
    let new = record.of_task(task);
    record::create(&of, &new).map_err(|error| why("its record cannot be made", &error))?;
    if record::is_cancelled(&of) {
        let mut new = new;
        end(&of, &mut new, None, JobState::Killed, None, Some("cancelled".to_owned()))
            .map_err(|error| why("its record cannot be written", &error))?;
        return Ok(None);
    }
    let log = std::fs::File::create(control.join("supervisor.log"))
        .map_err(|error| why("its log cannot be made", &error))?;
    // this very program, also when another one was installed in its place since
    Command::new("/proc/self/exe")
        .arg0("moorline")
        .arg("supervise")
        .arg(&of)
        .env_clear()
        .envs(environment.only(&JOB_NAMES))
        .current_dir(&of)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map(|child| Some(child.id().cast_signed()))
        .map_err(|error| why("its supervisor cannot be started", &error))
}

/// Records why a task was never begun.
fn never_began(dir: &Path, record: &Record, task: u32, why: &str) -> Result<(), BackendError> {
    let of = task_dir(dir, Some(task));
    let mut new = record.of_task(task);
    end(&of, &mut new, None, JobState::Failed, None, Some(why.to_owned()))
}

/// How a task ended.
fn ended(dir: &Path) -> (JobState, Option<i32>) {
    match record::read(dir).map(|record| record.phase) {
        Ok(Phase::Ended { state, exit_code, .. }) => (state, exit_code),
        // its supervisor was killed, or never wrote
        _ => (JobState::Failed, None),
    }
}

/// How the tasks ended, for the array's own record.
#[derive(Default)]
struct Ends {
    /// The first one, by number, that did not complete.
    worst: Option<(u32, JobState, Option<i32>)>,
    failed: bool,
}

impl Ends {
    fn add(&mut self, task: u32, state: JobState, code: Option<i32>) {
        if state == JobState::Completed {
            return;
        }
        self.failed |= state == JobState::Failed;
        if self.worst.is_none_or(|(known, ..)| task < known) {
            self.worst = Some((task, state, code));
        }
    }

    fn whole(&self) -> (JobState, Option<i32>) {
        match self.worst {
            None => (JobState::Completed, Some(0)),
            Some((_, _, code)) if self.failed => (JobState::Failed, code),
            Some((_, state, code)) => (state, code),
        }
    }
}

/// How the tasks are, those of which the same is known together. `array` is how the array itself is.
pub(super) fn status(
    dir: &Path,
    tasks: &Tasks,
    array: &Seen,
    of_record: impl Fn(&Path, &Record) -> Seen,
) -> Vec<(Tasks, Seen)> {
    let cancelled = record::is_cancelled(dir);
    let look = |task| {
        let of = task_dir(dir, Some(task));
        if record::exists(&of) {
            match record::read(&of) {
                Ok(record) => of_record(&of, &record),
                Err(error) => Seen::silent(crate::failure::chain(&error)),
            }
        } else {
            never_begun(array, cancelled || record::is_cancelled(&of))
        }
    };
    Tasks::together(tasks.numbers().map(|task| (task, look(task))))
}

/// A task without a record.
fn never_begun(array: &Seen, cancelled: bool) -> Seen {
    let open = !array.state.is_final();
    if open && (array.silent.is_some() || array.state == JobState::Unknown) {
        return array.clone();
    }
    let (state, reason) = match (open, cancelled) {
        (true, false) => (JobState::Submitted, None),
        (_, true) => (JobState::Killed, Some("cancelled before it began")),
        (false, false) => {
            (JobState::Failed, Some("it was never begun: the array's supervisor ended before"))
        }
    };
    Seen {
        state,
        exit_code: None,
        engine_state: Some("waiting".to_owned()),
        reason: reason.map(str::to_owned),
        silent: None,
        held: false,
    }
}

/// The directory of the job of which this is a task's.
pub(super) fn job_of(dir: &Path, record: &Record) -> std::path::PathBuf {
    let job = record.task.and_then(|_| dir.parent()?.parent());
    job.unwrap_or(dir).to_owned()
}
