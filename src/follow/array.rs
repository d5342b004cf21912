//! An array as it is now: its engine's word on each task, the tasks' receipts, and what follows for the whole.
//!
//! ```text
//! engine --status_of_arrays-> word on ranges of tasks --new--> ledger, one record for equal tasks
//! tasks/7/returned/ --------> receipts                --new--> ledger
//!           each task as a job of its own (refresh.rs) --> Settled::of_tasks --changed--> ledger, of the whole
//! ```
//!
//! A task of which ledger and engine know the end, and whose receipt is recorded, is not looked at again.

use std::collections::BTreeMap;
use std::path::Path;

use super::receipts::gather;
use super::refresh::{Now, Refresh, forget_secrets, has_secrets};
use crate::backend::Seen;
use crate::job::{JobState, Observation, Tasks};
use crate::ledger::{Batch, COMPLETE, JobRecord, LedgerError, Settled, Source, Submission};

/// What an engine says of an array: of each task that it was asked for.
pub(super) type Answer = Vec<(Tasks, Seen)>;

/// The tasks of which something may still be learnt, and those that the engine is to be asked for.
struct Open {
    /// Each as it is recorded.
    tasks: Vec<(u32, Submission)>,
    /// What counts for the others.
    closed: Vec<(u32, Settled)>,
}

impl Open {
    fn of(submission: &Submission) -> Self {
        let (mut tasks, mut closed) = (Vec::new(), Vec::new());
        for (task, of) in submission.each_task() {
            if of.word().state.is_final() && of.own_receipt().is_some() {
                closed.push((task, of.settled()));
            } else {
                tasks.push((task, of));
            }
        }
        Self { tasks, closed }
    }
}

/// Those tasks of an array, or the one that is looked at, of which the engine has not said that they ended.
pub(super) fn open(submission: &Submission) -> Option<Tasks> {
    let one = submission.task.filter(|_| !submission.word().state.is_final());
    let open = submission.each_task().filter(|(_, of)| !of.word().state.is_final());
    Tasks::of(open.map(|(task, _)| task).chain(one))
}

/// The word on the whole, as far as a release needs it.
pub(super) fn word(answer: &Answer) -> Option<Seen> {
    let held = answer.iter().find(|(_, seen)| seen.held);
    let begun = || answer.iter().find(|(_, seen)| seen.silent.is_none());
    held.or_else(begun).or(answer.first()).map(|(_, seen)| seen.clone())
}

impl Refresh {
    /// The whole array; with `only`, that task.
    pub(super) fn array(
        &mut self,
        batch: &mut Option<Batch<'_>>,
        jobs_dir: &Path,
        job: &JobRecord,
        answer: &Answer,
    ) -> Now {
        let submission = job.last();
        let open = Open::of(submission);
        if let Some(ours) = batch.as_mut()
            && let Err(error) = record(ours, submission, &open, answer)
        {
            self.give_up(batch, &error);
        }
        let mut seen: BTreeMap<u32, &Seen> = BTreeMap::new();
        for (tasks, said) in answer {
            seen.extend(tasks.numbers().map(|task| (task, said)));
        }
        // of a task that did not know which one it was
        match gather(batch.as_mut(), submission, jobs_dir) {
            Ok(collected) => self.warnings.extend(collected.problems),
            Err(error) => self.give_up(batch, &error),
        }
        let mut parts = open.closed;
        let mut silent = None;
        let (mut waiting, mut forgotten) = (0_u64, 0_u64);
        // a receipt alone is no end: the engine may begin the task once more
        let mut over = true;
        for (task, of) in open.tasks {
            let said = seen.get(&task).copied();
            if said.is_some_and(|said| has_not_begun(said, &of)) {
                // nothing lies beside it
                over = false;
                waiting += 1;
                let Observation { state, exit_code, reason, .. } =
                    said.map_or_else(|| Observation::of(JobState::Submitted), Seen::observation);
                let source = Source::Engine;
                parts.push((task, Settled { state, exit_code, reason, source }));
                continue;
            }
            let task_job = JobRecord { id: job.id, submissions: vec![of] };
            let now = self.one(batch, jobs_dir, &task_job, said, false);
            over &= now.engine_ended() || (now.forgotten && now.is_final());
            if !now.is_final() {
                waiting += 1;
                forgotten += u64::from(now.forgotten);
                silent = silent.or(now.silent);
            }
            parts.push((task, now.settled));
        }
        parts.sort_by_key(|(task, _)| *task);
        let parts = Tasks::together(parts);
        let settled = Settled::of_tasks(&parts);
        let now = Now {
            // what followed from the tasks: its word is not the engine's
            engine: submission.seen.clone().map(|seen| Observation { engine_state: None, ..seen }),
            silent,
            forgotten: waiting > 0 && waiting == forgotten,
            settled,
            tasks: parts,
        };
        if over && now.is_final() && has_secrets(submission) {
            forget_secrets(jobs_dir, job.id);
        }
        if let Some(ours) = batch.as_mut()
            && (over || !now.is_final())
            && let Err(error) = record_whole(ours, submission, &now.settled)
        {
            self.give_up(batch, &error);
        }
        now
    }
}

/// The engine answered that it waits, and never said anything else.
fn has_not_begun(said: &Seen, of: &Submission) -> bool {
    let waits = |state| state == JobState::Submitted;
    said.silent.is_none()
        && waits(said.state)
        && of.receipts.is_empty()
        && of.seen.as_ref().is_none_or(|seen| waits(seen.state))
}

/// Records what is new in an engine's answer, equal tasks together.
fn record(
    batch: &mut Batch<'_>,
    submission: &Submission,
    open: &Open,
    answer: &Answer,
) -> Result<(), LedgerError> {
    let known: BTreeMap<u32, &Submission> = open.tasks.iter().map(|(t, of)| (*t, of)).collect();
    for (tasks, seen) in answer {
        let word = seen.observation();
        let new = tasks.numbers().filter(|task| {
            known.get(task).is_some_and(|of| super::refresh::is_news(of, seen, &word))
        });
        if let Some(new) = Tasks::of(new) {
            batch.observed_of(&submission.entry, &new, &word)?;
        }
    }
    Ok(())
}

/// Records what follows for the whole, when that is another thing than before.
fn record_whole(
    batch: &mut Batch<'_>,
    submission: &Submission,
    now: &Settled,
) -> Result<(), LedgerError> {
    // then nothing more can be learnt
    let complete = now.state.is_final() && now.source == Source::Receipt;
    let engine_state = complete.then(|| COMPLETE.to_owned());
    let exit_code = now.exit_code;
    let word = Observation { exit_code, engine_state, ..Observation::of(now.state) };
    let begun = submission.word();
    if submission.seen.as_ref() == Some(&word)
        || (submission.seen.is_none() && begun.state == word.state)
    {
        return Ok(());
    }
    batch.observed(&submission.entry, &word)
}
