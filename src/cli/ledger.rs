//! `moorline ledger`: looks after the ledger.

use clap::Subcommand;

use super::context::Context;
use super::jobs;
use super::output::Outcome;
use crate::ledger::JobRecord;

/// Look after the ledger.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Collect the receipts and states of all jobs
    Collect,
}

/// The verb.
///
/// # Errors
/// When the ledger cannot be read. An engine that does not answer is a warning.
pub fn run(context: &Context, verb: &Verb) -> Outcome {
    match verb {
        Verb::Collect => {
            let view = context.view()?;
            let all: Vec<&JobRecord> = view.jobs().collect();
            let known = jobs::refresh(context, &all)?;
            let open = known.iter().filter(|job| !job.now.is_final()).count();
            context.voice.say(format!("{} jobs, {open} of them not ended", known.len()));
            Ok(0)
        }
    }
}
