//! The one place that chooses an engine by its name.

use super::context::Context;
use crate::backend::{Backend, Local, Slurm};

/// The names on the command line.
pub const BACKENDS: [&str; 2] = ["local", "slurm"];

/// The engine of this kind; `None` when there is none of that name.
pub fn backend(context: &Context, kind: &str) -> Option<Box<dyn Backend>> {
    match kind {
        "local" => Some(Box::new(Local::new(
            context.program.clone(),
            context.jobs_dir().to_owned(),
            Context::engine_environment(),
        ))),
        "slurm" => Some(Box::new(Slurm::new(Context::engine_environment()))),
        _ => None,
    }
}
