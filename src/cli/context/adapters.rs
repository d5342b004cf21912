//! The one place that chooses an engine by its name.

use crate::backend::{self, Backend, Surroundings};
use crate::cli::context::Context;

/// The engine of this kind; `None` when there is none of that name.
pub fn backend(context: &Context, kind: &str) -> Option<Box<dyn Backend>> {
    let around = Surroundings {
        program: context.program.clone(),
        jobs: context.jobs_dir().to_owned(),
        environment: Context::engine_environment(),
    };
    backend::named(kind, &around)
}
