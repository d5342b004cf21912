//! `moorline ledger`: looks after the ledger.

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::show::output::Outcome;
use crate::follow::{self, Swept};

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
            let Swept { all, open } = follow::collect_all(context)?;
            context.voice.say(format!("{all} jobs, {open} of them not ended"));
            Ok(0)
        }
    }
}
