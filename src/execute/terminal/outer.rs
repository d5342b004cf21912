//! The caller's terminal, whose settings are given back on every way out.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, Winsize};

use super::job;

/// Settings of the terminal at standard input, to be put back by who started a worker that was killed.
pub(in crate::execute) struct Saved(Option<Termios>);

impl Saved {
    pub(in crate::execute) fn now() -> Self {
        Self(rustix::termios::tcgetattr(io::stdin()).ok())
    }

    /// Puts them back, unless the terminal is somebody else's meanwhile.
    pub(in crate::execute) fn restore(&self) {
        if let Some(settings) = &self.0
            && in_foreground(io::stdin(), job::group())
        {
            let _ = rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, settings);
        }
    }
}

/// Whether this process has a terminal that its program is to have one for.
pub(in crate::execute) fn is_here() -> bool {
    Outer::here().is_some()
}

/// The caller's terminal. It is raw between [`Outer::enter`] and [`Outer::leave`], which its end does
/// too.
pub(in crate::execute) struct Outer {
    pub(super) input: OwnedFd,
    pub(super) output: OwnedFd,
    pub(super) settings: Termios,
    /// This process's group.
    group: Option<i32>,
    raw: bool,
}

impl Outer {
    /// The terminal of this process, when standard input and output are one.
    pub(in crate::execute) fn here() -> Option<Self> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        if !rustix::termios::isatty(&stdin) || !rustix::termios::isatty(&stdout) {
            return None;
        }
        let settings = rustix::termios::tcgetattr(&stdin).ok()?;
        let (input, output) = (again(&stdin)?, again(&stdout)?);
        Some(Self { input, output, settings, group: job::group(), raw: false })
    }

    /// Whether standard error is a terminal as well and joins the program's.
    pub(in crate::execute) fn takes_stderr() -> bool {
        rustix::termios::isatty(io::stderr())
    }

    pub(super) fn size(&self) -> Winsize {
        rustix::termios::tcgetwinsize(&self.input).unwrap_or(Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        })
    }

    /// Whether its keys are this job's. In the background nothing may be read or set: the kernel would
    /// stop this process.
    pub(super) fn in_foreground(&self) -> bool {
        in_foreground(&self.input, self.group)
    }

    /// Hands every key on as it is.
    pub(super) fn enter(&mut self) {
        if self.raw || !self.in_foreground() {
            return;
        }
        let mut raw = self.settings.clone();
        raw.make_raw();
        self.raw = rustix::termios::tcsetattr(&self.input, OptionalActions::Now, &raw).is_ok();
    }

    /// Gives the settings back.
    pub(super) fn leave(&mut self) {
        if self.raw && self.in_foreground() {
            let _ = rustix::termios::tcsetattr(&self.input, OptionalActions::Now, &self.settings);
        }
        self.raw = false;
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        self.leave();
    }
}

fn in_foreground(terminal: impl AsFd, group: Option<i32>) -> bool {
    match rustix::termios::tcgetpgrp(terminal) {
        Ok(foreground) => group == Some(foreground.as_raw_nonzero().get()),
        // its number is 0: it is outside of this pid namespace
        Err(Errno::OPNOTSUPP) => group == Some(0),
        // another session's terminal has no foreground for us: nobody is in our way
        Err(_) => true,
    }
}

/// The same terminal through an opening of its own: `O_NONBLOCK` belongs to an opening, and the one
/// that came with this process is the caller's shell's, too.
fn again(terminal: &impl AsFd) -> Option<OwnedFd> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", terminal.as_fd().as_raw_fd());
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // another user's terminal (after su) cannot be opened again: then it blocks at times
    rustix::fs::open(path, flags, Mode::empty())
        .or_else(|_| terminal.as_fd().try_clone_to_owned())
        .ok()
}
