//! Signals that this process hears, who sent them, and which of them are the same one.
//!
//! ```text
//! an engine, a user, a terminal --signal--> moorline run --signal--> worker --request--> session leader --> program
//!                                      \------- the same signal to the whole group ------^          (session.rs)
//! ```
//!
//! `timeout` tells its child and then the child's group, a terminal tells the foreground group, some
//! engines tell every process: one wish arrives several times. It is passed on once. A signal that
//! was ignored when this process began stays ignored, here and in the program: that is `nohup`.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use signal_hook::consts as number;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;

use crate::procstatus::ProcStatus;

/// What ends a job: after it the program has a grace.
pub(super) const ENDING: [i32; 4] =
    [number::SIGTERM, number::SIGINT, number::SIGHUP, number::SIGQUIT];

/// What is passed on and ends nothing by itself. Real-time signals are not among them: rustix has no
/// safe way to send one.
pub(super) const NOTES: [i32; 8] = [
    number::SIGUSR1,
    number::SIGUSR2,
    number::SIGALRM,
    number::SIGVTALRM,
    number::SIGPROF,
    number::SIGXCPU,
    number::SIGURG,
    number::SIGIO,
];

/// What stops a job and lets it go on.
pub(super) const STOPPING: [i32; 2] = [number::SIGTSTP, number::SIGCONT];

/// Two signals from different senders within this time are one: a group was told, and its members
/// tell each other.
const PAIR: Duration = Duration::from_millis(500);
/// The same from one sender: `timeout` tells its child and then the group.
const REPEAT: Duration = Duration::from_millis(100);

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) signal: Signal,
    /// The process that sent it; 0 when that is outside of this pid namespace, `None` for the kernel
    /// (a terminal's keys, a terminal that went away).
    pub(super) sender: Option<i32>,
}

/// Hears signals from when it is made. A process needs one only.
pub(super) struct Ears(SignalDelivery<UnixStream, WithOrigin>);

impl Ears {
    /// Hears [`ENDING`], [`NOTES`] and `more`. What is ignored stays ignored, except CHLD:
    /// the ends of children would not be told.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub(super) fn open(more: &[i32]) -> io::Result<Self> {
        let ignored = ignored();
        let wanted = ENDING.iter().chain(&NOTES).chain(more).copied();
        let wanted = wanted.filter(|n| *n == number::SIGCHLD || !ignored.contains(n));
        let (read, write) = UnixStream::pair()?;
        write.set_nonblocking(true)?;
        SignalDelivery::with_pipe(read, write, WithOrigin::default(), wanted).map(Self)
    }

    /// Readable when a signal has come.
    pub(super) fn handle(&self) -> BorrowedFd<'_> {
        self.0.get_read().as_fd()
    }

    /// Those that came since the last question.
    pub(super) fn heard(&mut self) -> Vec<Heard> {
        self.0
            .pending()
            .filter_map(|origin| {
                let sent = matches!(origin.cause, Cause::Sent(_));
                Some(Heard {
                    signal: Signal::from_named_raw(origin.signal)?,
                    sender: origin.process.filter(|_| sent).map(|process| process.pid),
                })
            })
            .collect()
    }
}

/// The ears that a worker has from its start on, until the program's attendant takes them. A process
/// has one set of handlers, so there is one of these.
static KEPT: Mutex<Option<Ears>> = Mutex::new(None);

/// Keeps what was opened early, for whoever comes later.
pub(super) fn keep(ears: Ears) {
    *KEPT.lock().unwrap_or_else(PoisonError::into_inner) = Some(ears);
}

/// What [`keep`] was given.
pub(super) fn kept() -> Option<Ears> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Asks those that are kept, and leaves them there.
pub(super) fn with_kept<T>(ask: impl FnOnce(&mut Ears) -> T) -> Option<T> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(ask)
}

/// The signals that this process ignores, which it has from who started it.
fn ignored() -> Vec<i32> {
    let status = ProcStatus::own();
    (1..=64).filter(|signal| status.ignores(*signal)).collect()
}

/// Whether a signal ends a job.
pub(super) fn ends(signal: Signal) -> bool {
    ENDING.contains(&signal.as_raw())
}

/// Knows a signal that was counted already.
#[derive(Default)]
pub(super) struct Merge(HashMap<i32, Vec<Seen>>);

struct Seen {
    at: Instant,
    sender: Option<i32>,
    /// Whether the same wish has come by the other way, too.
    paired: bool,
}

impl Merge {
    /// Whether this is a new wish. `relay` is the process that passes on what it hears, and that may
    /// be in the same group.
    pub(super) fn is_new(&mut self, heard: Heard, relay: Option<Pid>, now: Instant) -> bool {
        let seen = self.0.entry(heard.signal.as_raw()).or_default();
        seen.retain(|s| now.duration_since(s.at) < PAIR);
        let relayed = |sender: Option<i32>| {
            sender.is_some() && sender == relay.map(|pid| pid.as_raw_nonzero().get())
        };
        let again = |s: &Seen| {
            s.sender.is_some()
                && s.sender == heard.sender
                && !relayed(heard.sender)
                && now.duration_since(s.at) < REPEAT
        };
        if seen.iter().any(again) {
            return false;
        }
        let other = seen
            .iter_mut()
            .find(|s| relay.is_some() && !s.paired && relayed(s.sender) != relayed(heard.sender));
        let new = other.is_none();
        if let Some(other) = other {
            other.paired = true;
        }
        seen.push(Seen { at: now, sender: heard.sender, paired: !new });
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wish_is_one_signal() {
        let relay = Pid::from_raw(50);
        let start = Instant::now();
        // (milliseconds, signal, sender, whether it is new)
        let tell = |merge: &mut Merge, relay, events: &[(u64, Signal, Option<i32>, bool)]| {
            for (at, signal, sender, new) in events {
                let heard = Heard { signal: *signal, sender: *sender };
                let now = start + Duration::from_millis(*at);
                assert_eq!(merge.is_new(heard, relay, now), *new, "{at} {signal:?} {sender:?}");
            }
        };
        // timeout: its child, then the group, of which this process is one
        tell(
            &mut Merge::default(),
            relay,
            &[(0, Signal::TERM, Some(9), true), (1, Signal::TERM, Some(50), false)],
        );
        // as `run` hears it: twice from one
        tell(
            &mut Merge::default(),
            None,
            &[
                (0, Signal::TERM, Some(9), true),
                (1, Signal::TERM, Some(9), false),
                (300, Signal::TERM, Some(9), true),
            ],
        );
        // two wishes, each by one way only
        tell(
            &mut Merge::default(),
            relay,
            &[
                (0, Signal::USR1, Some(50), true),
                (20, Signal::USR1, Some(50), true),
                (40, Signal::USR2, Some(9), true),
            ],
        );
        // a terminal's keys reach both, twice
        tell(
            &mut Merge::default(),
            relay,
            &[
                (0, Signal::INT, None, true),
                (1, Signal::INT, Some(50), false),
                (200, Signal::INT, None, true),
                (201, Signal::INT, Some(50), false),
            ],
        );
    }
}
