//! `moorline status`: how jobs are now.

use clap::Args as ClapArgs;

use super::context::Context;
use super::jobs;
use super::output::{self, Outcome};
use crate::worker::exit;

/// Say how jobs are.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Job ids, unique beginnings of them, or engine ids such as slurm:123
    #[arg(value_name = "JOB", required = true)]
    jobs: Vec<String>,
}

/// The verb.
///
/// # Errors
/// When a job is unknown, or an engine cannot be asked.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let view = context.view()?;
    let known = jobs::refresh(context, &jobs::find(&view, &args.jobs)?)?;
    let rows: Vec<jobs::Row> = known.iter().map(jobs::Known::row).collect();
    if context.voice.json {
        output::json(&rows);
        return Ok(0);
    }
    output::line(jobs::table(&rows));
    for row in &rows {
        if let Some(why) = row.exit_code.and_then(exit::meaning) {
            context.voice.say(format!("{}: {why}", row.job));
        }
        if let Some(reason) = &row.reason {
            context.voice.say(format!("{}: {}", row.job, output::cell(reason)));
        }
    }
    Ok(0)
}
