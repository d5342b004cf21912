//! Running a job on this machine: find a runtime, measure the image, run exactly what was measured,
//! write a receipt.
//!
//! Floor 5, and the only room below `cli` that looks at its own machine: environment, `/proc`,
//! programs in `PATH`. What it does is in `docs/runtime.md`; what is pure is in [`crate::runtime`].
//!
//! ```text
//! work -> plan.json -> mounts -> choose a runtime -> measure -> builtin: rootfs, container, inside
//!                                                            -> apptainer, singularity: program
//!      -> receipt-ATTEMPT.json, exit code
//! ```

mod account;
mod builtin;
mod choose;
mod container;
mod early;
mod error;
mod inside;
mod loader;
mod measure;
mod mountinfo;
mod mounts;
mod probe;
mod program;
mod rootfs;
mod signals;
mod worker;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub use early::early;
pub use error::ExecuteError;
pub use loader::run_through_own_loader;
pub use probe::{Refusal, probe};
pub use worker::{run_here, work};

/// A program in `PATH`.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(name))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// Names and makes temporary directories that only this user can enter, whatever the umask.
fn private_tempdir(prefix: &str) -> tempfile::Builder<'_, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).permissions(std::fs::Permissions::from_mode(0o700));
    builder
}
