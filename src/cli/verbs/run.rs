//! `moorline run`: the job's whole way here and now, without an engine, in the current directory.

use std::path::Path;

use clap::Args as ClapArgs;
use serde_json::json;

use crate::backend::{FOREGROUND, Held};
use crate::cli::args::id_file;
use crate::cli::args::spec::{Parts, SpecArgs, WhatArgs};
use crate::cli::context::Context;
use crate::cli::context::mark;
use crate::cli::context::tickets;
use crate::cli::show::document;
use crate::cli::show::output::{self, CliError, Outcome, Report, arguments};
use crate::cli::show::{shorten, window};
use crate::cli::verbs::submit;
use crate::execute;
use crate::failure::Kind;
use crate::follow;
use crate::job::{JobSpec, JobState, Observation, Resources};
use crate::ledger::{Ledger, Recorded};
use crate::oci::{Platform, Sha256Digest};
use crate::text::Foreign;
use crate::worker::exit;

/// Run a command in an image, here and now, in the current directory.
///
/// The current directory is bound to `/work_dir`. The exit code is the command's; the run is recorded
/// like a job.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline run group/project:v1 ./analysis --events 10
  moorline run --mount /data:ro group/project:v1 ls /data
  moorline run group/project:v1                # the image's own command")]
pub struct Args {
    #[command(flatten)]
    flags: SpecArgs,
    #[command(flatten)]
    what: WhatArgs,
}

/// The best shell that the image has.
const SHELL: [&str; 3] =
    ["/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash; exec /bin/sh"];

/// Programs that are shells when they stand alone.
const SHELLS: [&str; 8] = ["sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "tcsh"];

/// Where one is, for whoever gets a prompt: said by `shell`, and by `run` of a shell on a terminal.
fn starts_shell(command: &[String], here: &Path, image: &str) -> Option<String> {
    let of_verb = command == SHELL;
    let name = command.first().and_then(|program| program.rsplit('/').next());
    let alone = command.len() == 1 && name.is_some_and(|name| SHELLS.contains(&name));
    (of_verb || alone && window::is_interactive()).then(|| {
        let (image, here) = (shorten::digests_in(image), Foreign::path(here));
        format!("this is {}: /work_dir is {here}; exit leaves it", output::cell(&image))
    })
}

/// Start a shell in an image, in the current directory.
///
/// The current directory is bound to `/work_dir`. The shell is bash where the image has it, else sh.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline shell group/project:v1
  moorline shell --mount /data:ro group/project:v1")]
pub struct Shell {
    #[command(flatten)]
    flags: SpecArgs,
    /// Image, as for moorline run
    #[arg(value_name = "IMAGE")]
    what: Option<String>,
}

/// The verb.
///
/// # Errors
/// As the steps of the line say; 9 when no container runtime works here.
pub fn run(context: &Context, mut args: Args) -> Outcome {
    let late = args.what.settle(&arguments());
    args.flags.refuse_late(late)?;
    here(context, args)
}

/// The verb `shell`: the same with a shell of the image, which is said where it starts.
///
/// # Errors
/// As [`run`].
pub fn shell(context: &Context, args: Shell) -> Outcome {
    if args.flags.files.exe.is_some() {
        let text = "--exe: a shell starts no other program";
        return Err(CliError::usage(text).with_hint("use moorline run --exe FILE IMAGE").into());
    }
    let what = WhatArgs { what: args.what, command: SHELL.map(str::to_owned).to_vec() };
    here(context, Args { flags: args.flags, what })
}

/// Here and now.
fn here(context: &Context, mut args: Args) -> Outcome {
    let here = std::env::current_dir()
        .map_err(|e| CliError::new(Kind::Usage, format!("the current directory: {e}")))?;
    args.flags.check(context)?;
    let command = args.flags.files.command(std::mem::take(&mut args.what.command))?;
    let inputs = args.flags.files.inputs(&command, Some(&here))?;
    context.require_runtime(args.flags.runtime)?;
    context.require_ledger()?;
    let platform = args.flags.platform.clone().unwrap_or_else(Platform::host);
    let asked = args.flags.asked(context, &args.what)?;
    let ready = args.flags.image(context, &asked, &platform)?;
    let id_to = args.flags.id_file.take();
    let resources = Resources::default();
    let says = starts_shell(&command, &here, &ready.image.name());
    let way = args.flags.files.sending();
    let parts = Parts { command, flags: args.flags, resources, workdir: Some(here) };
    let mut job = parts.job(context, submit::fresh_id()?, ready)?;
    let files = submit::deliver(context, &mut job, FOREGROUND, way, inputs)?;
    id_file::write(id_to.as_deref(), job.id)?;

    if let Some(says) = says {
        context.voice.say(says);
    }
    let mut site = context.site(FOREGROUND, files.inputs);
    site.extras = files.extras;
    tickets::give(context, &job, &mut site)?;
    mark::mark(context, &job, false)?;
    let prepared = context
        .ledger()
        .and_then(|ledger| Ok((crate::submit::prepare(&job, &site, FOREGROUND, &ledger)?, ledger)));
    let (prepared, ledger) = prepared.inspect_err(|_| mark::unmark_refused(context, &job))?;
    let (entry, plan) = (prepared.entry, prepared.plan);
    let order = prepared.keep();
    let control = order.dir.join("control");
    let mut held = Held::take(&order, &context.user)?;
    ledger.submitted(&entry, &held.key())?;
    if context.voice.json {
        // the answer alone is on stdout: what the program prints goes to stderr
        output::keep_stdout().map_err(|error| {
            CliError::new(Kind::Configuration, format!("cannot keep standard output: {error}"))
        })?;
    }
    let code = execute::run_here(&control, Some(&plan.hex()))?;
    // nobody starts it again, however it ended
    execute::forget_tickets(&control);
    // the program ran: its code is the answer, whatever can be recorded
    if let Err(Report(error)) = record_end(context, &job, &ledger, (&entry, &mut held), code) {
        output::warn(format!(
            "the program ended with exit code {code}; not all of this could be recorded: {}",
            output::cell(&crate::failure::chain(&*error))
        ));
    } else {
        context.voice.say(format!("recorded as {}", job.id));
    }
    if context.voice.json {
        document::print(&json!({
            "job": job.id, "name": job.name, "image": job.image.name(), "command": job.command,
            "exit_code": code, "meaning": exit::meaning(code),
        }));
    }
    Ok(u8::try_from(code).unwrap_or(255))
}

fn record_end(
    context: &Context,
    job: &JobSpec,
    ledger: &Ledger,
    (entry, held): (&Recorded, &mut Held),
    code: i32,
) -> Result<(), Report> {
    let state = if code == 0 { JobState::Completed } else { JobState::Failed };
    // for whoever asked the ledger before the next line and looks at the lock after this process
    held.ended(code)?;
    ledger.observed(entry, &Observation { exit_code: Some(code), ..Observation::of(state) })?;
    mark::unmark(context, &job.image, job.delivery.place(), &job.id);
    let view = context.jobs(&[job.id])?;
    if let Some(record) = view.job(job.id) {
        let collected = follow::collect(Some(ledger), record.last(), context.jobs_dir())?;
        for problem in collected.problems {
            output::warn(output::cell(&problem));
        }
    }
    Ok(())
}
