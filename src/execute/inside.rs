//! The container's own first process: carries out the layout, gives up every privilege, starts the
//! program, and reaps.
//!
//! It is this very program, started by hakoniwa as process 1 of a new pid namespace and as root of a
//! new user namespace that maps to the caller, so that it may mount:
//!
//! ```text
//! worker --hakoniwa: user + pid namespace--> inside (pid 1)
//!   unshare mounts, everything a slave of the machine's mounts (automounts arrive, nothing leaves)
//!   tmpfs skeleton, pivot_root, steps, remount nosuid nodev ro, detach the machine's root
//!   unshare a second user namespace with the caller's own uid and gid: the program owns no mount
//!   empty the bounding set, drop all capabilities, no_new_privs
//!   start the program (pid 2), pass signals on, reap orphans, end with it: the kernel ends the rest
//! ```
//!
//! It is single-threaded until all that is done: `unshare(CLONE_NEWUSER)` demands it.

mod arrange;
mod make;
mod privileges;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

pub(super) use arrange::own_mounts;

use super::signals::{FORWARDED, Watch};
use crate::runtime::builtin::Step;
use crate::runtime::path_json;
use crate::worker::exit;

/// What is to be done inside; travels as a JSON file, which is removed when it was read.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Inside {
    /// An empty directory of the machine.
    #[serde(with = "path_json")]
    pub(super) root: PathBuf,
    /// See [`crate::runtime::builtin`].
    pub(super) steps: Vec<Step>,
    /// The caller.
    pub(super) uid: u32,
    /// The caller's group.
    pub(super) gid: u32,
    /// Where [`Line`]s are written.
    #[serde(with = "path_json")]
    pub(super) status: PathBuf,
    /// Program and arguments; empty when only the way there is tried.
    pub(super) program: Vec<String>,
    /// Its variables, all of them.
    pub(super) env: BTreeMap<String, String>,
    /// Where it starts.
    pub(super) cwd: String,
}

/// What this process tells the worker, one JSON text a line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "it", rename_all = "lowercase")]
pub(super) enum Line {
    /// The program was not started.
    Refused { why: String },
    /// It was.
    Started { at: jiff::Timestamp },
    /// It ended, as a shell would say it.
    Ended { code: i32 },
}

/// A step that failed.
struct Failed(String);

/// Names what a system call was for.
fn at<E: Into<std::io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Failed {
    let what = what.into();
    move |e| Failed(format!("{what}: {}", e.into()))
}

/// The main function of the process; returns its exit code.
pub(super) fn main(description: &Path) -> i32 {
    let Some(inside) = fs::read(description).ok().and_then(|b| serde_json::from_slice(&b).ok())
    else {
        return exit::RUNTIME_FAILED;
    };
    let _ = fs::remove_file(description);
    let inside: Inside = inside;
    // opened before the machine's files go out of sight; closed by the program's exec
    let Ok(mut status) = OpenOptions::new().append(true).open(&inside.status) else {
        return exit::RUNTIME_FAILED;
    };
    let code = run(&inside, &mut status).unwrap_or_else(|Failed(why)| {
        tell(&mut status, &Line::Refused { why });
        exit::RUNTIME_FAILED
    });
    tell(&mut status, &Line::Ended { code });
    code
}

fn tell(status: &mut File, line: &Line) {
    // the worker says so when it finds nothing
    if let Ok(mut text) = serde_json::to_vec(line) {
        text.push(b'\n');
        let _ = status.write_all(&text);
    }
}

fn run(inside: &Inside, status: &mut File) -> Result<i32, Failed> {
    arrange::arrange(inside)?;
    privileges::give_up(inside)?;
    std::env::set_current_dir(&inside.cwd).map_err(at(format!("entering {}", inside.cwd)))?;
    let Some((program, arguments)) = inside.program.split_first() else {
        tell(status, &Line::Started { at: jiff::Timestamp::now() });
        return Ok(0);
    };
    let terminal = std::io::stdin().is_terminal();
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&inside.env);
    if !terminal {
        // signals of the engine reach it through this process only, and once
        command.process_group(0);
    }
    let child = command.spawn().map_err(|e| not_started(program, &e))?;
    tell(status, &Line::Started { at: jiff::Timestamp::now() });
    let pid = Pid::from_raw(child.id().cast_signed()).ok_or_else(|| Failed("no pid".into()))?;
    let forward = move |signal| {
        if !terminal {
            let _ = rustix::process::kill_process_group(pid, signal);
        } else if signal != Signal::INT && signal != Signal::QUIT {
            // what comes from the keyboard, the terminal told the program already
            let _ = rustix::process::kill_process(pid, signal);
        }
    };
    let _watch = Watch::start(&FORWARDED, forward).map_err(at("installing a signal handler"))?;
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((ended, how))) if ended == pid => return Ok(shell_code(how)),
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(at("waiting for the program")(e)),
        }
    }
}

fn not_started(program: &str, error: &std::io::Error) -> Failed {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    Failed(match error.kind() {
        NotFound => {
            format!("{program:?} was not found in the image (or its interpreter is not there)")
        }
        PermissionDenied => format!("{program:?} in the image may not be executed"),
        _ => format!("{program:?} could not be executed: {error}"),
    })
}

/// A wait status as a shell gives it.
fn shell_code(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|n| 128 + n)).unwrap_or(1)
}

/// Makes a namespace of the calling thread's own.
fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // deprecated for CLONE_FILES, which can take handles away from other threads: never used here
    #[expect(deprecated, reason = "safe for these flags; the replacement is unsafe for all")]
    rustix::thread::unshare(flags)
}
