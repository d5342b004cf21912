//! Starts a container, waits for it, and ends it on a signal.
//!
//! hakoniwa forks, makes the user and pid namespace, maps the caller to root there, closes every
//! handle and starts `inside.rs`; mounts are made there (why: docs/runtime.md). Must be called by a
//! process without other threads.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hakoniwa::{Container, Namespace};
use rustix::process::{Pid, Signal};

use super::inside::{Inside, Line};
use super::signals::Told;
use super::verbs::INSIDE;
use super::{ExecuteError, signals};

/// How long a program may take to end after a signal; the second signal ends it at once.
const GRACE: Duration = Duration::from_secs(10);

/// How a container ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// When the program was started.
    pub(super) started_at: jiff::Timestamp,
    /// As a shell gives it; 128+n when the worker was told to end by signal n.
    pub(super) code: i32,
}

/// Runs a container to its end.
///
/// # Errors
/// [`ExecuteError::NotStarted`] when the program did not start; the text is the cause.
pub(super) fn run(inside: &Inside, scratch: &Path) -> Result<Ended, ExecuteError> {
    let description = scratch.join("inside.json");
    // hakoniwa takes text only
    let words = description.to_str().ok_or_else(|| {
        ExecuteError::NotStarted(format!(
            "the path of the scratch directory {} is not UTF-8; set TMPDIR to another",
            scratch.display()
        ))
    })?;
    let private =
        |path: &Path| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let text = serde_json::to_vec(inside)
        .map_err(|e| ExecuteError::NotStarted(format!("its description: {e}")))?;
    private(&inside.status).map_err(ExecuteError::io("making the status file"))?;
    private(&description)
        .and_then(|mut file| std::io::Write::write_all(&mut file, &text))
        .map_err(ExecuteError::io("writing the container's description"))?;

    let shield =
        signals::Shield::raise().map_err(ExecuteError::io("installing a signal handler"))?;
    let mut container = Container::empty();
    container.unshare(Namespace::User).unshare(Namespace::Pid).uidmap(0).gidmap(0);
    // unused without a mount namespace of hakoniwa's; else it would make a directory in /tmp
    container.rootdir(scratch);
    let mut child = container
        .command("/proc/self/exe")
        .args([INSIDE, words])
        .spawn()
        .map_err(|e| ExecuteError::NotStarted(e.to_string()))?;

    let told = Told::default();
    let over = Arc::new(AtomicBool::new(false));
    let mut end = end_on_signal(told.clone(), Arc::clone(&over), child.id().cast_signed());
    if let Some(signal) = shield.last() {
        end(signal);
    }
    let watch = signals::Watch::start(&signals::ENDING, end)
        .map_err(ExecuteError::io("watching for signals"))?;
    let ended = child.wait();
    over.store(true, Ordering::SeqCst);
    drop(watch);

    let text = fs::read_to_string(&inside.status).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    let (mut started_at, mut code) = (None, None);
    for line in lines {
        match line {
            Line::Refused { why } => return Err(ExecuteError::NotStarted(why)),
            Line::Started { at } => started_at = Some(at),
            Line::Ended { code: ended } => code = Some(ended),
        }
    }
    let Some(started_at) = started_at else {
        return Err(ExecuteError::NotStarted(match ended {
            _ if told.code().is_some() => "it was told to end before".to_owned(),
            Ok(status) => status.reason,
            Err(error) => error.to_string(),
        }));
    };
    // without a last line its first process was killed
    let code = told.code().or(code).unwrap_or(128 + Signal::KILL.as_raw());
    Ok(Ended { started_at, code })
}

/// Passes a signal on to the container's first process, and ends the container when that takes too
/// long or the signal comes again.
fn end_on_signal(
    told: Told,
    over: Arc<AtomicBool>,
    between: i32,
) -> impl FnMut(Signal) + Send + 'static {
    move |signal| {
        let Some(pid) = Pid::from_raw(between) else { return };
        let over = Arc::clone(&over);
        let kill = move || {
            // the container's first process dies with its parent, and everything with it
            if !over.load(Ordering::SeqCst) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        };
        let first = told.first(signal).then(|| first_process(between)).flatten();
        if let Some(first) = first {
            let _ = rustix::process::kill_process(first, signal);
            std::thread::spawn(move || {
                std::thread::sleep(GRACE);
                kill();
            });
        } else {
            kill();
        }
    }
}

/// The only child of the process between.
fn first_process(between: i32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{between}/task/{between}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}
