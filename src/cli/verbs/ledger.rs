//! `moorline ledger`: looks after the ledger.

use clap::Subcommand;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::show::document;
use crate::cli::show::output::Outcome;
use crate::cli::show::plural::plural;
use crate::follow::{self, Swept};

/// Look after the ledger.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  moorline ledger collect")]
pub enum Verb {
    /// Collect the receipts and states of all jobs
    #[command(after_help = "\
Examples:
  moorline ledger collect")]
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
            context.voice.say(format!("{}, {open} of them not ended", plural(all, "job")));
            if context.voice.json {
                document::print(&json!({ "jobs": all, "not_ended": open }));
            }
            Ok(0)
        }
    }
}
