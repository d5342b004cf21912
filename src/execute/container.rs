//! Starts a container of our own and looks after it.
//!
//! `between.rs` makes the namespaces, `inside.rs` the mounts; what they need to know goes through a
//! socket that only they have. Every handle but the standard ones stays here.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde::Serialize;

use super::attend::{Attendance, Ended, GRACE, check};
use super::inside::Inside;
use super::layer::Watch;
use super::rootfs::Server;
use super::signals::{Ears, STOPPING};
use super::starter::Word;
use super::talk::Talk;
use super::terminal::{Outer, Pty, Relay};
use super::verbs::BETWEEN;
use super::{ExecuteError, caller, signals};

use crate::job::{Network, Terms};

/// How a job is to be run, besides what is in its container.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner<'a> {
    /// A network namespace of its own, with the loopback device only.
    pub(super) alone: bool,
    /// How long the program may take to end after a signal; `None` for the default.
    pub(super) grace: Option<Duration>,
    /// What tells the program to end when it has written too much.
    pub(super) watch: Option<&'a Watch>,
}

impl Manner<'_> {
    /// As a job's terms say.
    ///
    /// # Errors
    /// For a network that a newer program knows: less than what was asked for is not given.
    pub(super) fn of(terms: &Terms) -> Result<Self, ExecuteError> {
        let alone = match &terms.network {
            None | Some(Network::Host) => false,
            Some(Network::None) => true,
            Some(other) => {
                return Err(ExecuteError::NotStarted(format!(
                    "this moorline does not know the network {other}"
                )));
            }
        };
        let grace = terms.grace.map(|seconds| Duration::from_secs(seconds.into()));
        Ok(Self { alone, grace, watch: None })
    }
}

/// Runs a container to its end. `server` serves its image, when [`Inside::serve`] says where.
///
/// # Errors
/// [`ExecuteError::NotStarted`] when the program did not start; the text is the cause.
pub(super) fn run(
    mut inside: Inside,
    manner: Manner<'_>,
    server: Option<&mut Server>,
) -> Result<Ended, ExecuteError> {
    let ears = hear()?;
    let terminal = Terminal::of_this_process(!inside.start.program.is_empty())?;
    inside.terminal = terminal.pty.as_ref().map(|pty| Word::from(pty.name()));
    inside.start.terminal = terminal.pty.is_some();

    let mut command = Command::new("/proc/self/exe");
    command.arg(BETWEEN);
    if manner.alone {
        command.arg(super::verbs::ALONE);
    }
    // the container's first process dies with its parent, and everything with it
    attended(command, &inside, (ears, terminal), &manner, server)
}

/// Starts a process of this program that leads a program, hands it what it is to do, and stays with it to
/// its end. When the program takes too long to end, the process is killed.
///
/// # Errors
/// As [`run`].
pub(super) fn attended(
    mut command: Command,
    order: &impl Serialize,
    (ears, terminal): (Ears, Terminal),
    manner: &Manner<'_>,
    server: Option<&mut Server>,
) -> Result<Ended, ExecuteError> {
    let io = ExecuteError::io;
    let (mut talk, other) = Talk::pair().map_err(io("making a socket"))?;
    command.stdin(other);
    terminal.give(&mut command)?;
    let mut child = command.spawn().map_err(io("starting this program again"))?;
    // its ends of socket and terminal are the child's alone
    drop(command);
    let stdin = terminal.stdin()?;
    let relay = terminal.keep();
    // a child that ended at once is found out by who listens
    let _ = talk.hand(stdin.as_fd(), order);
    drop(stdin);
    let mut alarms = Vec::new();
    if let Some(server) = server {
        // nothing comes when it could not mount: why, is heard below
        if let Some(device) = talk.taken().map_err(io("hearing the container"))? {
            server.serve(device)?;
        }
        alarms.push(server.alarm()?);
    }
    if let Some(watch) = manner.watch {
        alarms.push(watch.alarm()?);
    }

    let pid = Pid::from_raw(child.id().cast_signed());
    let attendance = Attendance {
        talk,
        ears,
        terminal: relay,
        grace: manner.grace.unwrap_or(GRACE),
        alarms,
        front: caller::get(),
    };
    let ended = attendance.attend(|| {
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    });
    child.wait().map_err(io("waiting for what runs the program"))?;
    ended
}

/// The signals that this worker hears. It does so from its start on (`worker.rs` calls it first); one
/// that came before the program could be started ends the attempt.
pub(super) fn hear() -> Result<Ears, ExecuteError> {
    let mut ears = match signals::kept() {
        Some(ears) => ears,
        None => Ears::open(&[&STOPPING[..], &[signal_hook::consts::SIGWINCH]].concat())
            .map_err(ExecuteError::io("installing a signal handler"))?,
    };
    check(&mut ears)?;
    Ok(ears)
}

/// What a program's standard handles are.
pub(super) struct Terminal {
    pub(super) pty: Option<Pty>,
    relay: Option<Relay>,
}

impl Terminal {
    /// One of its own where this process has one, unless it is not `wanted`.
    pub(super) fn of_this_process(wanted: bool) -> Result<Self, ExecuteError> {
        let Some(outer) = Outer::here().filter(|_| wanted) else {
            return Ok(Self { pty: None, relay: None });
        };
        let (pty, relay) =
            Relay::open(outer).map_err(ExecuteError::io("opening a pseudo-terminal"))?;
        Ok(Self { pty: Some(pty), relay: Some(relay) })
    }

    /// Sets standard output and error of what leads to the program.
    pub(super) fn give(&self, command: &mut Command) -> Result<(), ExecuteError> {
        let Some(pty) = &self.pty else { return Ok(()) };
        let slave = || pty.slave().map_err(ExecuteError::io("duplicating a handle"));
        command.stdout(Stdio::from(slave()?));
        if Outer::takes_stderr() {
            command.stderr(Stdio::from(slave()?));
        }
        Ok(())
    }

    /// The program's standard input.
    pub(super) fn stdin(&self) -> Result<OwnedFd, ExecuteError> {
        match &self.pty {
            Some(pty) => pty.slave(),
            None => io::stdin().as_fd().try_clone_to_owned(),
        }
        .map_err(ExecuteError::io("duplicating a handle"))
    }

    /// The side that stays here; the program's end is then seen on it.
    pub(super) fn keep(self) -> Option<Relay> {
        self.relay
    }
}
