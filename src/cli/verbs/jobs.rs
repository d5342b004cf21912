//! `moorline jobs`: the list of jobs.

use clap::Args as ClapArgs;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::show::output::{self, Outcome};
use crate::follow::{self, Known, Now};
use crate::job::{JobId, JobState};
use crate::ledger::{Payload, Source};
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
    /// Of a job as it is now.
    pub fn of(job: &Known<'_>) -> Self {
        let submission = job.record.last();
        let name = match &submission.personal {
            Payload::Present(personal) => personal.name.clone(),
            Payload::Erased | Payload::Left | Payload::Damaged(_) => None,
        };
        let Now { settled, engine, silent, .. } = &job.now;
        Self {
            job: job.record.id,
            state: settled.state,
            exit_code: settled.exit_code,
            settled_by: settled.source,
            engine: job.record.key().map(ToString::to_string),
            engine_state: engine.as_ref().and_then(|word| word.engine_state.clone()),
            engine_exit_code: engine.as_ref().and_then(|word| word.exit_code),
            reason: settled.reason.clone(),
            engine_silent: silent.is_some(),
            image: submission.image.name(),
            name,
            submitted: submission.time,
        }
    }

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

/// The verb.
///
/// # Errors
/// When the ledger cannot be read.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let (mut rows, more) = follow::list(context, args.state, args.last, Row::of)?;
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
