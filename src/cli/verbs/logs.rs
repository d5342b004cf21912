//! `moorline logs`: what a job wrote.

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::context::engines;
use crate::cli::show::output::{self, Outcome};
use crate::follow::{self, Stream, Written};

/// Print what a job wrote to its stdout; --stderr for the other.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[arg(value_name = "JOB", help = engines::one_job())]
    job: String,
    /// Print the job's stderr instead
    #[arg(long)]
    stderr: bool,
}

/// The verb. The bytes are printed as they are.
///
/// # Errors
/// When the job is unknown or its file cannot be read.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let view = context.named(&[&args.job])?;
    let stream = if args.stderr { Stream::Stderr } else { Stream::Stdout };
    for job in follow::refresh(context, &[view.find(&args.job)?])? {
        Written::open(context.jobs_dir(), &job, stream)?.each(output::bytes)?;
    }
    Ok(0)
}
