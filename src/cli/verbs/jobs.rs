//! `moorline jobs`: the list of jobs; and how every verb finds jobs and learns their state.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args as ClapArgs;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::context::adapters;
use crate::cli::context::mark;
use crate::cli::show::output::{self, Outcome, Report};
use crate::follow::{self, Now, Refresh};
use crate::job::{JobId, JobState};
use crate::ledger::index::{Filter, Page};
use crate::ledger::{JobRecord, Payload, Payloads, Source, View};
use crate::worker::exit;

/// List jobs, newest last.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Only jobs in this state: submitting, submitted, running, completed, failed, killed or unknown
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<JobState>,
    /// At most this many, the newest
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: usize,
}

/// One job as `--json` shows it.
#[derive(Serialize)]
pub struct Row {
    /// The job.
    pub job: JobId,
    /// Its state: what counts.
    pub state: JobState,
    /// As a shell would give it.
    pub exit_code: Option<i32>,
    /// Whose word both are: `receipt`, `engine`, or `ledger` while nobody has said anything.
    pub settled_by: Source,
    /// Its engine's name for it.
    pub engine: Option<String>,
    /// The engine's own word for the state.
    pub engine_state: Option<String>,
    /// The engine's own exit code; some engines lose those above 127.
    pub engine_exit_code: Option<i32>,
    /// Why it waits or failed.
    pub reason: Option<String>,
    /// The engine did not answer: the state is unknown, or as old as its last word.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub engine_silent: bool,
    /// The pinned image.
    pub image: String,
    /// What the user calls it.
    pub name: Option<String>,
    /// When it was submitted.
    pub submitted: jiff::Timestamp,
}

impl Row {
    /// The state for people: *unknown* says why where it is short.
    pub fn state(&self) -> String {
        match (&self.engine, self.engine_silent, self.state) {
            (Some(engine), true, JobState::Unknown) => {
                let kind = engine.split(':').next().unwrap_or_default();
                format!("unknown ({kind} does not answer)")
            }
            _ => self.state.to_string(),
        }
    }

    /// What stands beside the state: the meaning of Moorline's own codes, the reason, and the engine's
    /// word where the receipt's counts instead.
    pub fn remarks(&self) -> Vec<String> {
        let meaning = self.exit_code.and_then(exit::meaning).map(str::to_owned);
        let reason = self.reason.as_deref().map(output::cell);
        let mut remarks: Vec<String> = meaning.into_iter().chain(reason).collect();
        let differs = self.engine_exit_code.is_some() && self.engine_exit_code != self.exit_code;
        if self.settled_by == Source::Receipt
            && let (true, Some(word)) = (differs, &self.engine_state)
        {
            let kind = self.engine.as_deref().and_then(|e| e.split(':').next()).unwrap_or("it");
            let code = self.engine_exit_code.map(|code| format!(", exit code {code}"));
            remarks.push(format!(
                "{} says {}{}; the worker's receipt counts",
                output::cell(kind),
                output::cell(word),
                code.unwrap_or_default()
            ));
        }
        remarks
    }
}

/// A job with its state as of now.
pub struct Known<'v> {
    /// From the ledger.
    pub record: &'v JobRecord,
    /// As just asked.
    pub now: Now,
}

impl Known<'_> {
    /// The job as `--json` shows it.
    pub fn row(&self) -> Row {
        let submission = self.record.last();
        let name = match &submission.personal {
            Payload::Present(personal) => personal.name.clone(),
            Payload::Erased | Payload::Left | Payload::Damaged(_) => None,
        };
        let Now { settled, engine, silent, .. } = &self.now;
        Row {
            job: self.record.id,
            state: settled.state,
            exit_code: settled.exit_code,
            settled_by: settled.source,
            engine: self.record.key().map(ToString::to_string),
            engine_state: engine.as_ref().and_then(|word| word.engine_state.clone()),
            engine_exit_code: engine.as_ref().and_then(|word| word.exit_code),
            reason: settled.reason.clone(),
            engine_silent: silent.is_some(),
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

/// Asks the engines for the states of those jobs that have not ended and collects the receipts of all;
/// both go into the ledger. What cannot be asked or recorded is a warning: what is known here is shown.
///
/// # Errors
/// When the ledger is not safe: others could have written what is shown.
pub fn refresh<'v>(context: &Context, jobs: &[&'v JobRecord]) -> Result<Vec<Known<'v>>, Report> {
    let Refreshed { known, warnings, silences } = quiet_refresh(context, jobs)?;
    for warning in warnings.iter().chain(&silences) {
        output::warn(output::cell(warning));
    }
    Ok(known)
}

/// What a refresh learnt.
pub struct Refreshed<'v> {
    /// In the order asked.
    pub known: Vec<Known<'v>>,
    /// Sentences about files that could not be read, and the like.
    pub warnings: Vec<String>,
    /// One sentence for each engine that does not answer.
    pub silences: Vec<String>,
}

/// Collects the receipts of jobs and asks no engine.
///
/// # Errors
/// As [`refresh`].
pub fn collect(context: &Context, jobs: &[&JobRecord]) -> Result<(), Report> {
    for warning in refreshed(context, jobs, false)?.warnings {
        output::warn(output::cell(&warning));
    }
    Ok(())
}

/// Refreshes the whole ledger, a page at a time: receipts of all jobs are collected, engines are asked for those
/// that have not ended. Says how many jobs there are, and how many have not ended.
///
/// # Errors
/// As [`refresh`].
pub fn collect_all(context: &Context) -> Result<(usize, usize), Report> {
    let (mut all, mut open) = (0, 0);
    let mut said = BTreeSet::new();
    // without payloads: nothing of them is shown
    context.pages(Filter::All, Page::newest(PAGE), Payloads::Left, |view| {
        all += view.jobs().count();
        let ended = |job: &&JobRecord| job.last().word().state.is_final();
        let (ended, others): (Vec<&JobRecord>, Vec<&JobRecord>) = view.jobs().partition(ended);
        said.extend(refreshed(context, &ended, false)?.warnings);
        let ids: Vec<JobId> = others.iter().map(|job| job.id).collect();
        let others = context.look(|all| all.view(&ids, Payloads::Loaded))?;
        let others: Vec<&JobRecord> = others.jobs().collect();
        let Refreshed { known, warnings, silences } = quiet_refresh(context, &others)?;
        open += known.iter().filter(|job| !job.now.is_final()).count();
        said.extend(warnings.into_iter().chain(silences));
        Ok(())
    })?;
    for warning in said {
        output::warn(output::cell(&warning));
    }
    Ok((all, open))
}

/// Collects what jobs have left since they were looked at last, the newest of those of which something may still
/// be learnt; no engine is asked.
///
/// # Errors
/// As [`refresh`].
pub fn collect_open(context: &Context) -> Result<(), Report> {
    let ids = context.look(|all| all.page(Filter::Open, Page::newest(MOST_OPEN)))?;
    for ids in ids.chunks(PAGE) {
        let view = context.look(|all| all.view(ids, Payloads::Left))?;
        collect(context, &view.jobs().collect::<Vec<&JobRecord>>())?;
    }
    Ok(())
}

/// So many jobs are in memory at once.
const PAGE: usize = 500;
/// So many jobs that left no receipt are looked at again and again.
const MOST_OPEN: usize = 2000;

/// As [`refresh`], and says nothing: for whoever asks again and again.
///
/// # Errors
/// As [`refresh`].
pub fn quiet_refresh<'v>(
    context: &Context,
    jobs: &[&'v JobRecord],
) -> Result<Refreshed<'v>, Report> {
    refreshed(context, jobs, true)
}

fn refreshed<'v>(
    context: &Context,
    jobs: &[&'v JobRecord],
    ask: bool,
) -> Result<Refreshed<'v>, Report> {
    let (mut warnings, mut silences) = (Vec::new(), Vec::new());
    let ledger = match context.ledger_if_writable()? {
        Ok(ledger) => Some(ledger),
        Err(why) => {
            warnings.push(why);
            None
        }
    };
    let mut by_kind: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, job) in jobs.iter().enumerate() {
        by_kind.entry(job.last().backend.as_str()).or_default().push(i);
    }
    let mut known: BTreeMap<usize, Now> = BTreeMap::new();
    for (kind, indices) in by_kind {
        // a newer program may know engines that this one does not
        let backend = Some(kind).filter(|_| ask).and_then(|kind| adapters::backend(context, kind));
        let those: Vec<&JobRecord> = indices.iter().map(|i| jobs[*i]).collect();
        let refreshed =
            Refresh::of(ledger.as_ref(), backend.as_deref(), context.jobs_dir(), &those);
        warnings.extend(refreshed.warnings);
        silences.extend(refreshed.silence);
        for (job, now) in those.iter().zip(&refreshed.jobs) {
            if now.is_final() && !job.last().word().state.is_final() {
                let last = job.last();
                mark::unmark(context, &last.image, last.delivery.place(), &job.id);
            }
        }
        known.extend(indices.into_iter().zip(refreshed.jobs));
    }
    let known = known.into_iter().map(|(i, now)| Known { record: jobs[i], now }).collect();
    Ok(Refreshed { known, warnings, silences })
}

/// The table of `jobs` and `status`.
pub fn table(rows: &[Row]) -> String {
    let mut lines =
        vec![["JOB", "STATE", "EXIT", "ENGINE", "SUBMITTED", "IMAGE"].map(String::from).to_vec()];
    for row in rows {
        lines.push(vec![
            row.job.to_string(),
            row.state(),
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

/// A state that a job can be in.
fn state(text: &str) -> Result<JobState, String> {
    JobState::ALL.iter().find(|(name, _)| *name == text).map(|(_, state)| *state).ok_or_else(|| {
        let names: Vec<_> = JobState::ALL.iter().map(|(name, _)| *name).collect();
        format!("known states: {}", names.join(", "))
    })
}

fn newest(context: &Context, args: &Args) -> Result<(Vec<Row>, bool), Report> {
    let filter = args.state.map_or(Filter::All, Filter::State);
    let mut said = BTreeSet::new();
    let now = |ids: &[JobId]| {
        let view = context.look(|all| all.view(ids, Payloads::Loaded))?;
        let jobs: Vec<&JobRecord> = view.jobs().rev().collect();
        let Refreshed { known, warnings, silences } = quiet_refresh(context, &jobs)?;
        said.extend(warnings.into_iter().chain(silences));
        Ok(known.iter().map(Known::row).collect())
    };
    let page = |page| context.look(|all| all.page(filter, page));
    let wanted = |row: &Row| args.state.is_none_or(|state| row.state == state);
    let found = follow::newest(args.last, page, now, wanted);
    for warning in said {
        output::warn(output::cell(&warning));
    }
    found
}

/// The verb.
///
/// # Errors
/// When the ledger cannot be read.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let (mut rows, more) = newest(context, args)?;
    rows.reverse();
    if context.voice.json {
        output::json(&rows);
    } else if rows.is_empty() {
        context.voice.say("no jobs");
    } else {
        output::line(table(&rows));
        if more {
            context.voice.say(format!("(there are older ones: --last {})", args.last * 5));
        }
    }
    Ok(0)
}
