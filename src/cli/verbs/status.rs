//! `moorline status`: how jobs are now.

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::context::engines;
use crate::cli::show::output::{self, Outcome};
use crate::cli::verbs::jobs;
use crate::follow;

/// Say how jobs are.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[arg(value_name = "JOB", required = true, help = engines::several_jobs())]
    jobs: Vec<String>,
}

/// The verb. An engine that does not answer is a warning: what is known here is shown.
///
/// # Errors
/// When a job is unknown.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let view = context.named(&args.jobs)?;
    let known = follow::refresh(context, &view.find_all(&args.jobs)?)?;
    let rows: Vec<jobs::Row> = known.iter().map(jobs::Row::of).collect();
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
