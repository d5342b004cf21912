//! How a job is now: the engine's answer, the receipts, and one decision ([`crate::ledger::Settled`]) that says what
//! counts. What is new goes into the ledger.

use std::path::Path;

use super::receipts::gather;
use crate::backend::Seen;
use crate::job::{Delivery, JobId, JobState, Observation, Tasks};
use crate::ledger::{Batch, JobRecord, LedgerError, Settled, Source, Submission};
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
