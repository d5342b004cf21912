//! How much of this machine a conversion takes when the user does not say it.
//!
//! A login node belongs to everybody: there a conversion takes at most four cores and gives way to others. A machine is
//! taken for a login node when it has an engine's command to submit and this process is neither in an engine's job nor
//! in CI. That is a guess; `--threads` overrides the number, and a conversion that gives way is as fast on an idle
//! machine.

use std::num::NonZeroUsize;

use crate::acquire::Manners;
use crate::backend;
use crate::cli::context::Context;

/// What users of engines call to submit that Moorline cannot speak to: SGE, PBS, LSF, OAR.
const SUBMIT: [&str; 2] = ["qsub", "bsub"];
/// What those set in a job.
const IN_A_JOB: [&str; 4] = ["SGE_TASK_ID", "PBS_JOBID", "LSB_JOBID", "OAR_JOB_ID"];

/// What a conversion may take as this machine suggests; `asked` is what the user said.
pub fn manners(context: &Context, asked: Option<NonZeroUsize>) -> Manners {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let commands = backend::engines().filter_map(|facts| facts.commands.first());
    let has_engine = SUBMIT.iter().chain(commands).any(|name| context.which(name).is_some());
    let marks = backend::engines().filter_map(|facts| facts.in_a_job.as_ref());
    let in_a_job = IN_A_JOB.iter().chain(marks).any(|name| context.env(name).is_some());
    let alone = context.env("CI").is_some() || in_a_job;
    Manners::decide(asked, cores, has_engine && !alone)
}
