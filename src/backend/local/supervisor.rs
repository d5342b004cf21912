//! The process that stands over one local job: `moorline supervise DIR`.
//!
//! It has a session of its own (no terminal's hang-up reaches it) and is the subreaper of all that the
//! job starts. It ends when nothing of the job is left.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{WaitOptions, WaitStatus};

use crate::backend::BackendError;
use crate::backend::driver::JOB_NAMES;
use crate::job::JobState;
use crate::worker::{SCRIPT_FILE, exit};

use super::array;
use super::process::{self, Process};
use super::record::{self, Phase, Record, end};
use super::times::{ENGINE, GRACE, LAST, TASK, grace_of};
use crate::backend::driver::Environment;

/// Runs the job of a directory to its end, and writes its record.
///
/// The caller's process becomes a session leader and a subreaper: this is for a process of its own,
/// started by `Local`, which reads what the process says on standard error if it fails.
///
/// # Errors
/// When the job could not be supervised. How the job ended is in its record, not here.
pub fn supervise(dir: &Path, environment: &Environment) -> Result<(), BackendError> {
    let io = |what: &str| {
        let what = what.to_owned();
        move |source: rustix::io::Errno| BackendError::Io { what, source: source.into() }
    };
    // Fails when this is a process group's leader already, which the submitter's child is not.
    rustix::process::setsid().map_err(io("making a session"))?;
    let myself = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(myself)).map_err(io("becoming a subreaper"))?;

    let mut record = record::read(dir)?;
    if record.phase != Phase::Waiting || !record.is_fresh() {
        return Err(BackendError::Failed {
            engine: ENGINE,
            command: "supervise".to_owned(),
            said: "the job was begun before, or was submitted too long ago".to_owned(),
        });
    }
    let supervisor = Process::myself().map_err(|source| BackendError::Io {
        what: "reading /proc/self/stat".to_owned(),
        source,
    })?;
    record.phase = Phase::Starting { supervisor };
    record::replace(dir, &record)?;
    if record::is_cancelled(dir) {
        return end(dir, &mut record, None, JobState::Killed, None, None);
    }

    if let Some(tasks) = record.tasks.clone() {
        let started_at = array::begin(dir, &mut record, supervisor)?;
        let (state, code) = array::run(dir, &record, &tasks, environment)?;
        // whatever is left: no other thread reaps
        clear(&reap(), supervisor, GRACE);
        let cancelled = record::is_cancelled(dir);
        let (state, code) = if cancelled { (JobState::Killed, None) } else { (state, code) };
        let reason = cancelled.then(|| "cancelled".to_owned());
        return end(dir, &mut record, Some(started_at), state, code, reason);
    }
    let (stdout, stderr) = (output(dir, "stdout")?, output(dir, "stderr")?);
    let child = match start(dir, &record, environment, stdout, stderr) {
        Ok(child) => child,
        Err(error) => {
            let reason = format!("/bin/sh could not be started: {error}");
            return end(dir, &mut record, None, JobState::Failed, None, Some(reason));
        }
    };
    let started_at = jiff::Timestamp::now();
    let main = child.id().cast_signed();
    let deaths = reap();
    let main_process = Process::with_pid(main);
    record.phase = Phase::Running { supervisor, main: main_process, started_at };
    record::replace(dir, &record)?;

    let (status, limited) = wait_for(main, record.time_seconds, &deaths);
    // a worker that reached its limit has a program to end; what outlived its worker has not
    clear(
        &deaths,
        supervisor,
        if limited { grace_of(&array::job_of(dir, &record)) } else { GRACE },
    );
    let code = status.and_then(shell_code);
    let reason = |text: &str| Some(text.to_owned());
    let (state, code, reason) = match (record::is_cancelled(dir), limited, code) {
        (true, ..) => (JobState::Killed, code, reason("cancelled")),
        (_, true, _) => (JobState::Failed, Some(exit::LIMIT), reason("the time limit was reached")),
        (_, _, Some(0)) => (JobState::Completed, code, None),
        (_, _, Some(_)) => (JobState::Failed, code, None),
        (_, _, None) => (JobState::Failed, None, reason("its end was not seen")),
    };
    end(dir, &mut record, Some(started_at), state, code, reason)
}

fn output(dir: &Path, name: &str) -> Result<File, BackendError> {
    let path = dir.join(name);
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| BackendError::Io { what: format!("creating {}", path.display()), source })
}

fn start(
    dir: &Path,
    record: &Record,
    environment: &Environment,
    stdout: File,
    stderr: File,
) -> std::io::Result<std::process::Child> {
    let control = array::job_of(dir, record).join("control");
    // a task's working directory is made by its worker
    let cwd = if record.task.is_some() { dir.to_owned() } else { dir.join("work") };
    Command::new("/bin/sh")
        .arg(control.join(SCRIPT_FILE))
        .arg(&control)
        .env_clear()
        .envs(environment.only(&JOB_NAMES))
        .env(process::MARK, record.mark())
        .envs(record.task.map(|task| (TASK, task.to_string())))
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
}

/// Collects every child's end in a thread; the channel closes when no child is left.
fn reap() -> Receiver<(i32, WaitStatus)> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        loop {
            match rustix::process::wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => {
                    if send.send((pid.as_raw_nonzero().get(), status)).is_err() {
                        return;
                    }
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                // No child is left.
                Err(_) => return,
            }
        }
    });
    receive
}

/// Waits for the job's first process; `true` when its time limit came first.
fn wait_for(
    main: i32,
    limit: Option<u64>,
    deaths: &Receiver<(i32, WaitStatus)>,
) -> (Option<WaitStatus>, bool) {
    let end = limit.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
    loop {
        let death = match end {
            Some(end) => deaths.recv_timeout(end.saturating_duration_since(Instant::now())),
            None => deaths.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match death {
            Ok((pid, status)) if pid == main => return (Some(status), false),
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => return (None, false),
            Err(RecvTimeoutError::Timeout) => return (None, true),
        }
    }
}

/// Ends what the job's first process left behind: TERM, a grace, KILL until the channel closes.
fn clear(deaths: &Receiver<(i32, WaitStatus)>, supervisor: Process, grace: Duration) {
    let tell = |signal| {
        for member in process::below(supervisor) {
            member.signal(signal);
        }
    };
    let gone = |until: Instant| {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match deaths.recv_timeout(left) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    };
    tell(process::TERM);
    if gone(Instant::now() + grace) {
        return;
    }
    let deadline = Instant::now() + LAST;
    while Instant::now() < deadline {
        tell(process::KILL);
        if gone(Instant::now() + Duration::from_millis(50)) {
            return;
        }
    }
}

fn shell_code(status: WaitStatus) -> Option<i32> {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal))
}
