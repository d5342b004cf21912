//! `moorline status`: how jobs are now.

use clap::Args as ClapArgs;

use super::context::Context;
use super::jobs;
use super::output::{self, Outcome};

/// Say how jobs are.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Job ids, unique beginnings of them, engine ids such as slurm:123, or last
    #[arg(value_name = "JOB", required = true)]
    jobs: Vec<String>,
}

/// The verb. An engine that does not answer is a warning: what is known here is shown.
///
/// # Errors
/// When a job is unknown.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let view = context.named(&args.jobs)?;
    let known = jobs::refresh(context, &jobs::find(&view, &args.jobs)?)?;
    let rows: Vec<jobs::Row> = known.iter().map(jobs::Known::row).collect();
    if context.voice.json {
        output::json(&rows);
        return Ok(0);
    }
    output::line(jobs::table(&rows));
    for row in &rows {
        for remark in row.remarks() {
            context.voice.say(format!("{}: {remark}", row.job));
        }
    }
    Ok(0)
}
