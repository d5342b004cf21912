//! Container runtimes: one file each, from a job to what has to be started. Pure: nothing here asks
//! the machine; `execute` (floor 5) does.
//!
//! # Adding a runtime
//! - A program such as apptainer: write `runtime/NAME.rs` with a function from (job, image, binds,
//!   working directory) to the command line, with a table of cases beside it; then its line in
//!   [`crate::job::RuntimeChoice`] and in `execute/choose.rs`, which looks whether it is there.
//!   The suite in `tests/execute/` runs what is installed through the same cases.
//! - What all of them owe the job: the working directory at `/work_dir` and the program started in
//!   it, no home directory, the job's mounts and variables, the program's exit code, and that
//!   nothing of the job survives the runtime.

pub mod apptainer;
mod bind;
pub mod builtin;
pub mod docker;
pub mod environment;
pub mod path_json;

pub use bind::Bind;
