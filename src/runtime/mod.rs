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
pub mod path_json;

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::job::Access;

/// A mount whose source was found on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// The path on this machine, without symbolic links.
    #[serde(with = "path_json")]
    pub source: PathBuf,
    /// The absolute path in the container.
    #[serde(with = "path_json")]
    pub target: PathBuf,
    /// Read only or not.
    pub access: Access,
    /// Whether the source is a directory.
    pub directory: bool,
}

/// One field of a comma-separated `--mount` value, `KEY=PATH`, quoted as RFC 4180 has it.
fn csv_field(key: &str, path: &Path) -> OsString {
    let path = path.as_os_str().as_bytes();
    let mut field = [key.as_bytes(), b"=", path].concat();
    if path.iter().any(|b| b"\",\n\r".contains(b)) {
        let doubled =
            field.iter().flat_map(|&b| std::iter::repeat_n(b, 1 + usize::from(b == b'"')));
        field = std::iter::once(b'"').chain(doubled).chain([b'"']).collect();
    }
    OsString::from_vec(field)
}
