//! Bytes in both directions between the caller's terminal and the program's, without blocking: a
//! program that echoes while 100 kB are pasted would otherwise wait for us while we wait for it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::{Outer, Pty, job};

/// How much waits on each side.
const ROOM: usize = 64 * 1024;

/// Carries bytes; its end gives the terminal back.
pub(in crate::execute) struct Relay {
    outer: Outer,
    master: OwnedFd,
    /// From the keys.
    keys: VecDeque<u8>,
    /// For the screen.
    shown: VecDeque<u8>,
    /// The caller's terminal is still there.
    outside: bool,
    /// The program's side is still there.
    inside: bool,
}

impl Relay {
    /// A pseudo-terminal with the outer one's settings and size, and what carries bytes between the two.
    ///
    /// # Errors
    /// When the machine has no pseudo-terminal left.
    pub(in crate::execute) fn open(outer: Outer) -> io::Result<(Pty, Self)> {
        let pty = Pty::open(&outer.settings, outer.size())?;
        let relay = Self::new(outer, pty.master.try_clone()?);
        Ok((pty, relay))
    }

    fn new(outer: Outer, master: OwnedFd) -> Self {
        let (keys, shown) = (VecDeque::new(), VecDeque::new());
        let mut relay = Self { outer, master, keys, shown, outside: true, inside: true };
        relay.outer.enter();
        relay
    }

    /// What to wait for.
    pub(in crate::execute) fn wishes(&self) -> Vec<PollFd<'_>> {
        let mut inner = PollFlags::empty();
        if self.inside && self.shown.len() < ROOM {
            inner |= PollFlags::IN;
        }
        if self.inside && !self.keys.is_empty() {
            inner |= PollFlags::OUT;
        }
        let reads = self.outside && self.keys.len() < ROOM && self.outer.in_foreground();
        [
            (&self.outer.input, if reads { PollFlags::IN } else { PollFlags::empty() }),
            (
                &self.outer.output,
                if self.outside && !self.shown.is_empty() {
                    PollFlags::OUT
                } else {
                    PollFlags::empty()
                },
            ),
            (&self.master, inner),
        ]
        .into_iter()
        // one that is asked for nothing would still tell of its end, again and again
        .filter(|(_, flags)| !flags.is_empty())
        .map(|(file, flags)| PollFd::new(file, flags))
        .collect()
    }

    /// How long nobody may tell us that the terminal is ours again: a shell's `fg` of a job that runs.
    pub(in crate::execute) fn patience(&self) -> Option<Duration> {
        (!self.outer.in_foreground()).then_some(Duration::from_millis(200))
    }

    /// Carries what can be carried now.
    pub(in crate::execute) fn carry(&mut self) {
        self.outer.enter();
        let ready = |file: BorrowedFd<'_>, flag: PollFlags| {
            let mut one = [PollFd::from_borrowed_fd(file, flag)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            let asked = rustix::event::poll(&mut one, Some(&now));
            asked.is_ok_and(|n| n > 0)
        };
        let input = self.outer.input.as_fd();
        if self.outside
            && self.keys.len() < ROOM
            && self.outer.in_foreground()
            && ready(input, PollFlags::IN)
        {
            self.outside = read(input, &mut self.keys);
        }
        if self.inside && !self.keys.is_empty() && ready(self.master.as_fd(), PollFlags::OUT) {
            self.inside = write(self.master.as_fd(), &mut self.keys);
        }
        if self.inside && self.shown.len() < ROOM && ready(self.master.as_fd(), PollFlags::IN) {
            self.inside = read(self.master.as_fd(), &mut self.shown);
        }
        if self.outside
            && !self.shown.is_empty()
            && ready(self.outer.output.as_fd(), PollFlags::OUT)
        {
            self.outside = write(self.outer.output.as_fd(), &mut self.shown);
        }
    }

    /// Whether something is still to be shown. Asked when every process of the program is gone.
    pub(in crate::execute) fn is_busy(&self) -> bool {
        self.outside && (self.inside || !self.shown.is_empty())
    }

    /// Tells the program's side the size of the caller's terminal.
    pub(in crate::execute) fn resize(&self) {
        let _ = rustix::termios::tcsetwinsize(&self.master, self.outer.size());
    }

    /// Gives the terminal back and stops this job until it is continued.
    pub(in crate::execute) fn stop(&mut self) {
        self.carry();
        self.outer.leave();
        job::stop();
        self.outer.enter();
        self.resize();
    }
}

/// `false` at the end.
fn read(from: BorrowedFd<'_>, to: &mut VecDeque<u8>) -> bool {
    let mut bytes = [0; 16 * 1024];
    match rustix::io::read(from, &mut bytes) {
        Ok(0) => false,
        Ok(count) => {
            to.extend(&bytes[..count]);
            true
        }
        Err(Errno::AGAIN | Errno::INTR) => true,
        // EIO: nobody has the other side open any more
        Err(_) => false,
    }
}

/// `false` when nothing can be written any more.
fn write(to: BorrowedFd<'_>, from: &mut VecDeque<u8>) -> bool {
    match rustix::io::write(to, from.as_slices().0) {
        Ok(count) => {
            from.drain(..count);
            true
        }
        Err(Errno::AGAIN | Errno::INTR) => true,
        Err(_) => false,
    }
}
