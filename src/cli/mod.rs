//! The command line.
//!
//! ```text
//! command.rs   the verbs, and what each may do before it runs
//! verbs/       a file for each verb: arguments, one call, show
//! args/        arguments that several verbs share
//! context/     the place where the program runs: configuration, clients, store, engines
//! show/        what is printed, and how
//! ```
//!
//! Floor 8. Only here the environment, the home directory and the terminal are read, adapters are
//! chosen, and text is printed. Verbs, flags and exit codes are those of `docs/reference/cli.md`.

mod args;
mod command;
mod context;
mod show;
mod verbs;

pub use command::main;
