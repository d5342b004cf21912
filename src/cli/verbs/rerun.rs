//! `moorline rerun`: the same job again, in the same digest, whatever the tag says now.

use clap::Args as ClapArgs;

use crate::acquire;
use crate::cli::context::Context;
use crate::cli::context::engines;
use crate::cli::show::output::{self, CliError, Outcome, Report};
use crate::cli::verbs::submit;
use crate::failure::Kind;
use crate::ledger::JobRecord;
use crate::submit::{Earlier, Source, Way, new_job_id, of_earlier};

/// Submit a job again, with the same digest even when the tag has moved.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline rerun last
  moorline rerun --wait 01jd5k")]
pub struct Args {
    #[arg(value_name = "JOB", help = engines::one_job())]
    job: String,
    #[arg(long, value_name = "NAME", help = format!("Engine: {}; default: the job's", engines::choice()))]
    backend: Option<String>,
    /// Wait for the new job and take its exit code
    #[arg(long)]
    wait: bool,
}

/// The verb: prints the new job's id.
///
/// # Errors
/// When the job is unknown, its texts were erased, its image is gone, an input is lost or changed, or the
/// engine refuses.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let view = context.named(&[&args.job])?;
    let job = view.find(&args.job)?;
    let submission = job.last();
    let Some(mut spec) = submission.spec() else {
        return Err(CliError::new(
            Kind::NotFound,
            format!("job {} cannot be repeated: its command was erased from the ledger", job.id),
        )
        .into());
    };
    let inputs = inputs(context, job)?;
    spec.rerun_of = Some(job.id);
    spec.id = new_job_id(jiff::Timestamp::now())
        .map_err(|e| CliError::new(Kind::Configuration, format!("no random numbers: {e}")))?;
    let again = engines::again(submission.backend.as_str());
    let kind = args.backend.as_deref().unwrap_or(again);
    if engines::is_here(kind) {
        context.require_runtime(Some(spec.runtime))?;
    }
    let facts = engines::facts(kind).ok_or_else(|| submit::unknown(kind))?;
    let way = Way::again(&spec.delivery, facts);
    let ready = acquire::restage(context, &spec.image, &spec.delivery)?;
    (spec.image, spec.delivery) = (ready.image, ready.delivery);
    context.voice.say(format!("repeating {} in {}", job.which(), output::cell(&spec.image.name())));
    let files = submit::deliver(context, &mut spec, kind, way, inputs)?;
    submit::hand_over(context, &spec, kind, files, args.wait)
}

/// The files that the job started, as they were.
fn inputs(context: &Context, job: &JobRecord) -> Result<Vec<Source>, Report> {
    let inputs = of_earlier(job.last(), context.jobs_dir())?;
    for input in inputs.iter().filter(|input| input.earlier == Some(Earlier::Unmeasured)) {
        output::warn(format!(
            "job {} was submitted by an older moorline, which kept no digest of ./{}: it is taken as it is now",
            job.id,
            output::cell(&input.name)
        ));
    }
    Ok(inputs)
}
