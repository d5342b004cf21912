//! `moorline run`: the job's whole way here and now, without an engine, in the current directory.

use clap::Args as ClapArgs;

use super::context::Context;
use super::image;
use super::mark;
use super::output::{self, CliError, Outcome};
use super::running::{self, KIND};
use super::spec::{Parts, SpecArgs, WhatArgs};
use super::submit;
use crate::execute;
use crate::failure::Kind;
use crate::follow;
use crate::job::{EngineKey, JobState, Observation, Resources};
use crate::oci::{Platform, Sha256Digest};
use crate::stage::convert::default_recipe;

/// Run a command in an image, here and now, in the current directory.
///
/// The current directory is bound to `/work_dir`. The exit code is the command's; the run is recorded
/// like a job.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  moorline run group/project:v1 -- ./analysis --events 10
  moorline run --mount /data:ro group/project:v1 -- ls /data")]
pub struct Args {
    #[command(flatten)]
    flags: SpecArgs,
    #[command(flatten)]
    what: WhatArgs,
}

/// The verb.
///
/// # Errors
/// As the steps of the line say; 9 when no container runtime works here.
pub fn run(context: &Context, args: Args) -> Outcome {
    let here = std::env::current_dir()
        .map_err(|e| CliError::new(Kind::Usage, format!("the current directory: {e}")))?;
    args.flags.variables(context)?;
    context.require_runtime(args.flags.runtime)?;
    let platform = args.flags.platform.clone().unwrap_or_else(Platform::host);
    let wanted = args.flags.wanted(&args.what);
    args.flags.credential.apply(context, wanted.place(context).as_deref())?;
    let image = image::stage(context, wanted, &platform, &default_recipe())?;
    let resources = Resources::default();
    let parts =
        Parts { command: args.what.command, flags: args.flags, resources, workdir: Some(here) };
    let job = parts.job(context, submit::fresh_id()?, image)?;

    mark::mark(context, &job, false)?;
    let site = context.site("local", Vec::new());
    let prepared = context
        .ledger()
        .and_then(|ledger| Ok((crate::submit::prepare(&job, &site, KIND, &ledger)?, ledger)));
    let (prepared, ledger) = prepared.inspect_err(|_| mark::unmark_refused(context, &job))?;
    let (entry, plan) = (prepared.entry, prepared.plan);
    let order = prepared.keep();
    let control = order.dir.join("control");
    let _alive = running::hold(&control).map_err(|e| {
        CliError::new(Kind::Configuration, format!("cannot lock {}: {e}", control.display()))
    })?;
    ledger.submitted(
        &entry,
        &EngineKey {
            kind: KIND.into(),
            cluster: None,
            id: job.id.to_string(),
            submitted_at: jiff::Timestamp::now(),
            owner: context.user.clone(),
        },
    )?;
    let code = execute::run_here(&control, Some(&plan.hex()))?;
    let state = if code == 0 { JobState::Completed } else { JobState::Failed };
    ledger.observed(&entry, &Observation { exit_code: Some(code), ..Observation::of(state) })?;
    mark::unmark(context, &job.image, &job.id);
    let view = context.view()?;
    if let Some(record) = view.job(job.id) {
        for problem in follow::collect(&ledger, record.last(), context.jobs_dir())? {
            output::warn(problem);
        }
    }
    context.voice.say(format!("recorded as {}", job.id));
    Ok(u8::try_from(code).unwrap_or(255))
}
