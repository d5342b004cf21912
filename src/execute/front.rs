//! `moorline run`: a worker in the foreground, looked after by a process that outlives it.

use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustix::process::Pid;
use signal_hook::consts::SIGCHLD;

use super::ExecuteError;
use super::signals::{Ears, Merge};
use super::terminal::Saved;
use super::verbs::{WITH_PARENT, WORKER};
use crate::worker::exit;

/// The same as [`super::work`] for a caller that has threads: starts this program as
/// `worker CONTROL_DIR`, passes nothing but standard streams and environment on, and waits.
///
/// Signals that would end this process are passed on to the worker, which ends its job and writes the
/// receipt; this process then goes on. Those that are ignored stay ignored. The terminal's settings are
/// as they were, also when the worker was killed.
///
/// # Errors
/// When this program cannot be started again.
pub fn run_here(control: &Path, plan_sha256: Option<&str>) -> Result<i32, ExecuteError> {
    use std::os::unix::process::ExitStatusExt;
    let mut ears =
        Ears::open(&[SIGCHLD]).map_err(ExecuteError::io("installing a signal handler"))?;
    let saved = Saved::now();
    let mut command = Command::new("/proc/self/exe");
    command.arg(WORKER).arg(control).arg(WITH_PARENT);
    if let Some(hex) = plan_sha256 {
        command.args(["--plan-sha256", hex]);
    }
    let mut worker = command.spawn().map_err(ExecuteError::io("starting the worker"))?;
    let status =
        look_after(&mut worker, &mut ears).map_err(ExecuteError::io("waiting for the worker"))?;
    if status.signal().is_some() {
        saved.restore();
    }
    Ok(status.code().or_else(|| status.signal().map(|n| 128 + n)).unwrap_or(exit::RUNTIME_FAILED))
}

fn look_after(worker: &mut Child, ears: &mut Ears) -> std::io::Result<ExitStatus> {
    let pid = Pid::from_raw(worker.id().cast_signed());
    let mut merge = Merge::default();
    loop {
        if let Some(status) = worker.try_wait()? {
            return Ok(status);
        }
        let mut wishes = [PollFd::from_borrowed_fd(ears.handle(), PollFlags::IN)];
        // interrupted by a signal, which is looked for next
        let _ = rustix::event::poll(&mut wishes, None);
        for heard in ears.heard() {
            // what a terminal's keys make, the worker has, too: it is in the same group
            let passed = heard.signal != rustix::process::Signal::CHILD
                && heard.sender.is_some()
                && merge.is_new(heard, None, Instant::now());
            if let Some(pid) = pid.filter(|_| passed) {
                // it may be gone by now: asked for at the loop's head
                let _ = rustix::process::kill_process(pid, heard.signal);
            }
        }
    }
}
