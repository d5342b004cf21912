//! `moorline wait`: until jobs have ended, then with their exit code.

use std::time::Duration;

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::context::engines;
use crate::cli::show::document;
use crate::cli::show::interrupted::Interrupted;
use crate::cli::show::output::{self, Outcome, Report};
use crate::cli::verbs::jobs::Row;
use crate::failure::Kind;
use crate::follow::{self, Heard, Known, Limits};
use crate::job::JobState;
use crate::worker::exit;

/// Wait for jobs and take their exit code.
///
/// With several jobs the code is the first one, in the order given, that is not 0. An engine that does not
/// answer is asked again; the jobs go on meanwhile.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline wait last
  moorline wait --timeout 3600 01jd5k 01jd5m
  moorline wait last && moorline logs last")]
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
        document::print(&rows);
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
pub fn tell(context: &Context, row: &Row) -> u8 {
    context.voice.say(ending(row));
    if let Some(look) = row.look() {
        context.voice.say(look);
    }
    exit_code(row)
}

/// Waits until all jobs have ended, and says what happens meanwhile.
///
/// # Errors
/// As [`run`].
pub fn until_ended(
    context: &Context,
    names: &[String],
    timeout: Option<Duration>,
    limits: Limits,
) -> Result<Vec<Row>, Report> {
    let _interrupted = Interrupted::says(&names.join(" "));
    let row = |job: &Known<'_>| Row::of(context.jobs_dir(), job);
    follow::wait(context, names, timeout, limits, |heard| say(context, &heard), row)
}

fn say(context: &Context, heard: &Heard<'_>) {
    match heard {
        Heard::Warning(warning) => output::warn(output::cell(warning)),
        Heard::State(job) => {
            let settled = &job.now.settled;
            let why = settled.reason.as_deref().map(output::cell);
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            context.voice.say(format!("{}: {}{why}", job.record.which(), settled.state));
        }
        Heard::Silent(job) => {
            let why = output::cell(job.now.silent.as_deref().unwrap_or_default());
            let kind = output::cell(&job.record.last().backend);
            output::warn(format!("{kind} does not answer ({why}); asking again, the jobs go on"));
        }
        Heard::Answers => context.voice.say("the engine answers again"),
    }
}

/// How a job ended, for people.
fn ending(row: &Row) -> String {
    let code = row.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    let why = row.exit_code.and_then(exit::meaning).map(str::to_owned);
    let why = why.or_else(|| row.reason.as_deref().map(output::cell));
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    format!("{}: {}{code}{why}", row.job, row.state)
}

/// The job's own code; one that ended without a code failed at the engine.
fn exit_code(row: &Row) -> u8 {
    match (row.exit_code, row.state) {
        (Some(code), _) => u8::try_from(code).unwrap_or(255),
        (None, JobState::Completed) => 0,
        (None, _) => crate::cli::show::exit::code(Kind::Engine),
    }
}
