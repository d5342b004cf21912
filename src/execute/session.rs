//! The leader of the program's session: container's process 1, or a helper above an installed runtime.
//!
//! ```text
//! leader: its own session, controlling terminal if the program has one
//!   starter (starter.rs): a process group of its own, in the foreground; becomes the program
//! ```
//!
//! A group whose parent is outside of the session is orphaned: Ctrl-Z would do nothing. So the leader
//! stays, in a group of its own, and tells the worker when the program was stopped.
//!
//! The worker asks it to pass signals on. An engine that tells every process of a job tells the
//! program, too, and also the leader, which is in the same place: a signal that the leader heard
//! itself is not sent again.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use signal_hook::consts::{SIGCHLD, SIGWINCH};

use super::failed::{Failed, at};
use super::signals::{Ears, STOPPING, ends};
use super::starter::Start;
use super::talk::{Line, Request, Talk};
use super::verbs::STARTER;

/// How long an engine that tells every process may take from the worker to the leader.
const ROUND: Duration = Duration::from_millis(250);
/// How long what the leader heard answers a request.
const HEARD: Duration = Duration::from_secs(1);

/// How the program is kept together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fence {
    /// The leader is process 1 of a pid namespace: the kernel ends the rest.
    Namespace,
    /// The leader is the reaper of all that the program leaves behind, and ends it.
    Reaper,
}

/// Leads a session to its end and tells the worker of it; returns the exit code. `arrange` runs after
/// `before` when the starter is there, and before the program is.
pub(super) fn lead(
    mut talk: Talk,
    (stdin, start): (OwnedFd, &Start),
    fence: Fence,
    before: impl FnOnce() -> Result<(), Failed>,
    arrange: impl FnOnce() -> Result<(), Failed>,
) -> i32 {
    let begun = Leader::begin(&mut talk, (stdin, start), fence, before, arrange);
    let said = match begun {
        Ok((mut leader, keys)) => {
            let started = Line::Started { at: jiff::Timestamp::now(), keys };
            // a worker that is gone is found out below
            let _ = talk.say(&started);
            leader.attend(&mut talk)
        }
        Err(Failed(why)) => Line::Refused { why },
    };
    if fence == Fence::Reaper {
        end_children();
    }
    let code = match &said {
        Line::Ended { code, .. } => *code,
        _ => crate::worker::exit::RUNTIME_FAILED,
    };
    let _ = talk.say(&said);
    code
}

struct Leader {
    ears: Ears,
    /// The program and its process group.
    program: Pid,
    fence: Fence,
    /// Whether the program has a terminal of its own.
    terminal: bool,
    /// Signals that came from outside, and when.
    heard: HashMap<i32, Instant>,
    /// Signals that are to be passed on, and when.
    asked: Vec<(Signal, Instant)>,
}

impl Leader {
    fn begin(
        talk: &mut Talk,
        (stdin, start): (OwnedFd, &Start),
        fence: Fence,
        before: impl FnOnce() -> Result<(), Failed>,
        arrange: impl FnOnce() -> Result<(), Failed>,
    ) -> Result<(Self, Vec<String>), Failed> {
        let ears = Ears::open(&[&STOPPING[..], &[SIGCHLD, SIGWINCH]].concat())
            .map_err(at("installing a signal handler"))?;
        rustix::process::setsid().map_err(at("making a session"))?;
        if start.terminal {
            rustix::process::ioctl_tiocsctty(&stdin).map_err(at("taking the terminal"))?;
        }
        if fence == Fence::Reaper {
            let me = Some(rustix::process::getpid());
            rustix::process::set_child_subreaper(me).map_err(at("becoming a reaper"))?;
        }
        before()?;
        let (mut starter, other) = Talk::pair().map_err(at("making a socket"))?;
        // started while the machine's root is in sight, which has this program's libraries
        let child = Command::new("/proc/self/exe")
            .arg(STARTER)
            .stdin(other)
            .process_group(0)
            .spawn()
            .map_err(at("starting this program again"))?;
        let program =
            Pid::from_raw(child.id().cast_signed()).ok_or_else(|| Failed("no pid".into()))?;
        if starter.wait().map_err(at("hearing the starter"))? != Some(Line::Ready) {
            return Err(Failed("the process that is to become the program ended at once".into()));
        }
        arrange()?;
        if start.terminal {
            rustix::termios::tcsetpgrp(&stdin, program)
                .map_err(at("putting the program into the foreground"))?;
        }
        // a worker that is gone is found out later
        let _ = talk.say(&Line::Starting { at: jiff::Timestamp::now() });
        starter.hand(stdin.as_fd(), start).map_err(at("telling the starter"))?;
        drop(stdin);
        let mut keys = vec![];
        // the end of the file: it has become the program, or has died
        while let Some(line) = starter.wait().map_err(at("hearing the starter"))? {
            match line {
                Line::Refused { why } => return Err(Failed(why)),
                Line::Started { keys: linked, .. } => keys = linked,
                _ => {}
            }
        }
        let (heard, asked) = (HashMap::new(), vec![]);
        Ok((Self { ears, program, fence, terminal: start.terminal, heard, asked }, keys))
    }

    /// Until the program has ended, or the worker is gone.
    fn attend(&mut self, talk: &mut Talk) -> Line {
        loop {
            if let Some(ended) = self.reap(talk) {
                return ended;
            }
            self.pass_on();
            let timeout = self.asked.iter().map(|(_, at)| *at).min().map(|at| {
                let left = at.saturating_duration_since(Instant::now());
                Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() }
            });
            let asked = {
                let mut wishes = [
                    PollFd::from_borrowed_fd(self.ears.handle(), PollFlags::IN),
                    PollFd::from_borrowed_fd(talk.handle(), PollFlags::IN),
                ];
                // interrupted by a signal, which is looked for below
                let _ = rustix::event::poll(&mut wishes, timeout.as_ref());
                !wishes[1].revents().is_empty()
            };
            for heard in self.ears.heard() {
                // from inside the container it is no engine's
                let outside = match self.fence {
                    Fence::Namespace => heard.sender == Some(0),
                    Fence::Reaper => heard.sender.is_some(),
                };
                if outside {
                    self.heard.insert(heard.signal.as_raw(), Instant::now());
                }
            }
            if !asked {
                continue;
            }
            let Ok((requests, open)) = talk.arrived() else { return self.kill() };
            for request in requests {
                match request {
                    Request::Pass { signal, alone } => self.ask(signal, alone),
                    Request::Kill => return self.kill(),
                }
            }
            if !open {
                // the worker is gone
                return self.kill();
            }
        }
    }

    fn ask(&mut self, number: i32, alone: bool) {
        let Some(signal) = Signal::from_named_raw(number) else { return };
        let wait = if alone { Duration::ZERO } else { ROUND };
        self.asked.push((signal, Instant::now() + wait));
    }

    /// Sends what was asked for and did not come by itself.
    fn pass_on(&mut self) {
        let now = Instant::now();
        let mut due = vec![];
        let heard = &mut self.heard;
        self.asked.retain(|(signal, at)| {
            let number = signal.as_raw();
            if heard.get(&number).is_some_and(|when| now.duration_since(*when) < HEARD) {
                heard.remove(&number);
                return false;
            }
            if *at <= now {
                due.push(*signal);
                return false;
            }
            true
        });
        for signal in due {
            // an installed runtime passes signals on by itself, so its group would get them twice; it does not
            // when its group is a terminal's foreground, which a terminal's keys reach as a whole. Stopping is
            // every process's own business
            let alone = self.fence == Fence::Reaper
                && !self.terminal
                && signal != Signal::TSTP
                && signal != Signal::CONT;
            let _ = if alone {
                rustix::process::kill_process(self.program, signal)
            } else {
                rustix::process::kill_process_group(self.program, signal)
            };
            if ends(signal) {
                // one that is stopped could not tidy up
                let _ = rustix::process::kill_process_group(self.program, Signal::CONT);
            }
        }
    }

    /// Collects children; `Some` when the program has ended.
    fn reap(&self, talk: &mut Talk) -> Option<Line> {
        let options = WaitOptions::NOHANG | WaitOptions::UNTRACED;
        loop {
            match rustix::process::wait(options) {
                Ok(Some((pid, how))) if pid == self.program => {
                    if how.stopped() {
                        let _ = talk.say(&Line::Stopped);
                    } else {
                        return Some(ended(how));
                    }
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                // none has, or the program was never a child: then the worker's word counts
                Ok(None) | Err(_) => return None,
            }
        }
    }

    fn kill(&self) -> Line {
        let _ = rustix::process::kill_process_group(self.program, Signal::KILL);
        let signal = Signal::KILL.as_raw();
        Line::Ended { code: 128 + signal, signal: Some(signal) }
    }
}

/// A wait status as a shell gives it.
fn ended(how: WaitStatus) -> Line {
    let signal = how.terminating_signal();
    let code = how.exit_status().or_else(|| signal.map(|n| 128 + n)).unwrap_or(1);
    Line::Ended { code, signal }
}

/// Ends every child of this process, and those that come here when their parents end.
pub(super) fn end_children() {
    let me = rustix::process::getpid().as_raw_pid();
    loop {
        // threads of this process have started none of them, so one list is enough
        let children =
            std::fs::read_to_string(format!("/proc/{me}/task/{me}/children")).unwrap_or_default();
        for pid in children.split_whitespace().filter_map(|p| Pid::from_raw(p.parse().ok()?)) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
