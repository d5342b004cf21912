//! `moorline audit export`: verdicts on jobs as a document for other programs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::audit::{JobAnswer, audit_job, junit};
use crate::cli::context::Context;
use crate::cli::context::engines;
use crate::cli::show::document;
use crate::cli::show::file;
use crate::cli::show::output::{self, Outcome, Report};
use crate::failure::Kind;
use crate::follow;
use crate::job::JobRef;
use crate::ledger::JobRecord;

/// `audit export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  moorline audit export --format junit -o junit.xml last")]
pub struct Export {
    #[arg(value_name = "JOB", required = true, help = engines::several_jobs())]
    jobs: Vec<String>,
    /// The document: junit, a test case for each job, as GitLab shows it in a merge request
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Format,
    /// Write this file instead of standard output
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What can be written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A test case for each job.
    Junit,
}

/// The verb. The exit code is 0 whatever the verdicts are: the document says them, and `audit job` exits with them.
///
/// # Errors
/// When a job is unknown, the ledger cannot be read, or the file cannot be written.
pub fn run(context: &Context, args: &Export) -> Outcome {
    let answers = answers(context, &args.jobs)?;
    let plain_only = context.config.policy.plain_match_only.as_ref().is_some_and(|set| set.value);
    let text = match args.format {
        Format::Junit => junit(&answers, plain_only),
    };
    let json = context.voice.json;
    match &args.output {
        None if json => document::print(&json!({ "format": "junit", "text": text })),
        None => output::bytes(text.as_bytes()),
        Some(path) => file::replace(path, &text, Kind::Configuration)?,
    }
    if let (Some(path), true) = (&args.output, json) {
        document::print(&json!({ "format": "junit", "path": path }));
    }
    Ok(0)
}

/// The answers for jobs, each with its state as of now.
///
/// # Errors
/// When one is unknown, or the ledger cannot be read.
pub fn answers(context: &Context, jobs: &[String]) -> Result<Vec<JobAnswer>, Report> {
    let view = context.named(jobs)?;
    // by their ids: `last` may be another one a moment later
    let ids = jobs.iter().map(|name| view.find(name).map(JobRecord::which));
    let ids: Vec<JobRef> = ids.collect::<Result<_, _>>()?;
    ids.iter().map(|id| answer(context, *id)).collect()
}

/// As `audit job` has it: the engine is asked about a job that has not ended, and receipts are collected.
fn answer(context: &Context, which: JobRef) -> Result<JobAnswer, Report> {
    let view = context.for_verdict(which)?;
    let jobs = view.which(which).into_iter().collect::<Vec<&JobRecord>>();
    let known = follow::refresh(context, &jobs)?;
    let mut answer = audit_job(&context.for_verdict(which)?, &which.to_string())?;
    if let Some(job) = known.first() {
        answer.state = job.now.settled.state;
    }
    Ok(answer)
}
