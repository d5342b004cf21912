//! Engines that run jobs: one file per engine, one flow over their commands, one driver that runs these.
//!
//! ```text
//! contract.rs  the trait `Backend`, and what it is given
//! facts.rs     what everybody else must know of an engine          known.rs    the list of all
//! dialect.rs   an engine's language: command lines, answers (pure)  engine.rs   the flow over a dialect
//! driver.rs    runs commands                                       record.rs   which submission is the one
//! NAME.rs      one dialect each                                      local.rs, foreground.rs   this machine
//! ```
//!
//! # Adding a backend
//! An engine with commands: write `backend/NAME.rs` with a type that implements `Dialect`, and its line in
//! `known.rs`. An engine with another interface implements [`Backend`] itself. What else the program must
//! know of it stands in its [`Facts`]: no other file names it (`tests/rules/floors.rs`). The text of a submission gets
//! a golden file, and the suite in `tests/jobs/backend.rs` runs on it: submit, state, exit code, output,
//! cancel, find by intent.

mod contract;
mod dialect;
mod driver;
mod engine;
mod error;
mod facts;
pub mod foreground;
mod htcondor;
mod known;
pub mod local;
mod record;
mod seen;
mod slurm;
#[cfg(test)]
mod testing;

pub use contract::{Backend, Order, Sent, Submission};
pub use driver::{Environment, answer};
pub use engine::Engine;
pub use error::BackendError;
pub use facts::{ArrayFacts, Facts, Part};
pub use foreground::{FOREGROUND, Foreground, Held};
pub use known::{Surroundings, commanded, engines, facts_of, named, task_name, task_of_name};
pub use local::{Local, supervise};
pub use record::{OnRecord, RecordError};
pub use seen::Seen;
