//! `moorline ledger`: looks after the ledger.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::show::document;
use crate::cli::show::failed::Failed;
use crate::cli::show::output::{self, Outcome};
use crate::cli::show::plural::plural;
use crate::follow::{self, Swept};
use crate::ledger::{self, Merged, Wanted};

/// Look after the ledger.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  moorline ledger collect
  moorline ledger merge moorline-artifacts/ledger")]
pub enum Verb {
    /// Collect the receipts and states of all jobs
    #[command(after_help = "\
Examples:
  moorline ledger collect")]
    Collect,
    /// Copy the records of other ledgers into this one: of CI jobs, of other machines
    Merge(Merge),
}

/// `ledger merge`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  moorline ledger merge moorline-artifacts/ledger
  MOORLINE_LEDGER=/shared/ledger moorline ledger merge jobs/*/ledger")]
pub struct Merge {
    /// Where the other ledgers are, such as unpacked artifacts; their chains are checked
    #[arg(value_name = "DIR", required = true)]
    dirs: Vec<PathBuf>,
    /// Copy names, paths and arguments, too, as far as they are there
    #[arg(long)]
    personal: bool,
    /// Take records of jobs that this ledger recorded by itself: DIR is a copy of it
    #[arg(long)]
    same_jobs: bool,
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
        Verb::Merge(args) => merge(context, args),
    }
}

/// Each by itself: what is wrong with one keeps no other out.
fn merge(context: &Context, args: &Merge) -> Outcome {
    let wanted = Wanted { personal: args.personal, same_jobs: args.same_jobs };
    let (mut failed, mut all) = (Failed::default(), Vec::new());
    for dir in &args.dirs {
        let shown = output::cell(&dir.display().to_string());
        match ledger::merge(dir, context.ledger_dir(), wanted) {
            Ok(merged) if merged == Merged::default() => {
                context.voice.say(format!("{shown}: nothing new"));
                all.push((dir, merged));
            }
            Ok(merged) => {
                let Merged { writers, records, jobs, payloads } = merged;
                let count = |count, one| plural(count, one);
                let (records, jobs) = (count(records, "record"), count(jobs, "job"));
                let (writers, payloads) = (count(writers, "writer"), count(payloads, "payload"));
                context
                    .voice
                    .say(format!("{shown}: {records} of {writers} about {jobs}, {payloads}"));
                all.push((dir, merged));
            }
            Err(error) => failed.add(error.into()),
        }
    }
    if context.voice.json {
        let rows: Vec<_> =
            all.iter().map(|(dir, done)| json!({ "ledger": dir, "new": done })).collect();
        document::print(&rows);
    }
    failed.end()
}
