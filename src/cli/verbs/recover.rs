//! `moorline recover`: settles submissions that were interrupted.

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::context::adapters;
use crate::cli::show::output::{self, CliError, Outcome, Report};
use crate::cli::verbs::jobs;
use crate::failure::Kind;
use crate::follow::{self, Settled};
use crate::job::JobState;
use crate::ledger::index::{Filter, Page};
use crate::ledger::{JobRecord, Ledger, Outcome as Submitted, Payloads, Submission};

/// Settle submissions that were interrupted: asks the engine, never submits again.
#[derive(Debug, ClapArgs)]
pub struct Args {}

/// The verb: one line per submission that was settled, or whose end nobody had recorded.
///
/// # Errors
/// When the ledger cannot be read, or an engine does not answer for an open submission: the first of
/// these, after all were tried.
pub fn run(context: &Context, _: &Args) -> Outcome {
    let ids = context.look(|all| all.page(Filter::Running, Page::newest(usize::MAX)))?;
    let view = context.look(|all| all.view(&ids, Payloads::Loaded))?;
    // by the engine's own word: a receipt says how a job ended, and not under which number
    let is_open =
        |job: &&JobRecord| matches!(job.last().outcome, Submitted::Open | Submitted::Uncertain(_));
    let (open, begun): (Vec<&JobRecord>, Vec<&JobRecord>) =
        view.jobs().filter(|job| !job.last().word().state.is_final()).partition(is_open);
    if open.is_empty() && begun.is_empty() {
        context.voice.say("every submission is settled");
        return Ok(0);
    }
    let mut first = None;
    if !open.is_empty() {
        let ledger = context.ledger()?;
        for job in open {
            match settle(context, &ledger, job.last()) {
                Ok(words) => output::line(format!("{} {words}", job.id)),
                Err(report) => match first {
                    None => first = Some(report),
                    Some(_) => output::error(&report),
                },
            }
        }
    }
    // a `run` or supervisor that was killed records no end by itself
    for job in jobs::refresh(context, &begun)? {
        let row = job.row();
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
    first.map_or(Ok(0), Err)
}

fn settle(context: &Context, ledger: &Ledger, submission: &Submission) -> Result<String, Report> {
    let kind = &submission.backend;
    let backend = adapters::backend(context, kind).ok_or_else(|| {
        let kind = output::cell(kind);
        CliError::new(Kind::Engine, format!("this moorline knows no backend {kind}"))
    })?;
    let settled = follow::settle(ledger, backend.as_ref(), context.jobs_dir(), submission)?;
    let Settled::Found { key, copies, problems } = settled else {
        return Ok("uncertain".to_owned());
    };
    for problem in problems {
        output::warn(output::cell(&problem));
    }
    for copy in copies {
        context
            .voice
            .say(format!("{}: {copy} was a copy of it, and is ended", submission.entry.job));
    }
    Ok(format!("found {key}"))
}
