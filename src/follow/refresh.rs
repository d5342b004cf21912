//! How jobs are now: the engine is asked once for all of them, receipts are collected, and one decision
//! ([`crate::ledger::Settled`]) says what counts.
//!
//! Only jobs that have not ended are asked for. An engine that does not answer makes no error: its jobs
//! are *unknown* unless a receipt says more, and one sentence says so.

use std::collections::BTreeMap;
use std::path::Path;

use super::array;
use super::receipts::gather;
use super::release::release;
use crate::backend::{Backend, Seen};
use crate::job::{Delivery, EngineKey, JobId, JobState, Observation, Tasks};
use crate::ledger::{Batch, JobRecord, Ledger, LedgerError, Settled, Source, Submission};
use crate::worker::Receipt;

/// A job's state as of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Now {
    /// What counts.
    pub settled: Settled,
    /// The engine's last word, now or earlier.
    pub engine: Option<Observation>,
    /// Why the engine could not be asked just now.
    pub silent: Option<String>,
    /// The engine answered and does not know the job.
    pub forgotten: bool,
    /// How the tasks of an array are, equal ones together; empty for a job that is none, and for one task.
    pub tasks: Vec<(Tasks, Settled)>,
}

impl Now {
    /// Whether the state can no longer change.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.settled.state.is_final()
    }

    /// Whether the engine itself has said that the job ended; a receipt may be of an earlier start.
    #[must_use]
    pub fn engine_ended(&self) -> bool {
        self.engine.as_ref().is_some_and(|word| word.state.is_final())
    }
}

/// One engine's jobs, refreshed.
#[derive(Debug, Default)]
pub struct Refresh {
    /// In the order of the jobs.
    pub jobs: Vec<Now>,
    /// What a reader should know, in sentences; foreign text.
    pub warnings: Vec<String>,
    /// One sentence for an engine that does not answer, when that leaves a job's state open.
    pub silence: Option<String>,
}

impl Refresh {
    /// Asks `backend` (none: nobody can be asked) for jobs of its kind, collects their receipts, and
    /// records what is new. Without a ledger, and when it cannot be written, nothing is recorded.
    #[must_use]
    pub fn of(
        ledger: Option<&Ledger>,
        backend: Option<&dyn Backend>,
        jobs_dir: &Path,
        jobs: &[&JobRecord],
    ) -> Self {
        let mut refresh = Self::default();
        let answers = ask(backend, jobs);
        let mut arrays = ask_for_arrays(backend, jobs);
        // all that is new by one append
        let mut batch = ledger.map(Ledger::batch);
        for (i, (job, seen)) in jobs.iter().zip(answers).enumerate() {
            let array = arrays.remove(&i);
            let seen = match (array.as_ref(), job.last().task) {
                (None, _) => seen,
                (Some(answer), None) => array::word(answer),
                (Some(answer), Some(task)) => of_task(answer, task),
            };
            let is_array = job.last().tasks().is_some() && job.key().is_some();
            let now = if is_array {
                refresh.array(&mut batch, jobs_dir, job, &array.unwrap_or_default())
            } else {
                refresh.one(&mut batch, jobs_dir, job, seen.as_ref(), true)
            };
            refresh.jobs.push(now);
            if let (Some(ledger), Some(backend), Some(seen)) = (ledger, backend, &seen)
                && let Err(why) = release(ledger, backend, jobs_dir, job.last(), seen)
            {
                refresh.warnings.push(format!("job {} is held still: {why}", job.id));
            }
        }
        if let Some(batch) = batch
            && let Err(error) = batch.write()
        {
            refresh.give_up(&mut None, &error);
        }
        refresh.silence = silence(backend.map(Backend::kind).unwrap_or_default(), &refresh.jobs);
        refresh
    }

    /// One job, or one task of an array; `word` when the engine's word is to be recorded, too.
    pub(super) fn one(
        &mut self,
        batch: &mut Option<Batch<'_>>,
        jobs_dir: &Path,
        job: &JobRecord,
        seen: Option<&Seen>,
        word: bool,
    ) -> Now {
        let submission = job.last();
        // the answer was given before the receipts are read: their order in the ledger says so
        if let (Some(ours), Some(seen), true) = (batch.as_mut(), seen, word)
            && let Err(error) = record(ours, job, seen)
        {
            self.give_up(batch, &error);
        }
        let mut receipt: Option<Receipt> = None;
        let mut too_early = false;
        for of in &job.submissions {
            let mut collected = gather(batch.as_mut(), of, jobs_dir);
            if let Err(error) = collected {
                self.give_up(batch, &error);
                collected = gather(None, of, jobs_dir);
            }
            let Ok(collected) = collected else { continue };
            if of.entry == submission.entry {
                // of earlier starts only, until the one that the engine began since leaves its own
                let earlier = submission.begun_anew() && !collected.is_new;
                receipt = collected.last().filter(|_| !earlier).cloned();
                too_early = collected.too_early;
            }
            self.warnings.extend(collected.problems);
        }
        let mut now = Now::of(job, seen, receipt.as_ref());
        if too_early {
            now.settled = now.settled.never_started();
        }
        // those of an attempt that was killed; the other tasks of an array may need them still
        if now.is_final() && submission.task.is_none() && has_secrets(submission) {
            forget_secrets(jobs_dir, job.id);
        }
        if let Some(ours) = batch.as_mut()
            && let Err(error) = record_end(ours, job, &now)
        {
            self.give_up(batch, &error);
        }
        now
    }

    /// What is known is shown all the same.
    pub(super) fn give_up(&mut self, batch: &mut Option<Batch<'_>>, error: &dyn std::error::Error) {
        *batch = None;
        let why = crate::failure::chain(error);
        self.warnings.push(format!("what is new is not recorded: {why}"));
    }
}

fn silence(kind: &str, jobs: &[Now]) -> Option<String> {
    let open = jobs.iter().filter(|now| !now.is_final());
    let silent: Vec<&str> = open.filter_map(|now| now.silent.as_deref()).collect();
    let why = silent.first()?;
    let jobs = match silent.len() {
        1 => "one job is".to_owned(),
        several => format!("{several} jobs are"),
    };
    Some(format!("{kind} does not answer: {why}; how {jobs} now is not known"))
}

/// The engine's answer for each job that it was asked for.
fn ask(backend: Option<&dyn Backend>, jobs: &[&JobRecord]) -> Vec<Option<Seen>> {
    let mut answers: Vec<Option<Seen>> = vec![None; jobs.len()];
    let Some(backend) = backend else { return answers };
    let open: Vec<(usize, EngineKey)> = jobs
        .iter()
        .enumerate()
        .filter(|(_, job)| job.last().terms.tasks.is_none())
        .filter(|(_, job)| !job.last().word().state.is_final())
        .filter_map(|(i, job)| Some((i, job.key()?.clone())))
        .filter(|(_, key)| key.kind == backend.kind())
        .collect();
    if open.is_empty() {
        return answers;
    }
    let keys: Vec<EngineKey> = open.iter().map(|(_, key)| key.clone()).collect();
    match backend.status(&keys) {
        Ok(seen) => {
            for ((i, _), seen) in open.into_iter().zip(seen) {
                answers[i] = Some(seen);
            }
        }
        Err(error) => {
            for (i, _) in open {
                answers[i] = Some(Seen::silent(error.why()));
            }
        }
    }
    answers
}

/// The engine's answer for each array, and for each task that was named: by the job's place in the list.
fn ask_for_arrays(
    backend: Option<&dyn Backend>,
    jobs: &[&JobRecord],
) -> BTreeMap<usize, array::Answer> {
    let Some(backend) = backend else { return BTreeMap::new() };
    let one = |(i, job): (usize, &&JobRecord)| {
        let of = job.last();
        let key = of.key().filter(|key| key.kind == backend.kind())?;
        of.terms.tasks.as_ref().filter(|_| !of.word().state.is_final())?;
        Some((i, array::ask(backend, key, of)))
    };
    jobs.iter().enumerate().filter_map(one).collect()
}

fn of_task(answer: &array::Answer, task: u32) -> Option<Seen> {
    answer.iter().find(|(tasks, _)| tasks.contains(task)).map(|(_, seen)| seen.clone())
}

impl Now {
    fn of(job: &JobRecord, seen: Option<&Seen>, receipt: Option<&Receipt>) -> Self {
        let submission = job.last();
        let recorded = submission.seen.clone();
        let word = submission.word();
        let Some(seen) = seen else {
            let source = if recorded.is_some() { Source::Engine } else { Source::Ledger };
            let settled = Settled::of(&word, false, receipt);
            let settled = match settled.source {
                Source::Receipt => settled,
                _ => Settled { source, ..settled },
            };
            let (silent, forgotten, tasks) = (None, false, Vec::new());
            return Self { settled, engine: recorded, silent, forgotten, tasks };
        };
        let answered = seen.silent.is_none();
        let open = answered && !seen.state.is_final() && seen.state != JobState::Unknown;
        let mut settled = Settled::of(&seen.observation(), open, receipt);
        if settled.source == Source::Engine
            && settled.state == JobState::Unknown
            && let Some(why) = &seen.silent
        {
            let before = recorded.as_ref().map_or(word.state, |word| word.state);
            let kind = &submission.backend;
            settled.reason =
                Some(format!("{kind} does not answer: {why}; at last it was {before}"));
        }
        Self {
            settled,
            engine: if seen.state == JobState::Unknown {
                recorded
            } else {
                Some(seen.observation())
            },
            silent: seen.silent.clone(),
            forgotten: answered && seen.state == JobState::Unknown,
            tasks: Vec::new(),
        }
    }
}

/// Records an engine's answer when it says something new.
fn record(batch: &mut Batch<'_>, job: &JobRecord, seen: &Seen) -> Result<(), LedgerError> {
    let submission = job.last();
    let word = seen.observation();
    if !is_news(submission, seen, &word) {
        return Ok(());
    }
    observed(batch, submission, &word)
}

/// Of the job, or of its task.
fn observed(
    batch: &mut Batch<'_>,
    submission: &Submission,
    word: &Observation,
) -> Result<(), LedgerError> {
    match submission.task {
        None => batch.observed(&submission.entry, word),
        Some(task) => batch.observed_of(&submission.entry, &Tasks::one(task), word),
    }
}

/// Whether secrets lie beside the job's plan until it has ended: tickets, a grid proxy, a deploy token.
pub(super) fn has_secrets(submission: &Submission) -> bool {
    let pulls = matches!(submission.delivery, Delivery::Pull { .. });
    submission.terms.has_secrets() || pulls
}

pub(super) fn forget_secrets(jobs_dir: &Path, job: JobId) {
    crate::execute::forget_tickets(&jobs_dir.join(job.to_string()).join("control"));
}

/// Whether an engine's answer says something new.
pub(super) fn is_news(submission: &Submission, seen: &Seen, word: &Observation) -> bool {
    let says_nothing = word.state == JobState::Unknown && submission.seen.is_some();
    seen.silent.is_none() && !says_nothing && !submission.knows_observation(word)
}

/// What an engine that knows the job no more and a receipt say together is recorded as the end: nobody
/// needs to ask again.
fn record_end(batch: &mut Batch<'_>, job: &JobRecord, now: &Now) -> Result<(), LedgerError> {
    if !now.forgotten || now.settled.source != Source::Receipt {
        return Ok(());
    }
    let submission = job.last();
    let kind = &submission.backend;
    let end = Observation {
        state: now.settled.state,
        exit_code: now.settled.exit_code,
        engine_state: None,
        reason: Some(format!("{kind} no longer knows the job; its receipt says how it ended")),
    };
    observed(batch, submission, &end)
}
