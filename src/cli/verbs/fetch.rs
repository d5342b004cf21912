//! `moorline fetch`: the files that a job left, checked against its receipt.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::context::engines;
use crate::cli::show::document;
use crate::cli::show::failed::Failed;
use crate::cli::show::output::{self, Outcome};
use crate::cli::show::plural::plural;
use crate::failure::Report;
use crate::follow::{self, Compared, Fetched, FollowError, How, Left, Order, Which};
use crate::worker::Output;

/// Copy the files that a job left, checked against its receipt.
///
/// Without a NAME these are the files that the job declared (submit --output). One that changed since
/// the job ended is refused. Of an array each task's files go into a directory of their own: DIR/7/.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline fetch last
  moorline fetch last histograms.root -o results
  moorline fetch 01jd5k.7 -o task-7
  moorline fetch 01jd5k --all -o everything")]
pub struct Args {
    #[arg(value_name = "JOB", help = engines::one_job())]
    job: String,
    /// Only these files, by their paths below the working directory; declared or not
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Into this directory, which is made if it is missing
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Also the files that the job did not declare, as far as its receipt lists them
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Also a file that changed since the job ended
    #[arg(long)]
    changed: bool,
    /// Replace files that are there and have other bytes
    #[arg(long)]
    force: bool,
}

/// The verb: prints the path of each file. A file that cannot be fetched keeps no other from it.
///
/// # Errors
/// When the job is unknown or has not ended; else the first file that could not be fetched.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let view = context.named(&[&args.job])?;
    let known = follow::refresh(context, &[view.find(&args.job)?])?;
    let which = match (args.all, args.names.as_slice()) {
        (true, _) => Which::All,
        (false, []) => Which::Declared,
        (false, names) => Which::Named(names),
    };
    let order = Order { to: &args.output, changed: args.changed, force: args.force };
    let mut failed = Failed::default();
    let mut rows = Vec::new();
    let mut unchecked = 0;
    for job in &known {
        let (all, without) = follow::left(context.jobs_dir(), job)?;
        for left in &all {
            for note in &left.notes {
                output::warn(format!("job {}: {}", left.which, output::cell(note)));
            }
            for chosen in left.chosen(which) {
                let fetched = chosen.and_then(|output| {
                    follow::fetch(left, output, order).map(|fetched| (output, fetched))
                });
                let row = match fetched {
                    Ok((output, fetched)) => {
                        unchecked += usize::from(fetched.compared == Compared::SizeOnly);
                        tell(context, &fetched);
                        row(output, &fetched)
                    }
                    Err(error) => {
                        let said = error.to_string();
                        failed.add(Report::from(error));
                        json!({ "job": left.which, "error": said })
                    }
                };
                rows.push(row);
            }
            if which_is_empty(&which, left) {
                context.voice.say(format!("job {} left no files", left.which));
            }
        }
        if let Some(tasks) = without {
            let error = FollowError::NoReceipts { job: job.record.which(), tasks };
            rows.push(json!({ "job": job.record.which(), "error": error.to_string() }));
            failed.add(error.into());
        }
    }
    if unchecked > 0 {
        output::warn(format!(
            "{} could be compared by size only: the receipt has no SHA-256 of what was not declared, or not hashed",
            plural(unchecked, "file")
        ));
    }
    if context.voice.json {
        document::print(&rows);
    }
    failed.end()
}

/// Whether all that a job left is nothing.
fn which_is_empty(which: &Which<'_>, left: &Left) -> bool {
    matches!(which, Which::All) && left.declared.is_empty() && left.others.is_empty()
}

/// The path for scripts, and for people what they should know of the file.
fn tell(context: &Context, fetched: &Fetched) {
    if !context.voice.json {
        output::path(&fetched.to);
    }
    let to = output::cell(&fetched.to.to_string_lossy());
    if fetched.compared == Compared::Changed {
        output::warn(format!("{to} changed since job {} ended", fetched.which));
    }
    if fetched.how == How::There {
        context.voice.say(format!("{to} was there already"));
    }
}

fn row(output: &Output, fetched: &Fetched) -> Value {
    json!({
        "job": fetched.which,
        "path": output.path,
        "file": fetched.to,
        "size": fetched.size,
        "sha256": fetched.sha256,
        "outcome": match fetched.how {
            How::Copied => "copied",
            How::There => "there already",
        },
        "compared": match fetched.compared {
            Compared::Same => "same",
            Compared::Changed => "changed",
            Compared::SizeOnly => "size only",
        },
    })
}
