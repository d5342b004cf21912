//! The two hidden verbs that run inside jobs: `worker` (started by the job's script) and
//! `supervise` (started by the local backend). They read no configuration and no credential.

use std::path::PathBuf;

use clap::Args;

use crate::oci::Digest;

/// Run a job's plan.
#[derive(Debug, Args)]
pub struct Work {
    /// The job's control directory
    #[arg(value_name = "DIR")]
    control: PathBuf,
    /// What the plan's bytes must hash to
    #[arg(long, value_name = "DIGEST")]
    plan: Option<Digest>,
}

/// Look after a job of the local backend.
#[derive(Debug, Args)]
pub struct Supervise {
    /// The job's directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}
