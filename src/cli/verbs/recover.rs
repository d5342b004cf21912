//! `moorline recover`: settles submissions that were interrupted.

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::show::document;
use crate::cli::show::failed::Failed;
use crate::cli::show::output::{self, Outcome};
use crate::cli::verbs::jobs::Row;
use crate::follow::{self, Known, Recovered, Settled};
use crate::job::{JobId, JobState};

/// Settle submissions that were interrupted: asks the engine, never submits again.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline recover")]
pub struct Args {}

/// The verb: one line per submission that was settled, or whose end nobody had recorded.
///
/// # Errors
/// When the ledger cannot be read, or an engine does not answer for an open submission: the first of
/// these, after all were tried.
pub fn run(context: &Context, _: &Args) -> Outcome {
    let mut failed = Failed::default();
    let mut told = Told { context, answers: Vec::new() };
    let looked_at = follow::recover(context, |job| match job {
        Recovered::Settled(job, settled) => told.settled(job.id, settled),
        Recovered::Failed(report) => failed.add(report),
        Recovered::Asked(job) => told.asked(job),
    })?;
    if looked_at == 0 {
        context.voice.say("every submission is settled");
    }
    if context.voice.json {
        document::print(&told.answers);
    }
    failed.end()
}

/// What is said: at once for people, at the end as JSON.
struct Told<'c> {
    context: &'c Context,
    answers: Vec<Value>,
}

impl Told<'_> {
    fn answer(&mut self, job: JobId, outcome: &str) {
        if self.context.voice.json {
            self.answers.push(json!({ "job": job, "outcome": outcome }));
        } else {
            output::line(format!("{job} {}", output::cell(outcome)));
        }
    }

    fn settled(&mut self, job: JobId, settled: Settled) {
        let (key, copies, problems) = match settled {
            Settled::Found { key, copies, problems } => (key, copies, problems),
            Settled::NotFound => return self.answer(job, "uncertain"),
            Settled::NotYet(left) => {
                let seconds = left.as_secs().max(1);
                self.context
                    .voice
                    .say(format!("{job}: its engine may show it late; ask again in {seconds} s"));
                return self.answer(job, "uncertain");
            }
        };
        for problem in problems {
            output::warn(output::cell(&problem));
        }
        for copy in copies {
            self.context.voice.say(format!("{job}: {copy} was a copy of it, and is ended"));
        }
        self.answer(job, &format!("found {key}"));
    }

    fn asked(&mut self, job: &Known<'_>) {
        let row = Row::of(self.context.jobs_dir(), job);
        match (job.now.is_final(), &row.engine_state) {
            (true, word) => {
                let word = word.clone().unwrap_or_else(|| row.state.to_string());
                self.answer(row.job.job, &word);
            }
            (false, _) if row.state == JobState::Running => {
                self.context.voice.say(format!("{}: runs", row.job));
            }
            (false, _) => self.context.voice.say(format!("{}: {}", row.job, row.state())),
        }
    }
}
