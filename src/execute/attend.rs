//! The worker while a program runs: passes signals on, carries the terminal's bytes, keeps the time,
//! and learns how it ended. One loop, no thread.

use std::time::{Duration, Instant};

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal};

use super::ExecuteError;
use super::signals::{self, Ears, Heard, Merge, ends};
use super::talk::{Line, Request, Talk};
use super::terminal::Relay;

/// How long a program may take to end after a signal, where nobody says otherwise.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// How long the last bytes may take to the screen when the job was told to end.
const LAST: Duration = Duration::from_secs(2);

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// When it was started.
    pub(super) started_at: jiff::Timestamp,
    /// As a shell gives it; 128+n when the worker was told to end by signal n.
    pub(super) code: i32,
    /// The signal that told the worker to end.
    pub(super) told: Option<i32>,
    /// The signal that ended the program.
    pub(super) signal: Option<i32>,
    /// Kernel keys that it got.
    pub(super) keys: Vec<String>,
}

/// Ends an attempt that was told to end before its program was started: asked between the steps that
/// take long.
///
/// # Errors
/// [`ExecuteError::Told`].
pub(super) fn check(ears: &mut Ears) -> Result<(), ExecuteError> {
    match ears.heard().iter().find(|heard| ends(heard.signal)) {
        Some(heard) => Err(ExecuteError::Told(heard.signal.as_raw())),
        None => Ok(()),
    }
}

/// The same while nobody listens yet: asked inside the steps that take long, of any thread.
///
/// # Errors
/// [`ExecuteError::Told`].
pub(super) fn still_wanted() -> Result<(), ExecuteError> {
    signals::with_kept(check).unwrap_or(Ok(()))
}

/// What is looked after.
pub(super) struct Attendance {
    pub(super) talk: Talk,
    pub(super) ears: Ears,
    pub(super) terminal: Option<Relay>,
    pub(super) grace: Duration,
    /// One becomes readable when the program must not go on, such as when it cannot have its image any more: then
    /// it is told to end.
    pub(super) alarms: Vec<OwnedFd>,
    /// `moorline run`, which passes signals on to this process and may be told together with it.
    pub(super) front: Option<Pid>,
}

#[derive(Default)]
struct State {
    merge: Merge,
    told: Option<Signal>,
    deadline: Option<Instant>,
    /// The program began then, or never did.
    starting: Option<jiff::Timestamp>,
    started: Option<(jiff::Timestamp, Vec<String>)>,
    refused: Option<ExecuteError>,
    ended: Option<(i32, Option<i32>)>,
}

impl Attendance {
    /// Until the leader is gone. `kill` ends it and everything below.
    ///
    /// # Errors
    /// [`ExecuteError::NotStarted`] when the program was not started.
    pub(super) fn attend(mut self, mut kill: impl FnMut()) -> Result<Ended, ExecuteError> {
        let mut state = State::default();
        loop {
            self.wait(&state);
            for heard in self.ears.heard() {
                self.hear(heard, &mut state);
            }
            if self.alarms.iter().any(is_readable) {
                self.alarms.clear();
                state.deadline.get_or_insert(Instant::now() + self.grace);
                let _ =
                    self.talk.say(&Request::Pass { signal: Signal::TERM.as_raw(), alone: true });
            }
            if let Some(relay) = &mut self.terminal {
                relay.carry();
            }
            if !self.listen(&mut state) {
                break;
            }
            if state.deadline.is_some_and(|at| at <= Instant::now()) {
                state.deadline = None;
                if self.talk.say(&Request::Kill).is_err() {
                    kill();
                }
            }
        }
        self.show_the_rest(&state);
        // gives the terminal back before anything else is said
        drop(self.terminal);
        let told = state.told.map(|signal| 128 + signal.as_raw());
        if let Some(error) = state.refused {
            return Err(error);
        }
        // the leader was killed while the program began: it may have run, so it counts as one that did
        let started = state.started.or_else(|| Some((state.starting?, Vec::new())));
        let Some((started_at, keys)) = started else {
            return Err(match state.told {
                Some(signal) => ExecuteError::Told(signal.as_raw()),
                None => ExecuteError::NotStarted("the process that starts it was killed".into()),
            });
        };
        // without a last line its first process was killed
        let killed = Signal::KILL.as_raw();
        let (code, signal) = state.ended.unwrap_or((128 + killed, Some(killed)));
        let code = told.unwrap_or(code);
        Ok(Ended { started_at, code, told: state.told.map(Signal::as_raw), signal, keys })
    }

    fn wait(&self, state: &State) {
        let mut wishes = vec![
            PollFd::from_borrowed_fd(self.ears.handle(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.talk.handle(), PollFlags::IN),
        ];
        wishes.extend(self.alarms.iter().map(|alarm| PollFd::new(alarm, PollFlags::IN)));
        let mut patience = state.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if let Some(relay) = &self.terminal {
            wishes.extend(relay.wishes());
            patience = patience.into_iter().chain(relay.patience()).min();
        }
        let timeout = patience.and_then(|time| Timespec::try_from(time).ok());
        // interrupted by a signal, which is looked for next
        let _ = rustix::event::poll(&mut wishes, timeout.as_ref());
    }

    fn hear(&mut self, heard: Heard, state: &mut State) {
        let Heard { signal, sender } = heard;
        if signal == Signal::WINCH
            && let Some(relay) = &self.terminal
        {
            relay.resize();
            return;
        }
        if !state.merge.is_new(heard, self.front, Instant::now()) {
            return;
        }
        if ends(signal) {
            state.told.get_or_insert(signal);
            state.deadline.get_or_insert(Instant::now() + self.grace);
        }
        // below `run` nobody else was told; a terminal's keys go to its own foreground only
        let alone = self.front.is_some() || sender.is_none();
        // a leader that is gone is found out next
        let _ = self.talk.say(&Request::Pass { signal: signal.as_raw(), alone });
        if signal == Signal::TSTP && self.terminal.is_none() {
            // as if nobody had listened; CONT is heard and passed on
            let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::STOP);
        }
    }

    /// Hears the leader; `false` when it is gone.
    fn listen(&mut self, state: &mut State) -> bool {
        if !is_readable(&self.talk.handle()) {
            return true;
        }
        let Ok((lines, open)) = self.talk.arrived() else { return false };
        for line in lines {
            match line {
                Line::Refused { why } => state.refused = Some(ExecuteError::NotStarted(why)),
                Line::Unserved { why } => state.refused = Some(ExecuteError::NotServed(why)),
                Line::Started { at, keys } => state.started = Some((at, keys)),
                Line::Ended { code, signal } => state.ended = Some((code, signal)),
                Line::Starting { at } => state.starting = Some(at),
                Line::Ready => {}
                Line::Stopped => {
                    if let Some(relay) = &mut self.terminal {
                        relay.stop();
                        let go_on = Signal::CONT.as_raw();
                        let _ = self.talk.say(&Request::Pass { signal: go_on, alone: true });
                    }
                }
            }
        }
        open
    }

    /// Every process of the program is gone, or nearly: what it wrote is still on its way.
    fn show_the_rest(&mut self, state: &State) {
        let Some(relay) = &mut self.terminal else { return };
        let deadline = state.told.map(|_| Instant::now() + LAST);
        while relay.is_busy() && deadline.is_none_or(|at| Instant::now() < at) {
            let mut wishes = relay.wishes();
            wishes.push(PollFd::from_borrowed_fd(self.ears.handle(), PollFlags::IN));
            let step = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            let _ = rustix::event::poll(&mut wishes, Some(&step));
            drop(wishes);
            if self.ears.heard().iter().any(|heard| ends(heard.signal)) {
                return;
            }
            relay.carry();
        }
    }
}

fn is_readable(handle: &impl std::os::fd::AsFd) -> bool {
    let mut one = [PollFd::new(handle, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut one, Some(&now)).is_ok_and(|n| n > 0)
}
