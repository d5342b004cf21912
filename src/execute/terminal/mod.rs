//! The program's own terminal.
//!
//! A program that has the caller's terminal as its controlling one can push characters into its input
//! (`TIOCSTI`), and the caller's shell runs them after the job. So it gets another one, when standard
//! input and output are terminals:
//!
//! ```text
//! terminal <--raw--> worker: relay <--> pseudo-terminal <--> session leader, program in the foreground
//!   size, Ctrl-Z of the whole job: the worker       keys that make signals, line editing: the kernel
//! ```
//!
//! Otherwise its handles are passed as they are; it is in another session, so that none of them is
//! its controlling terminal, and `/dev/tty` is not there.

mod job;
mod outer;
mod pty;
mod relay;

pub(super) use outer::{Outer, Saved, is_here};
pub(super) use pty::Pty;
pub(super) use relay::Relay;
