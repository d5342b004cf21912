//! Until jobs have ended: asked again and again, with patience.

use std::time::Duration;

use super::error::FollowError;
use super::known::{Known, Learnt, ask};
use super::patience::{Limits, NextRound, Patience};
use super::surroundings::Surroundings;
use crate::failure::Report;
use crate::job::{JobId, JobRef, JobState};
use crate::ledger::{JobRecord, View};
use crate::text::one_line;

/// What there is to tell while jobs are waited for: each thing once.
#[derive(Clone, Copy, Debug)]
pub enum Heard<'k> {
    /// A sentence about files that could not be read, and the like; foreign text.
    Warning(&'k str),
    /// A job that has not ended, after the state of one of them changed.
    State(&'k Known<'k>),
    /// The engine of this job does not answer.
    Silent(&'k Known<'k>),
    /// It answers again.
    Answers,
}

/// Waits until the jobs that were named have ended. `heard` is told what happens, `row` makes what is given of each
/// job, in the order in which they were named. With `timeout` it gives up after that time; the jobs go on.
///
/// # Errors
/// When a job is unknown, nobody can say how it ended, or the time is up.
pub fn wait<T>(
    here: &dyn Surroundings,
    names: &[String],
    timeout: Option<Duration>,
    limits: Limits,
    mut heard: impl FnMut(Heard<'_>),
    row: impl Fn(&Known<'_>) -> T,
) -> Result<Vec<T>, Report> {
    let start = here.now();
    let mut patience = Patience::new(limits);
    let mut told = Told::default();
    // once: `last` may be another one a moment later
    let mut view = here.named(names)?;
    let ids = view.find_all(names)?.iter().map(|job| job.which()).collect::<Vec<JobRef>>();
    name_tasks(&mut view, &ids);
    loop {
        let Learnt { known, warnings, .. } = ask(here, &these(&view, &ids)?)?;
        told.warnings(warnings, &mut heard);
        if known.iter().all(|job| job.now.is_final()) {
            return Ok(known.iter().map(row).collect());
        }
        if let Some(job) = known.iter().find(|job| is_uncertain(job)) {
            return Err(FollowError::Uncertain(job.record.which()).into());
        }
        told.states(&known, &mut heard);
        let open = || known.iter().filter(|job| !job.now.is_final());
        let silent = open().find(|job| job.now.silent.is_some());
        let forgotten = open().find(|job| job.now.forgotten);
        told.silence(silent, &mut heard);
        let now = here.now();
        let pause = match patience.round(now, silent, forgotten) {
            NextRound::Again(pause) => pause,
            NextRound::Unknown(job, gone) => return Err(unknown(job, gone).into()),
            NextRound::Silent(job, gone) => return Err(silence(job, gone).into()),
        };
        let left = timeout.map(|limit| limit.saturating_sub(now.saturating_duration_since(start)));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(FollowError::InTime.into());
        }
        here.pause(left.map_or(pause, |left| pause.min(left)));
        view = here.jobs(&ids.iter().map(|which| which.job).collect::<Vec<JobId>>())?;
        name_tasks(&mut view, &ids);
    }
}

fn name_tasks(view: &mut View, ids: &[JobRef]) {
    for which in ids.iter().filter(|which| which.task.is_some()) {
        view.name_task(&which.to_string(), *which);
    }
}

/// The jobs in the order in which they were named.
fn these<'v>(view: &'v View, ids: &[JobRef]) -> Result<Vec<&'v JobRecord>, FollowError> {
    ids.iter().map(|id| view.which(*id).ok_or(FollowError::Gone(*id))).collect()
}

/// No engine is known to have it, and none to refuse it.
fn is_uncertain(job: &Known<'_>) -> bool {
    job.now.settled.state == JobState::Unknown && job.record.key().is_none()
}

/// What was told already.
#[derive(Default)]
struct Told {
    states: Vec<JobState>,
    warnings: Vec<String>,
    silence: bool,
}

impl Told {
    fn warnings(&mut self, warnings: Vec<String>, heard: &mut impl FnMut(Heard<'_>)) {
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                heard(Heard::Warning(&warning));
                self.warnings.push(warning);
            }
        }
    }

    fn states(&mut self, known: &[Known<'_>], heard: &mut impl FnMut(Heard<'_>)) {
        let states: Vec<JobState> = known.iter().map(|job| job.now.settled.state).collect();
        if states == self.states {
            return;
        }
        for job in known.iter().filter(|job| !job.now.is_final() && job.now.silent.is_none()) {
            heard(Heard::State(job));
        }
        self.states = states;
    }

    fn silence(&mut self, silent: Option<&Known<'_>>, heard: &mut impl FnMut(Heard<'_>)) {
        match (silent, self.silence) {
            (Some(job), false) => heard(Heard::Silent(job)),
            (None, true) => heard(Heard::Answers),
            _ => {}
        }
        self.silence = silent.is_some();
    }
}

fn unknown(job: &Known<'_>, gone: Duration) -> FollowError {
    let why = job.now.settled.reason.as_deref();
    FollowError::Unknown {
        job: job.record.which(),
        kind: one_line(&job.record.last().backend),
        seconds: gone.as_secs(),
        why: one_line(why.unwrap_or("it says no more")),
    }
}

fn silence(job: &Known<'_>, gone: Duration) -> FollowError {
    FollowError::Silent {
        job: job.record.which(),
        kind: one_line(&job.record.last().backend),
        seconds: gone.as_secs(),
        why: one_line(job.now.silent.as_deref().unwrap_or("it says no more")),
    }
}
