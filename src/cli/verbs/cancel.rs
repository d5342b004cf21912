//! `moorline cancel`: ends jobs with all their processes.

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::context::adapters;
use crate::cli::context::engines;
use crate::cli::show::output::{self, CliError, Outcome, Report};
use crate::cli::verbs::jobs::{self, Known};
use crate::failure::Kind;
use crate::ledger::Ledger;

/// End jobs with all their processes.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[arg(value_name = "JOB", required = true, help = engines::several_jobs())]
    jobs: Vec<String>,
}

/// The verb. A job that has ended already is no error; one that cannot be ended keeps no other from it.
///
/// # Errors
/// When a job is unknown, never reached an engine, or its engine refuses or does not answer: the first of
/// these, after all jobs were tried.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let view = context.named(&args.jobs)?;
    let known = jobs::refresh(context, &jobs::find(&view, &args.jobs)?)?;
    let ledger = context.ledger()?;
    let mut first = None;
    for job in &known {
        if let Err(report) = cancel(context, &ledger, job) {
            match first {
                None => first = Some(report),
                Some(_) => output::error(&report),
            }
        }
    }
    first.map_or(Ok(0), Err)
}

fn cancel(context: &Context, ledger: &Ledger, job: &Known<'_>) -> Result<(), Report> {
    let id = job.record.id;
    let ended = || {
        context.voice.say(format!("{id}: has ended already ({})", job.now.settled.state));
        Ok(())
    };
    // a receipt alone does not say whether something of the job is left: its engine is asked to look
    let nobody = job.record.key().is_none() || job.now.forgotten;
    if job.now.engine_ended() || (job.now.is_final() && nobody) {
        return ended();
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
    match backend.cancel(key) {
        Ok(()) => context.voice.say(format!("{id}: cancelled")),
        Err(_) if job.now.is_final() => return ended(),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
