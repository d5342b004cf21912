//! This machine as an engine: detached jobs, each with a supervisor of its own.
//!
//! ```text
//! submit                     supervise DIR (its own session, child subreaper)     job
//!   control/local.json  -->  reads it, takes over        ------------------->  /bin/sh control/job.sh control
//!   waits for the take-over  reaps everything, writes local.json               cwd work/, stdout, stderr
//! cancel: control/cancel, then TERM and KILL to every process below the supervisor
//! an array: its supervisor starts one for each of its tasks (array.rs)
//! ```
//!
//! The supervisor is the parent that every orphan of the job falls to, so that processes which
//! called `setsid` or forked twice are found too. When the job's first process has ended, those that
//! it left behind are ended: a job is over when all of it is over, as on a batch node.
//!
//! Not promised: that a job survives the end of its container, virtual machine or login session where
//! the system ends those as a whole (`KillUserProcesses=yes` of systemd, a CI job's container); that
//! CPU and memory requests are kept (the time limit is).

mod array;
pub(super) mod process;
mod record;
mod supervisor;
mod times;

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::job::{EngineKey, IntentId, JobId, JobState, Tasks};
use crate::worker::task_dir;

use super::driver::{Driver, Environment, JOB_NAMES, printable};
use super::facts::{ArrayFacts, Facts, Part};
use super::{Backend, BackendError, Order, Seen, Submission};
use process::Process;
use record::{Phase, Record};
use times::{GRACE, LAST, TAKE_OVER, TASK, grace_of};

pub use supervisor::supervise;
pub(super) use times::ENGINE;

static FACTS: Facts = Facts {
    name: ENGINE,
    array: Some(ArrayFacts {
        variable: TASK,
        own_id: None,
        at_once: true,
        name: |job, _, task| format!("{job}.{task}"),
        split: |id| {
            let (job, task) = id.rsplit_once('.')?;
            Some((job, Part::Number(task.parse().ok()?)))
        },
    }),
    ..Facts::OF_THIS_MACHINE
};

/// Closes what the caller's shell may have open (a lock file, a pipe): the job must not hold it.
const DETACH: &str = "exec \"$@\" 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-";

/// Jobs of this machine below one directory.
#[derive(Clone, Debug)]
pub struct Local {
    binary: PathBuf,
    jobs: PathBuf,
    driver: Driver,
}

impl Local {
    /// `binary` is this program, which is started again as `BINARY supervise DIR`; `jobs` is the
    /// directory that holds `JOB_ID/control`.
    #[must_use]
    pub fn new(binary: PathBuf, jobs: PathBuf, environment: Environment) -> Self {
        let limit = Duration::from_secs(30);
        Self { binary, jobs, driver: Driver { engine: ENGINE, own: &[], environment, limit } }
    }

    fn start(&self, plan: &Submission, dir: &Path) -> Result<Child, BackendError> {
        let log = dir.join("control/supervisor.log");
        let io = |what: String| move |source| BackendError::Io { what, source };
        let errors =
            std::fs::File::create(&log).map_err(io(format!("creating {}", log.display())))?;
        Command::new("/bin/sh")
            .args(["-c", DETACH, "sh"])
            .args(&plan.argv)
            .env_clear()
            .envs(self.driver.environment.only(&JOB_NAMES))
            .current_dir(&plan.cwd)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .map_err(io(format!("starting {}", self.binary.display())))
    }

    /// Waits until the supervisor says that the job runs (or has ended already); otherwise ends
    /// the supervisor, which then can start nothing any more.
    fn taken_over(&self, child: &mut Child, order: &Order) -> Result<(), BackendError> {
        let deadline = Instant::now() + TAKE_OVER;
        let why = loop {
            // The end is asked for first, so that a last word before it is not missed.
            let ended = child.try_wait();
            match record::read(&order.dir) {
                Ok(Record { phase: Phase::Running { .. } | Phase::Ended { .. }, .. }) => {
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) => break error.to_string(),
            }
            match ended {
                Ok(Some(status)) => break format!("the supervisor ended at once: {status}"),
                Ok(None) if Instant::now() < deadline => {}
                Ok(None) => break "the supervisor did not begin in time".to_owned(),
                Err(error) => break error.to_string(),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        // Either may fail only because it has ended.
        let _ = child.kill();
        let _ = child.wait();
        process::end(&process::orphans(&order.job.to_string(), None), LAST);
        let log = std::fs::read_to_string(order.dir.join("control/supervisor.log"));
        Err(BackendError::Failed {
            engine: ENGINE,
            command: self.binary.display().to_string(),
            said: format!("{why}: {}", printable(&log.unwrap_or_default())),
        })
    }

    fn dir_of(&self, job: &EngineKey) -> Option<PathBuf> {
        // Parsed, so that an id from a ledger cannot be a path.
        Some(self.jobs.join(job.id.parse::<JobId>().ok()?.to_string()))
    }

    fn observe(&self, job: &EngineKey) -> Seen {
        let Some(dir) = self.dir_of(job) else { return Seen::unknown("not a job id") };
        if !record::exists(&dir) {
            return Seen::unknown("there is no such job below the jobs directory");
        }
        match record::read(&dir) {
            Ok(record) => seen(&dir, &record),
            // one file that cannot be read hides no other job
            Err(error) => Seen::silent(crate::failure::chain(&error)),
        }
    }
}

/// What others must know of it.
pub(super) fn facts() -> &'static Facts {
    &FACTS
}

impl Backend for Local {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn plan(&self, order: &Order) -> Result<Submission, BackendError> {
        let text = |path: &Path| {
            path.to_str().map(str::to_owned).ok_or_else(|| BackendError::Unfit {
                engine: ENGINE,
                what: format!("the path {}", path.display()),
                why: "it is not UTF-8".to_owned(),
            })
        };
        if order.dir != self.jobs.join(order.job.to_string()) {
            return Err(BackendError::Unfit {
                engine: ENGINE,
                what: format!("the job directory {}", order.dir.display()),
                why: format!("it is not {}/{}", self.jobs.display(), order.job),
            });
        }
        Ok(Submission {
            argv: vec![text(&self.binary)?, "supervise".to_owned(), text(&order.dir)?],
            env: vec![],
            cwd: order.dir.join("work"),
            files: vec![],
        })
    }

    fn submit(&self, order: &Order) -> Result<EngineKey, BackendError> {
        let plan = self.plan(order)?;
        let owner = self.driver.account();
        let record = Record::new(order, owner);
        record::create(&order.dir, &record)?;
        let begun =
            self.start(&plan, &order.dir).and_then(|mut child| self.taken_over(&mut child, order));
        if let Err(error) = begun {
            // Nothing runs: the order may be given again.
            record::remove(&order.dir)?;
            return Err(error);
        }
        Ok(record.key())
    }

    fn status(&self, jobs: &[EngineKey]) -> Result<Vec<Seen>, BackendError> {
        Ok(jobs.iter().map(|job| self.observe(job)).collect())
    }

    fn ready(&self) -> Result<String, BackendError> {
        Ok("jobs would run on this machine".to_owned())
    }

    fn cancel(&self, job: &EngineKey) -> Result<(), BackendError> {
        let failed = |said: String| BackendError::Failed {
            engine: ENGINE,
            command: format!("cancelling {job}"),
            said,
        };
        let dir = self.dir_of(job).filter(|dir| record::exists(dir));
        let dir = dir.ok_or_else(|| failed("there is no such job".to_owned()))?;
        let array = record::read(&dir)?.tasks;
        record::mark_cancelled(&dir)?;
        if let Some(tasks) = array {
            return cancel_array(&dir, &tasks).map_err(failed);
        }
        cancel_one(&dir)?.map_err(failed)
    }

    fn status_of_tasks(
        &self,
        job: &EngineKey,
        tasks: &Tasks,
    ) -> Result<Vec<(Tasks, Seen)>, BackendError> {
        let array = self.observe(job);
        let Some(dir) = self.dir_of(job).filter(|dir| record::exists(dir)) else {
            return Ok(vec![(tasks.clone(), array)]);
        };
        Ok(array::status(&dir, tasks, &array, seen))
    }

    fn cancel_tasks(&self, job: &EngineKey, tasks: &Tasks) -> Result<(), BackendError> {
        let failed = |said: String| BackendError::Failed {
            engine: ENGINE,
            command: format!("cancelling {tasks} of {job}"),
            said,
        };
        let dir = self.dir_of(job).filter(|dir| record::exists(dir));
        let dir = dir.ok_or_else(|| failed("there is no such job".to_owned()))?;
        for task in tasks.numbers() {
            let control = task_dir(&dir, Some(task)).join("control");
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&control).map_err(
                |source| BackendError::Io { what: format!("making {}", control.display()), source },
            )?;
            record::mark_cancelled(&task_dir(&dir, Some(task)))?;
        }
        cancel_begun(&dir, tasks).map_err(failed)
    }

    fn find(&self, job: &JobId, intent: &IntentId) -> Result<Vec<EngineKey>, BackendError> {
        let dir = self.jobs.join(job.to_string());
        if !record::exists(&dir) {
            return Ok(vec![]);
        }
        // one that cannot be read may be the one that is looked for
        let record = record::read(&dir)?;
        Ok(if record.intent == *intent { vec![record.key()] } else { vec![] })
    }

    fn grace(&self) -> Option<Duration> {
        Some(GRACE)
    }
}

/// Ends one job or task that has a supervisor, or keeps it from beginning; the inner error says why it cannot be.
fn cancel_one(dir: &Path) -> Result<Result<(), String>, BackendError> {
    let deadline = Instant::now() + TAKE_OVER;
    loop {
        let record = record::read(dir)?;
        match (&record.phase, record.place.same_as_here()) {
            (Phase::Ended { .. }, _) => return Ok(Ok(())),
            (_, Err(elsewhere)) => return Ok(Err(elsewhere)),
            // Its supervisor sees the mark before it starts the job.
            (Phase::Waiting, Ok(())) if record.is_fresh() => {}
            (Phase::Waiting, Ok(())) => return Ok(Ok(())),
            (Phase::Starting { supervisor } | Phase::Running { supervisor, .. }, Ok(())) => {
                return Ok(stop(dir, &record, *supervisor));
            }
        }
        if Instant::now() >= deadline {
            return Ok(Err("its supervisor neither begins nor ends".to_owned()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends those tasks that have begun, side by side: each may take its time to end.
fn cancel_begun(job: &Path, tasks: &Tasks) -> Result<(), String> {
    let begun = tasks.numbers().map(|task| task_dir(job, Some(task))).filter(|dir| {
        let ended = |record: Record| matches!(record.phase, Phase::Ended { .. });
        record::exists(dir) && !record::read(dir).is_ok_and(ended)
    });
    let begun: Vec<PathBuf> = begun.collect();
    let one = |dir: &Path| {
        record::mark_cancelled(dir)
            .and_then(|()| cancel_one(dir))
            .unwrap_or_else(|error| Err(crate::failure::chain(&error)))
    };
    std::thread::scope(|scope| {
        // no more run at once than there are processors
        let all: Vec<_> = begun.iter().map(|dir| scope.spawn(|| one(dir))).collect();
        let joined = |one: std::thread::ScopedJoinHandle<'_, Result<(), String>>| {
            one.join().unwrap_or_else(|_| Err("it could not be ended".to_owned()))
        };
        // all are waited for, whatever became of the first
        let said: Vec<Result<(), String>> = all.into_iter().map(joined).collect();
        said.into_iter().collect()
    })
}

/// Ends an array whose mark says that no task begins any more: its supervisor ends with the last of its tasks.
fn cancel_array(job: &Path, tasks: &Tasks) -> Result<(), String> {
    let deadline = Instant::now() + TAKE_OVER + LAST;
    loop {
        // one may have begun since
        cancel_begun(job, tasks)?;
        let record = record::read(job).map_err(|error| crate::failure::chain(&error))?;
        let over = match record.phase {
            Phase::Ended { .. } => true,
            Phase::Waiting => !record.is_fresh(),
            Phase::Starting { supervisor } | Phase::Running { supervisor, .. } => {
                record.place.same_as_here()?;
                !supervisor.is_alive()
            }
        };
        if over {
            // what began while its supervisor was killed
            return cancel_begun(job, tasks);
        }
        if Instant::now() >= deadline {
            return Err("its supervisor does not end".to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// TERM to the job, KILL after the grace, until the supervisor has nothing left to wait for.
fn stop(dir: &Path, record: &Record, supervisor: Process) -> Result<(), String> {
    let members = || {
        if supervisor.is_alive() {
            process::below(supervisor)
        } else {
            process::orphans(&record.mark(), record.supervisor())
        }
    };
    let over = || {
        let ended = record::read(dir).is_ok_and(|now| matches!(now.phase, Phase::Ended { .. }));
        ended || (!supervisor.is_alive() && members().is_empty())
    };
    for (signal, patience) in
        [(process::TERM, grace_of(&array::job_of(dir, record))), (process::KILL, LAST)]
    {
        let deadline = Instant::now() + patience;
        let mut told: Vec<Process> = vec![];
        while Instant::now() < deadline {
            if over() {
                return Ok(());
            }
            // New ones are told too; KILL is repeated.
            for member in members() {
                if signal == process::KILL || !told.contains(&member) {
                    member.signal(signal);
                    told.push(member);
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let left: Vec<String> = members().iter().map(|member| member.pid.to_string()).collect();
    if over() { Ok(()) } else { Err(format!("still there after KILL: {}", left.join(" "))) }
}

fn seen(dir: &Path, record: &Record) -> Seen {
    let (state, engine_state) = (record.phase.state(), record.phase.word());
    let seen = |state, exit_code, reason: Option<String>| Seen {
        state,
        exit_code,
        engine_state: Some(engine_state.to_owned()),
        reason,
        silent: None,
        held: false,
    };
    if let Phase::Ended { exit_code, ref reason, .. } = record.phase {
        return seen(state, exit_code, reason.clone());
    }
    if let Err(elsewhere) = record.place.same_as_here() {
        if record.place.is_rebooted() {
            return seen(JobState::Failed, None, Some(elsewhere));
        }
        return Seen { silent: Some(elsewhere), ..seen(JobState::Unknown, None, None) };
    }
    match record.phase {
        Phase::Waiting if record.is_fresh() => seen(state, None, None),
        Phase::Waiting => {
            let reason = "its supervisor never began";
            let state = if record::is_cancelled(dir) { JobState::Killed } else { JobState::Failed };
            seen(state, None, Some(reason.to_owned()))
        }
        Phase::Starting { supervisor } | Phase::Running { supervisor, .. } => {
            if supervisor.is_alive() {
                return seen(state, None, None);
            }
            // It may have written the end between our reading and our looking.
            match record::read(dir) {
                Ok(now) if matches!(now.phase, Phase::Ended { .. }) => self::seen(dir, &now),
                _ => abandoned(dir, record, seen),
            }
        }
        Phase::Ended { .. } => unreachable!("handled above"),
    }
}

/// A job whose supervisor was killed: its exit code is lost, its processes may not be.
fn abandoned(
    dir: &Path,
    record: &Record,
    seen: impl Fn(JobState, Option<i32>, Option<String>) -> Seen,
) -> Seen {
    let left = process::orphans(&record.mark(), record.supervisor());
    if !left.is_empty() {
        let pids: Vec<String> = left.iter().map(|member| member.pid.to_string()).collect();
        let reason = format!(
            "its supervisor was killed, its processes {} still run; cancel ends them",
            pids.join(" ")
        );
        return Seen {
            silent: Some(reason.clone()),
            ..seen(JobState::Unknown, None, Some(reason))
        };
    }
    let state = if record::is_cancelled(dir) { JobState::Killed } else { JobState::Failed };
    let reason = "its supervisor was killed, so its exit code is not known";
    seen(state, None, Some(reason.to_owned()))
}
