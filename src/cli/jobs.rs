//! `moorline jobs`: the list of jobs; and how every verb finds jobs and learns their state.

use std::collections::BTreeMap;

use clap::Args as ClapArgs;
use serde::Serialize;

use super::adapters;
use super::context::Context;
use super::mark;
use super::output::{self, Outcome, Report};
use crate::follow;
use crate::job::{JobId, JobState, Observation};
use crate::ledger::{JobRecord, Payload, View};

/// List jobs, newest last.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Only jobs in this state
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// At most this many, the newest
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: usize,
}

/// One job as `--json` shows it.
#[derive(Serialize)]
pub struct Row {
    /// The job.
    pub job: JobId,
    /// Its state.
    pub state: JobState,
    /// As a shell would give it.
    pub exit_code: Option<i32>,
    /// Its engine's name for it.
    pub engine: Option<String>,
    /// The engine's own word for the state.
    pub engine_state: Option<String>,
    /// Why it waits or failed.
    pub reason: Option<String>,
    /// The pinned image.
    pub image: String,
    /// What the user calls it.
    pub name: Option<String>,
    /// When it was submitted.
    pub submitted: jiff::Timestamp,
}

/// A job with its state as of now.
pub struct Known<'v> {
    /// From the ledger.
    pub record: &'v JobRecord,
    /// As just asked.
    pub seen: Observation,
}

impl Known<'_> {
    /// The job as `--json` shows it.
    pub fn row(&self) -> Row {
        let submission = self.record.last();
        let name = match &submission.personal {
            Payload::Present(personal) => personal.name.clone(),
            Payload::Erased | Payload::Damaged(_) => None,
        };
        Row {
            job: self.record.id,
            state: self.seen.state,
            exit_code: self.seen.exit_code,
            engine: self.record.key().map(ToString::to_string),
            engine_state: self.seen.engine_state.clone(),
            reason: self.seen.reason.clone(),
            image: submission.image.name(),
            name,
            submitted: submission.time,
        }
    }
}

/// Finds each job that was named, in the order given.
///
/// # Errors
/// When one is unknown, or names several.
pub fn find<'v>(view: &'v View, names: &[String]) -> Result<Vec<&'v JobRecord>, Report> {
    names.iter().map(|name| view.find(name).map_err(Report::from)).collect()
}

/// Asks the engines for the jobs' states and collects their receipts; both go into the ledger.
///
/// # Errors
/// When an engine could not be asked, or the ledger not be written.
pub fn refresh<'v>(context: &Context, jobs: &[&'v JobRecord]) -> Result<Vec<Known<'v>>, Report> {
    let ledger = context.ledger()?;
    let mut by_kind: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, job) in jobs.iter().enumerate() {
        by_kind.entry(job.last().backend.as_str()).or_default().push(i);
    }
    let mut seen: Vec<Observation> = jobs.iter().map(|job| follow::known(job.last())).collect();
    for (kind, indices) in by_kind {
        // jobs of `run` have no engine that could be asked
        let Some(backend) = adapters::backend(context, kind) else { continue };
        let those: Vec<&JobRecord> = indices.iter().map(|i| jobs[*i]).collect();
        for (i, state) in indices.iter().zip(follow::ask(&ledger, backend.as_ref(), &those)?) {
            if state.state.is_final() && !seen[*i].state.is_final() {
                mark::unmark(context, &jobs[*i].last().image, &jobs[*i].id);
            }
            seen[*i] = state;
        }
    }
    for job in jobs {
        for submission in &job.submissions {
            for problem in follow::collect(&ledger, submission, context.jobs_dir())? {
                output::warn(problem);
            }
        }
    }
    Ok(jobs.iter().zip(seen).map(|(record, seen)| Known { record, seen }).collect())
}

/// The table of `jobs` and `status`.
pub fn table(rows: &[Row]) -> String {
    let mut lines =
        vec![["JOB", "STATE", "EXIT", "ENGINE", "SUBMITTED", "IMAGE"].map(String::from).to_vec()];
    for row in rows {
        lines.push(vec![
            row.job.to_string(),
            row.state.to_string(),
            row.exit_code.map_or_else(|| "-".into(), |code| code.to_string()),
            row.engine.as_deref().map_or_else(|| "-".into(), |e| short_engine(e, row.job)),
            row.submitted.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            output::cell(&short_image(&row.image)),
        ]);
    }
    output::table(&lines)
}

/// The local engine's ids are the job's own: the kind says enough.
fn short_engine(engine: &str, job: JobId) -> String {
    output::cell(engine.strip_suffix(&format!(":{job}")).unwrap_or(engine))
}

/// `group/project@sha256:0123456789ab`: enough for a person; `--json` has the whole.
fn short_image(name: &str) -> String {
    match name.split_once("@sha256:") {
        Some((repository, hex)) => {
            let path = repository.split_once('/').map_or(repository, |(_, path)| path);
            format!("{path}@sha256:{}", hex.get(..12).unwrap_or(hex))
        }
        None => name.to_owned(),
    }
}

/// The verb.
///
/// # Errors
/// When the ledger cannot be read or an engine not be asked.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let view = context.view()?;
    let mut jobs: Vec<&JobRecord> = view.jobs().collect();
    let hidden = jobs.len().saturating_sub(args.last);
    jobs.drain(..hidden);
    let mut rows: Vec<Row> = refresh(context, &jobs)?.iter().map(Known::row).collect();
    if let Some(state) = &args.state {
        rows.retain(|row| row.state.to_string() == *state);
    }
    if context.voice.json {
        output::json(&rows);
    } else if rows.is_empty() {
        context.voice.say("no jobs");
    } else {
        output::line(table(&rows));
        if hidden > 0 {
            context.voice.say(format!("({hidden} older ones: --last {})", hidden + args.last));
        }
    }
    Ok(0)
}
