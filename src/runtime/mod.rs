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
pub mod builtin;
pub mod docker;
pub mod environment;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::job::Access;

/// A mount whose source was found on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// The path on this machine, without symbolic links.
    pub source: PathBuf,
    /// The absolute path in the container.
    pub target: String,
    /// Read only or not.
    pub access: Access,
    /// Whether the source is a directory.
    pub directory: bool,
}

/// One field of a comma-separated `--mount` value, quoted as RFC 4180 has it.
fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) || text.starts_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
