//! `moorline recover`: settles submissions that were interrupted.

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::show::failed::Failed;
use crate::cli::show::output::{self, Outcome};
use crate::cli::verbs::jobs::Row;
use crate::follow::{self, Known, Recovered, Settled};
use crate::job::{JobId, JobState};

/// Settle submissions that were interrupted: asks the engine, never submits again.
#[derive(Debug, ClapArgs)]
pub struct Args {}

/// The verb: one line per submission that was settled, or whose end nobody had recorded.
///
/// # Errors
/// When the ledger cannot be read, or an engine does not answer for an open submission: the first of
/// these, after all were tried.
pub fn run(context: &Context, _: &Args) -> Outcome {
    let mut failed = Failed::default();
    let looked_at = follow::recover(context, |job| match job {
        Recovered::Settled(job, settled) => show_settled(context, job.id, settled),
        Recovered::Failed(report) => failed.add(report),
        Recovered::Asked(job) => show_asked(context, job),
    })?;
    if looked_at == 0 {
        context.voice.say("every submission is settled");
    }
    failed.end()
}

fn show_settled(context: &Context, job: JobId, settled: Settled) {
    let Settled::Found { key, copies, problems } = settled else {
        return output::line(format!("{job} uncertain"));
    };
    for problem in problems {
        output::warn(output::cell(&problem));
    }
    for copy in copies {
        context.voice.say(format!("{job}: {copy} was a copy of it, and is ended"));
    }
    output::line(format!("{job} found {key}"));
}

fn show_asked(context: &Context, job: &Known<'_>) {
    let row = Row::of(job);
    match (job.now.is_final(), &row.engine_state) {
        (true, word) => {
            let word = word.clone().unwrap_or_else(|| row.state.to_string());
            output::line(format!("{} {}", row.job, output::cell(&word)));
        }
        (false, _) if row.state == JobState::Running => {
            context.voice.say(format!("{}: runs", row.job));
        }
        (false, _) => context.voice.say(format!("{}: {}", row.job, row.state())),
    }
}
