//! `moorline logs`: what a job wrote.

use std::fs::File;
use std::io::{self, Read};

use clap::Args as ClapArgs;

use super::context::Context;
use super::jobs;
use super::output::{self, CliError, Outcome};
use crate::failure::Kind;

/// Print what a job wrote to its stdout; --stderr for the other.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Job id, a unique beginning of it, or an engine id such as slurm:123
    #[arg(value_name = "JOB")]
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
    let view = context.view()?;
    let job = view.find(&args.job)?;
    let known = jobs::refresh(context, &[job])?;
    let name = if args.stderr { "stderr" } else { "stdout" };
    let path = context.jobs_dir().join(job.id.to_string()).join(name);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let started = known.iter().all(|job| job.seen.state.is_final());
            let why = if started {
                "it wrote none, or the directory was removed"
            } else {
                "it has not started"
            };
            return Err(CliError::new(
                Kind::NotFound,
                format!("job {} has no {name}: {why}", job.id),
            )
            .into());
        }
        Err(e) => {
            return Err(CliError::new(
                Kind::Configuration,
                format!("cannot read {}: {e}", path.display()),
            )
            .into());
        }
    };
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(0),
            Ok(n) => output::bytes(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                return Err(CliError::new(
                    Kind::Configuration,
                    format!("cannot read {}: {e}", path.display()),
                )
                .into());
            }
        }
    }
}
