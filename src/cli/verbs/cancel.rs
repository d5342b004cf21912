//! `moorline cancel`: ends jobs with all their processes.

use clap::Args as ClapArgs;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::context::engines;
use crate::cli::show::document;
use crate::cli::show::failed::Failed;
use crate::cli::show::output::Outcome;
use crate::failure::Report;
use crate::follow::{self, Cancelled, Engines};

/// End jobs with all their processes.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline cancel last
  moorline cancel 01jd5k 01jd5m
  moorline cancel last.7")]
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
    // one that does not answer is waited for once, however many jobs were named
    let engines = Engines::of(context);
    let known = follow::refresh_by(&engines, &view.find_all(&args.jobs)?)?;
    let ledger = context.ledger()?;
    let mut failed = Failed::default();
    let mut answers = Vec::new();
    for job in &known {
        let (id, state) = (job.record.which(), job.now.settled.state);
        let (outcome, error) = match follow::cancel(&engines, &ledger, job) {
            Ok(Cancelled::Told) => {
                context.voice.say(format!("{id}: cancelled"));
                (Some("cancelled"), None)
            }
            Ok(Cancelled::HadEnded) => {
                context.voice.say(format!("{id}: has ended already ({state})"));
                (Some("had ended"), None)
            }
            Err(error) => {
                let said = error.to_string();
                failed.add(Report::from(error));
                (None, Some(said))
            }
        };
        answers.push(json!({ "job": id, "outcome": outcome, "error": error }));
    }
    if context.voice.json {
        document::print(&answers);
    }
    failed.end()
}
