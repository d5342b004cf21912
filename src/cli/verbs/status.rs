//! `moorline status`: how jobs are now.

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::context::engines;
use crate::cli::show::document;
use crate::cli::show::output::{self, Outcome};
use crate::cli::show::record;
use crate::cli::verbs::jobs;
use crate::follow;

/// Show the state of jobs.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline status last
  moorline --json=job,state,output status 01jd5k 01jd5m")]
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
    let rows: Vec<jobs::Row> =
        known.iter().map(|job| jobs::Row::of(context.jobs_dir(), job)).collect();
    if context.voice.json {
        document::print(&rows);
        return Ok(0);
    }
    for row in &rows {
        output::painted(&record::lines(&row.record(), context.voice.width()));
        for remark in row.remarks() {
            context.voice.say(format!("{}: {remark}", row.job));
        }
    }
    Ok(0)
}
