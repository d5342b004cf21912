//! `moorline logs`: what a job wrote.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args as ClapArgs;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::context::engines;
use crate::cli::show::document;
use crate::cli::show::output::{self, Outcome};
use crate::follow::{self, Known, Stream, Written};
use crate::job::JobRef;

/// Print what a job wrote to its stdout; --stderr for the other.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline logs last
  moorline logs --stderr 01jd5k
  moorline logs last.7
  moorline logs last >result.txt")]
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
        let written = Written::open(context.jobs_dir(), &job, stream)?;
        if context.voice.json {
            let mut whole = Vec::new();
            written.each(|piece| whole.extend_from_slice(piece))?;
            let stream = if args.stderr { "stderr" } else { "stdout" };
            document::print(&value(job.record.which(), stream, whole));
        } else {
            let mut some = false;
            written.each(|piece| {
                some = true;
                output::bytes(piece);
            })?;
            if !some {
                context.voice.say(nothing(&job, stream));
            }
        }
    }
    Ok(0)
}

/// What stands for a stream without a byte: it says so, and where there may be more.
fn nothing(job: &Known<'_>, stream: Stream) -> String {
    let which = job.record.which();
    let so_far = if job.now.is_final() { "" } else { " so far" };
    match stream {
        Stream::Stdout => format!(
            "job {which} wrote nothing to its stdout{so_far}; moorline logs --stderr {which} shows the rest"
        ),
        Stream::Stderr => format!("job {which} wrote nothing to its stderr{so_far}"),
    }
}

/// As JSON: bytes that are no UTF-8 stand in base64.
fn value(job: JobRef, stream: &str, bytes: Vec<u8>) -> serde_json::Value {
    let (key, text) = match String::from_utf8(bytes) {
        Ok(text) => ("text", text),
        Err(error) => ("base64", STANDARD.encode(error.as_bytes())),
    };
    json!({ "job": job, "stream": stream, key: text })
}
