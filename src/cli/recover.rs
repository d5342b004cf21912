//! `moorline recover`: settles submissions that were interrupted.

use clap::Args as ClapArgs;

use super::adapters;
use super::context::Context;
use super::output::{self, Outcome};
use super::running;
use crate::follow::{self, Settled};
use crate::job::JobState;
use crate::ledger::{JobRecord, Outcome as Submitted};

/// Settle submissions that were interrupted: asks the engine, never submits again.
#[derive(Debug, ClapArgs)]
pub struct Args {}

/// The verb: one line per open submission.
///
/// # Errors
/// When the ledger or an engine cannot be asked.
pub fn run(context: &Context, _: &Args) -> Outcome {
    let view = context.view()?;
    let open: Vec<&JobRecord> = view
        .jobs()
        .filter(|job| match job.last().outcome {
            Submitted::Open | Submitted::Uncertain(_) => true,
            // nobody but the `run` itself records its end
            Submitted::Submitted(_) => job.last().backend == running::KIND,
            Submitted::Refused(_) => false,
        })
        .filter(|job| !job.state().is_final())
        .collect();
    if open.is_empty() {
        context.voice.say("every submission is settled");
        return Ok(0);
    }
    let ledger = context.ledger()?;
    for job in open {
        let submission = job.last();
        let Some(backend) = adapters::backend(context, &submission.backend) else {
            let control = context.jobs_dir().join(job.id.to_string()).join("control");
            if running::lives(&control) {
                context.voice.say(format!("{}: runs", job.id));
                continue;
            }
            // a `run` that was killed: there is no engine, and nothing runs any more
            ledger.observed(
                &submission.entry,
                &crate::job::Observation {
                    reason: Some("the run was interrupted before it could record its end".into()),
                    ..crate::job::Observation::of(JobState::Failed)
                },
            )?;
            output::line(format!("{} interrupted", job.id));
            continue;
        };
        match follow::settle(&ledger, backend.as_ref(), submission)? {
            Settled::Found(key) => output::line(format!("{} found {key}", job.id)),
            Settled::NotFound => output::line(format!("{} uncertain", job.id)),
        }
    }
    Ok(0)
}
