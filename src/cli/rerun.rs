//! `moorline rerun`: the same job again, in the same digest, whatever the tag says now.

use clap::Args as ClapArgs;

use super::context::Context;
use super::image;
use super::output::{self, CliError, Outcome};
use super::running;
use super::submit;
use crate::failure::Kind;
use crate::submit::new_job_id;

/// Submit a job again, with the same digest even when the tag has moved.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Job id, a unique beginning of it, or an engine id such as slurm:123
    #[arg(value_name = "JOB")]
    job: String,
    /// Engine: local or slurm; default: the job's
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// Wait for the new job and take its exit code
    #[arg(long)]
    wait: bool,
}

/// The verb: prints the new job's id.
///
/// # Errors
/// When the job is unknown, its texts were erased, its image is gone, or the engine refuses.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let view = context.view()?;
    let job = view.find(&args.job)?;
    let submission = job.last();
    let Some(mut spec) = submission.spec() else {
        return Err(CliError::new(
            Kind::NotFound,
            format!("job {} cannot be repeated: its command was erased from the ledger", job.id),
        )
        .into());
    };
    spec.rerun_of = Some(job.id);
    spec.id = new_job_id(jiff::Timestamp::now())
        .map_err(|e| CliError::new(Kind::Configuration, format!("no random numbers: {e}")))?;
    let kind = args.backend.as_deref().unwrap_or(&submission.backend);
    // a job of `run` is repeated by the local engine
    let kind = if kind == running::KIND { "local" } else { kind };
    if kind == "local" {
        context.require_runtime(Some(spec.runtime))?;
    }
    spec.image = image::restage(context, &spec.image)?;
    let inputs = submit::inputs_of(context, job.id, &spec.command);
    context.voice.say(format!("repeating {} in {}", job.id, output::cell(&spec.image.name())));
    submit::hand_over(context, &spec, kind, inputs, args.wait)
}
