//! The hidden verb `supervise`, started by the local backend. (`worker` is the other one inside
//! jobs; it needs a process without threads and is taken up in `execute::early`.)

use std::path::PathBuf;

use clap::Args;

use crate::backend::{self, Environment};
use crate::cli::show::output::Outcome;

/// Run a job's plan; started by the job's script.
#[derive(Debug, Args)]
pub struct Work {
    /// The job's control directory
    #[arg(value_name = "DIR")]
    control: PathBuf,
    /// The SHA-256 of the plan's bytes
    #[arg(long, value_name = "HEX")]
    plan_sha256: Option<String>,
}

/// Look after a job of the local backend.
#[derive(Debug, Args)]
pub struct Supervise {
    /// The job's directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// The verb `supervise`.
///
/// # Errors
/// When the job could not be supervised; how it ended is in its record.
pub fn supervise(args: &Supervise) -> Outcome {
    backend::supervise(&args.dir, &Environment::allowed(std::env::vars_os()))?;
    Ok(0)
}
