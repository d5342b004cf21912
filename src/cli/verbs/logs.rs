//! `moorline logs`: what a job wrote.

use std::io::{self, Read};

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::context::engines;
use crate::cli::show::output::{self, CliError, Outcome};
use crate::cli::verbs::jobs;
use crate::failure::Kind;
use crate::files::{ForeignFile, Opened};

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
    let job = view.find(&args.job)?;
    let known = jobs::refresh(context, &[job])?;
    let name = if args.stderr { "stderr" } else { "stdout" };
    let path = context.jobs_dir().join(job.id.to_string()).join(name);
    let opened = ForeignFile::own_or_roots(u64::MAX).open(&path).map(Opened::into_file);
    let mut file = match opened.map_err(io::Error::from) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let ended = known.iter().all(|job| job.now.is_final());
            let silent = known.iter().any(|job| job.now.silent.is_some());
            let why = match (ended, silent) {
                (true, _) => "it wrote none, or the directory was removed",
                (false, false) => "it has not started",
                (false, true) => "as far as is known here, it has not started",
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
