//! The one place that chooses an engine by its name.

use super::context::Context;
use crate::backend::{Backend, FOREGROUND, Foreground, Local, Slurm};

/// The names on the command line.
pub const BACKENDS: [&str; 2] = ["local", "slurm"];

/// The engine of this kind; `None` when there is none of that name.
pub fn backend(context: &Context, kind: &str) -> Option<Box<dyn Backend>> {
    let jobs = || context.jobs_dir().to_owned();
    match kind {
        "local" => Some(Box::new(Local::new(
            context.program.clone(),
            jobs(),
            Context::engine_environment(),
        ))),
        "slurm" => Some(Box::new(Slurm::new(Context::engine_environment()))),
        FOREGROUND => Some(Box::new(Foreground::new(jobs()))),
        _ => None,
    }
}
