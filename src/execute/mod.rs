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
mod asker;
mod attend;
mod between;
mod builtin;
mod choose;
mod container;
mod delivered;
mod dumps;
mod early;
mod error;
mod filter;
mod floor;
mod front;
mod handles;
mod hiding;
mod identify;
mod inside;
mod keyring;
mod loader;
mod marker;
mod measure;
mod mounts;
mod network;
mod on_record;
mod outputs;
mod packed;
mod probe;
mod processor;
mod program;
mod rootfs;
mod scratch;
mod session;
mod signals;
mod starter;
mod talk;
mod terminal;
mod tickets;
mod used;
mod verbs;
mod worker;

use std::path::{Path, PathBuf};

use crate::listing;

pub use early::early;
pub use error::ExecuteError;
pub use front::run_here;
pub use loader::run_through_own_loader;
pub use probe::{Refusal, probe};
pub use scratch::{PassedOver, demo_directory};
pub use tickets::forget as forget_tickets;
pub use worker::work;

/// A program in `PATH`.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    crate::files::in_path(&std::env::var_os("PATH")?, name)
}

/// A directory that goes when this does, unless it has another name then.
#[derive(Debug)]
struct PrivateDir(PathBuf);

impl PrivateDir {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        // the standard library's way may panic (listing.rs); nothing is there under a new name
        let _ = listing::remove_tree(&self.0);
    }
}
