//! `moorline cancel`: ends jobs with all their processes.

use clap::Args as ClapArgs;

use super::adapters;
use super::context::Context;
use super::jobs;
use super::output::{CliError, Outcome};
use crate::failure::Kind;

/// End jobs with all their processes.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Job ids, unique beginnings of them, or engine ids such as slurm:123
    #[arg(value_name = "JOB", required = true)]
    jobs: Vec<String>,
}

/// The verb. A job that has ended already is no error.
///
/// # Errors
/// When a job is unknown, never reached an engine, or the engine refuses.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let view = context.view()?;
    let known = jobs::refresh(context, &jobs::find(&view, &args.jobs)?)?;
    let ledger = context.ledger()?;
    for job in known {
        let id = job.record.id;
        if job.seen.state.is_final() {
            context.voice.say(format!("{id}: has ended already ({})", job.seen.state));
            continue;
        }
        let submission = job.record.last();
        let (Some(key), Some(backend)) =
            (submission.key(), adapters::backend(context, &submission.backend))
        else {
            return Err(CliError::new(
                Kind::Engine,
                format!("job {id} cannot be cancelled: no engine is known to have it"),
            )
            .with_hint("moorline recover asks the engine for it")
            .into());
        };
        ledger.cancelled(&submission.entry)?;
        backend.cancel(key)?;
        context.voice.say(format!("{id}: cancelled"));
    }
    Ok(0)
}
