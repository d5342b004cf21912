//! `moorline wait`: until jobs have ended, then with their exit code.

use std::thread;
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::context::engines;
use crate::cli::show::interrupted::Interrupted;
use crate::cli::show::output::{self, CliError, Outcome, Report};
use crate::cli::verbs::jobs::{self, Known, Refreshed};
use crate::failure::Kind;
use crate::follow::{Limits, Patience, Verdict};
use crate::job::{JobId, JobState};
use crate::ledger::{JobRecord, View};
use crate::worker::exit;

/// Wait for jobs and take their exit code.
///
/// With several jobs the code is the first one, in the order given, that is not 0. An engine that does not
/// answer is asked again; the jobs go on meanwhile.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[arg(value_name = "JOB", required = true, help = engines::several_jobs())]
    jobs: Vec<String>,
    /// Give up after this many seconds; the jobs go on
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Give up when the engine has not known a job for this many seconds [default: 300]
    #[arg(long, value_name = "SECONDS")]
    unknown: Option<u64>,
    /// Give up when the engine has not answered for this many seconds [default: 86400]
    #[arg(long, value_name = "SECONDS")]
    silent: Option<u64>,
}

/// The verb: the exit code is the job's.
///
/// # Errors
/// When a job is unknown, nobody can say how it ended, or the time is up.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let usual = limits(context);
    let limits = Limits {
        unknown: args.unknown.map_or(usual.unknown, Duration::from_secs),
        silent: args.silent.map_or(usual.silent, Duration::from_secs),
    };
    let timeout = args.timeout.map(Duration::from_secs);
    let rows = until_ended(context, &args.jobs, timeout, limits)?;
    if context.voice.json {
        output::json(&rows);
    }
    let codes: Vec<u8> = rows.iter().map(|row| tell(context, row)).collect();
    Ok(codes.into_iter().find(|code| *code != 0).unwrap_or(0))
}

/// How long nobody may say how a job is: the configuration's, else the program's.
pub fn limits(context: &Context) -> Limits {
    let usual = Limits::default();
    let (wait, seconds) = (&context.config.wait, Duration::from_secs);
    Limits {
        unknown: wait.unknown.as_ref().map_or(usual.unknown, |v| seconds(v.value)),
        silent: wait.silent.as_ref().map_or(usual.silent, |v| seconds(v.value)),
    }
}

/// Says how a job ended and gives the exit code that stands for it.
pub fn tell(context: &Context, row: &jobs::Row) -> u8 {
    context.voice.say(ending(row));
    exit_code(row)
}

/// Asks again and again until all jobs have ended.
///
/// # Errors
/// As [`run`].
pub fn until_ended(
    context: &Context,
    names: &[String],
    timeout: Option<Duration>,
    limits: Limits,
) -> Result<Vec<jobs::Row>, Report> {
    let start = Instant::now();
    let _interrupted = Interrupted::says(&names.join(" "));
    let mut patience = Patience::new(limits);
    let mut told = Told::default();
    // once: `last` may be another one a moment later
    let mut view = context.named(names)?;
    let ids = jobs::find(&view, names)?.iter().map(|job| job.id).collect::<Vec<JobId>>();
    loop {
        let Refreshed { known, warnings, .. } = jobs::quiet_refresh(context, &these(&view, &ids)?)?;
        told.warnings(warnings);
        if known.iter().all(|job| job.now.is_final()) {
            return Ok(known.iter().map(Known::row).collect());
        }
        if let Some(job) = known
            .iter()
            .find(|job| job.now.settled.state == JobState::Unknown && job.record.key().is_none())
        {
            return Err(CliError::new(
                Kind::Engine,
                format!("job {}: it is uncertain whether the engine took it", job.record.id),
            )
            .with_hint("moorline recover asks the engine again")
            .into());
        }
        told.states(context, &known);
        let open = || known.iter().filter(|job| !job.now.is_final());
        let silent = open().find(|job| job.now.silent.is_some());
        let forgotten = open().find(|job| job.now.forgotten);
        told.silence(context, silent);
        let pause = match patience.round(Instant::now(), silent.is_some(), forgotten.is_some()) {
            Verdict::Again(pause) => pause,
            Verdict::Unknown(gone) => return Err(unknown(forgotten, gone)),
            Verdict::Silent(gone) => return Err(silence(silent, gone)),
        };
        let left = timeout.map(|limit| limit.saturating_sub(start.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(CliError::new(Kind::Engine, "the jobs have not ended in the given time")
                .with_hint("they go on; wait again, or moorline cancel them")
                .into());
        }
        thread::sleep(left.map_or(pause, |left| pause.min(left)));
        view = context.jobs(&ids)?;
    }
}

/// The jobs in the order in which they were named.
fn these<'v>(view: &'v View, ids: &[JobId]) -> Result<Vec<&'v JobRecord>, Report> {
    let gone = |id: &JobId| {
        CliError::new(Kind::NotFound, format!("job {id} is no longer in the ledger")).into()
    };
    ids.iter().map(|id| view.job(*id).ok_or_else(|| gone(id))).collect()
}

/// What was said already: each thing once.
#[derive(Default)]
struct Told {
    states: Vec<JobState>,
    warnings: Vec<String>,
    silence: bool,
}

impl Told {
    fn warnings(&mut self, warnings: Vec<String>) {
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                output::warn(output::cell(&warning));
                self.warnings.push(warning);
            }
        }
    }

    fn states(&mut self, context: &Context, known: &[Known<'_>]) {
        let states: Vec<JobState> = known.iter().map(|job| job.now.settled.state).collect();
        if states == self.states {
            return;
        }
        for job in known.iter().filter(|job| !job.now.is_final() && job.now.silent.is_none()) {
            let settled = &job.now.settled;
            let why = settled.reason.as_deref().map(output::cell);
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            context.voice.say(format!("{}: {}{why}", job.record.id, settled.state));
        }
        self.states = states;
    }

    fn silence(&mut self, context: &Context, silent: Option<&Known<'_>>) {
        match (silent, self.silence) {
            (Some(job), false) => {
                let why = job.now.silent.as_deref().unwrap_or_default();
                let kind = output::cell(&job.record.last().backend);
                output::warn(format!(
                    "{kind} does not answer ({}); asking again, the jobs go on",
                    output::cell(why)
                ));
                self.silence = true;
            }
            (None, true) => {
                context.voice.say("the engine answers again");
                self.silence = false;
            }
            _ => {}
        }
    }
}

fn unknown(job: Option<&Known<'_>>, gone: Duration) -> Report {
    let (id, kind, why) = about(job, |job| job.now.settled.reason.as_deref());
    CliError::new(
        Kind::Engine,
        format!(
            "job {id}: nobody can say how it is: {kind} has not known it for {} s, and there is no receipt ({why})",
            gone.as_secs()
        ),
    )
    .with_hint(format!(
        "moorline logs {id} shows what it wrote; --unknown SECONDS waits longer for a receipt"
    ))
    .into()
}

fn silence(job: Option<&Known<'_>>, gone: Duration) -> Report {
    let (id, kind, why) = about(job, |job| job.now.silent.as_deref());
    CliError::new(
        Kind::Engine,
        format!("job {id}: {kind} has not answered for {} s: {why}", gone.as_secs()),
    )
    .with_hint("the job may go on; wait again, --silent SECONDS waits longer")
    .into()
}

fn about<'k>(
    job: Option<&'k Known<'_>>,
    why: impl Fn(&'k Known<'_>) -> Option<&'k str>,
) -> (String, String, String) {
    let Some(job) = job else { return Default::default() };
    let kind = output::cell(&job.record.last().backend);
    (job.record.id.to_string(), kind, output::cell(why(job).unwrap_or("it says no more")))
}

/// How a job ended, for people.
fn ending(row: &jobs::Row) -> String {
    let code = row.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    let why = row.exit_code.and_then(exit::meaning).map(str::to_owned);
    let why = why.or_else(|| row.reason.as_deref().map(output::cell));
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    format!("{}: {}{code}{why}", row.job, row.state)
}

/// The job's own code; one that ended without a code failed at the engine.
fn exit_code(row: &jobs::Row) -> u8 {
    match (row.exit_code, row.state) {
        (Some(code), _) => u8::try_from(code).unwrap_or(255),
        (None, JobState::Completed) => 0,
        (None, _) => crate::cli::show::exit::code(Kind::Engine),
    }
}
