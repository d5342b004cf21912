//! `moorline wait`: until jobs have ended, then with their exit code.

use std::thread;
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;

use super::context::Context;
use super::jobs::{self, Known};
use super::output::{self, CliError, Outcome};
use crate::failure::Kind;
use crate::job::JobState;
use crate::worker::exit;

/// Wait for jobs and take their exit code.
///
/// With several jobs the code is the first one, in the order given, that is not 0.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Job ids, unique beginnings of them, or engine ids such as slurm:123
    #[arg(value_name = "JOB", required = true)]
    jobs: Vec<String>,
    /// Give up after this many seconds; the jobs go on
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// The pause between two questions grows from the first to the second of these.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The verb: the exit code is the job's.
///
/// # Errors
/// When a job is unknown, an engine cannot be asked, or the time is up.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let rows = until_ended(context, &args.jobs, args.timeout.map(Duration::from_secs))?;
    if context.voice.json {
        output::json(&rows);
    }
    let codes: Vec<u8> = rows.iter().map(|row| tell(context, row)).collect();
    Ok(codes.into_iter().find(|code| *code != 0).unwrap_or(0))
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
) -> Result<Vec<jobs::Row>, super::output::Report> {
    let start = Instant::now();
    let mut pause = PAUSES.0;
    let mut told = Vec::new();
    loop {
        let view = context.view()?;
        let known = jobs::refresh(context, &jobs::find(&view, names)?)?;
        let states: Vec<JobState> = known.iter().map(|job| job.seen.state).collect();
        if known.iter().all(|job| job.seen.state.is_final()) {
            return Ok(known.iter().map(Known::row).collect());
        }
        if let Some(job) = known
            .iter()
            .find(|job| job.seen.state == JobState::Unknown && job.record.key().is_none())
        {
            return Err(CliError::new(
                Kind::Engine,
                format!("job {}: it is uncertain whether the engine took it", job.record.id),
            )
            .with_hint("moorline recover asks the engine again")
            .into());
        }
        if states != told {
            for job in known.iter().filter(|job| !job.seen.state.is_final()) {
                let why = job.seen.reason.as_deref().map(output::cell);
                let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
                context.voice.say(format!("{}: {}{why}", job.record.id, job.seen.state));
            }
            told = states;
        }
        if timeout.is_some_and(|limit| start.elapsed() >= limit) {
            return Err(CliError::new(Kind::Engine, "the jobs have not ended in the given time")
                .with_hint("they go on; wait again, or moorline cancel them")
                .into());
        }
        thread::sleep(pause);
        pause = (pause * 3 / 2).min(PAUSES.1);
    }
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
        (None, _) => super::exit::code(Kind::Engine),
    }
}
