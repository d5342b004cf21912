//! A job that is an array: what is recorded of each of its tasks, and what counts for the whole.
//!
//! ```text
//! record                              is of
//! intent, submitted, held, note ...   every task
//! observed with tasks                 these tasks: the engine's word
//! observed without tasks              the whole: what followed from its tasks when it was written
//! receipt with a task                 this task
//! ```
//!
//! One task is a [`Submission`] of its own ([`Submission::of_task`]), so that state, code and verdict follow as
//! they do for a job that is no array. The whole follows from its tasks ([`Settled::of_tasks`]):
//!
//! ```text
//! all completed                       completed, 0
//! all ended, one failed               failed, and the code of the first task, by number, that did not complete
//! all ended, none failed, one killed  killed, likewise
//! one runs, or some have ended        running
//! of the others nobody knows          unknown
//! ```

use std::collections::BTreeMap;

use super::body::Body;
use super::personal::Payload;
use super::settled::{Settled, Source};
use super::view::{Event, JobRecord, ReceiptRecord, Submission};
use crate::job::{JobRef, JobState, Observation, Tasks};

/// The engine's word of an observation of the whole, when it has ended and each task left a receipt of its own.
pub const COMPLETE: &str = "each task left its receipt";

/// The records that are of some tasks only, by task: places in the history, and in the receipts.
type Own<'s> = BTreeMap<u32, (Vec<&'s Event>, Vec<&'s ReceiptRecord>)>;

impl JobRecord {
    /// What it is called: the job, or one of its tasks.
    #[must_use]
    pub fn which(&self) -> JobRef {
        JobRef { job: self.id, task: self.last().task }
    }

    /// One task of its last submission, with what is recorded of it; `None` when it has no such task.
    #[must_use]
    pub fn of_task(&self, task: u32) -> Option<Self> {
        let submissions = self.submissions.iter().filter_map(|of| of.of_task(task)).collect();
        let job = Self { id: self.id, submissions };
        (self.last().tasks()?.contains(task)).then_some(job)
    }
}

impl Submission {
    /// The tasks, of an array that is looked at as a whole.
    #[must_use]
    pub fn tasks(&self) -> Option<&Tasks> {
        self.terms.tasks.as_ref().filter(|_| self.task.is_none())
    }

    /// The tasks of the array, also of one task of it.
    #[must_use]
    pub fn array(&self) -> Option<&Tasks> {
        self.array.as_ref().or(self.terms.tasks.as_ref())
    }

    /// Which job, or which task of one, it repeats.
    #[must_use]
    pub fn repeats(&self) -> Option<JobRef> {
        self.rerun_of.map(|job| JobRef::repeated(job, self.terms.tasks.as_ref()))
    }

    /// One of its tasks.
    #[must_use]
    pub fn of_task(&self, task: u32) -> Option<Self> {
        self.tasks().filter(|tasks| tasks.contains(task))?;
        let (_, of) = self.each_of(&[task]).next()?;
        Some(Self { personal: self.personal.clone(), ..of })
    }

    /// Each of its tasks, ascending; none of a job that is no array.
    pub fn each_task(&self) -> impl Iterator<Item = (u32, Self)> + use<> {
        let numbers: Vec<u32> = self.tasks().map(|t| t.numbers().collect()).unwrap_or_default();
        self.each_of(&numbers)
    }

    /// These tasks, each as a submission of its own.
    ///
    /// Without the texts of the payload, which are the same for all: [`Submission::of_task`] has them.
    pub fn each_of(&self, numbers: &[u32]) -> impl Iterator<Item = (u32, Self)> + use<> {
        let mut own: Own<'_> = numbers.iter().map(|task| (*task, Default::default())).collect();
        for event in &self.history {
            match &event.body {
                Body::Observed { tasks: Some(tasks), .. }
                | Body::Cancelled { tasks: Some(tasks), .. } => {
                    for range in tasks.ranges() {
                        for (_, of) in own.range_mut(range.clone()) {
                            of.0.push(event);
                        }
                    }
                }
                Body::Receipt { receipt, .. } => {
                    if let Some(of) = receipt.conditions.task.and_then(|task| own.get_mut(&task)) {
                        of.0.push(event);
                    }
                }
                // of the whole
                Body::Observed { tasks: None, .. } => {}
                _ => own.values_mut().for_each(|of| of.0.push(event)),
            }
        }
        for record in &self.receipts {
            if let Some(of) = record.receipt.conditions.task.and_then(|task| own.get_mut(&task)) {
                of.1.push(record);
            }
        }
        let bare = Self { seen: None, personal: Payload::Left, ..self.without_records() };
        let one = move |(task, (history, receipts)): (u32, (Vec<&Event>, Vec<&ReceiptRecord>))| {
            let mut of = bare.clone();
            of.task = Some(task);
            of.array = of.terms.tasks.replace(Tasks::one(task));
            of.seen = last_word(&history);
            of.cancelled = history.iter().any(|event| matches!(event.body, Body::Cancelled { .. }));
            of.history = history.into_iter().cloned().collect();
            of.receipts = receipts.into_iter().cloned().collect();
            (task, of)
        };
        own.into_iter().map(one).collect::<Vec<_>>().into_iter()
    }

    /// What counts for each of its tasks, as far as it is recorded; tasks of which the same is known together.
    #[must_use]
    pub fn tasks_settled(&self) -> Vec<(Tasks, Settled)> {
        Tasks::together(self.each_task().map(|(task, of)| (task, of.settled())))
    }
}

/// The last observation that says something; *unknown* does not hide what was known.
fn last_word(history: &[&Event]) -> Option<Observation> {
    let mut last: Option<Observation> = None;
    for event in history {
        if let Body::Observed { state, exit_code, engine_state, .. } = &event.body
            && (*state != JobState::Unknown || last.is_none())
        {
            last = Some(Observation {
                state: *state,
                exit_code: *exit_code,
                engine_state: engine_state.clone(),
                reason: event.text.clone(),
            });
        }
    }
    last
}

impl Settled {
    /// What follows for a whole array from its tasks; nothing of none.
    #[must_use]
    pub fn of_tasks(parts: &[(Tasks, Self)]) -> Self {
        let count = |state: JobState| -> u64 {
            parts.iter().filter(|(_, of)| of.state == state).map(|(tasks, _)| tasks.count()).sum()
        };
        let all: u64 = parts.iter().map(|(tasks, _)| tasks.count()).sum();
        let ended = count(JobState::Completed) + count(JobState::Failed) + count(JobState::Killed);
        let has = |state| count(state) > 0;
        let state = if ended == all && all > 0 {
            match (has(JobState::Failed), has(JobState::Killed)) {
                (true, _) => JobState::Failed,
                (false, true) => JobState::Killed,
                (false, false) => JobState::Completed,
            }
        } else if has(JobState::Running) {
            JobState::Running
        } else if has(JobState::Unknown) {
            JobState::Unknown
        } else if ended > 0 {
            JobState::Running
        } else if has(JobState::Submitted) {
            JobState::Submitted
        } else {
            JobState::Submitting
        };
        let first = |tasks: &Tasks| tasks.ranges().first().map_or(u32::MAX, |range| *range.start());
        let bad = parts.iter().filter(|(_, of)| of.state != JobState::Completed);
        let bad = bad.min_by_key(|(tasks, _)| first(tasks));
        let exit_code = match (state.is_final(), bad) {
            (false, _) => None,
            (true, None) => Some(0),
            (true, Some((_, of))) => of.exit_code,
        };
        let by = |source| parts.iter().any(|(_, of)| of.source == source);
        let source = match (by(Source::Engine), by(Source::Ledger)) {
            (true, _) => Source::Engine,
            (false, true) => Source::Ledger,
            (false, false) => Source::Receipt,
        };
        Self { state, exit_code, reason: Some(counts(parts)), source }
    }
}

/// `398 of 400 tasks completed, 2 failed`.
fn counts(parts: &[(Tasks, Settled)]) -> String {
    let all: u64 = parts.iter().map(|(tasks, _)| tasks.count()).sum();
    let mut by_state: Vec<(JobState, u64)> = Vec::new();
    for (_, state) in JobState::ALL {
        let of = parts.iter().filter(|(_, of)| of.state == *state);
        let count: u64 = of.map(|(tasks, _)| tasks.count()).sum();
        if count > 0 {
            by_state.push((*state, count));
        }
    }
    // what is done first
    by_state.sort_by_key(|(state, _)| (*state != JobState::Completed, !state.is_final()));
    let tasks = if all == 1 { "1 task" } else { &format!("{all} tasks") };
    let said: Vec<String> = match by_state.as_slice() {
        [(state, _)] => return format!("{tasks} {state}"),
        some => some.iter().map(|(state, count)| format!("{count} {state}")).collect(),
    };
    format!("of {tasks} {}", said.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{self, at};
    use crate::ledger::{Ledger, View};
    use crate::oci::{Sha256Digest, SifDigest};
    use crate::worker::{Conditions, Receipt, Start};

    fn part(tasks: &str, state: JobState, exit_code: Option<i32>) -> (Tasks, Settled) {
        (tasks.parse().unwrap(), Settled { state, exit_code, reason: None, source: Source::Engine })
    }

    #[test]
    fn the_whole_follows_from_its_tasks() {
        use JobState::{Completed, Failed, Killed, Running, Submitted, Unknown};
        let whole = |parts: &[(Tasks, Settled)]| {
            let whole = Settled::of_tasks(parts);
            (whole.state, whole.exit_code, whole.reason.unwrap())
        };
        let done = part("1-8", Completed, Some(0));
        assert_eq!(
            whole(std::slice::from_ref(&done)),
            (Completed, Some(0), "8 tasks completed".into())
        );
        let (late, early) = (part("12", Failed, Some(5)), part("9-10", Killed, Some(143)));
        let said = "of 11 tasks 8 completed, 1 failed, 2 killed".to_owned();
        assert_eq!(whole(&[done.clone(), late, early.clone()]), (Failed, Some(143), said));
        assert_eq!(whole(&[done.clone(), early]).0, Killed);
        let waits = part("9", Submitted, None);
        assert_eq!(whole(std::slice::from_ref(&waits)).0, Submitted);
        assert_eq!(whole(&[done.clone(), waits]).0, Running);
        let lost = part("9", Unknown, None);
        assert_eq!(whole(&[done.clone(), lost.clone()]), {
            (Unknown, None, "of 9 tasks 8 completed, 1 unknown".into())
        });
        assert_eq!(whole(&[lost, part("11", Running, None)]).0, Running);
    }

    #[test]
    fn a_record_is_of_the_tasks_that_it_names() {
        let dir = testing::private();
        let ledger = Ledger::open(dir.path()).unwrap();
        let mut intent =
            testing::intent(&testing::entry(1), "slurm", testing::sif(None, SifDigest::of(b"sif")));
        intent.spec.terms.tasks = Some("1-4".parse().unwrap());
        let entry = ledger.intend(&intent).unwrap();
        ledger.submitted(&entry, &testing::key("slurm", 12)).unwrap();
        let job = || View::read(ledger.dir()).unwrap().job(entry.job).unwrap().clone();
        assert_eq!(job().settled().state, JobState::Submitted);
        let tasks = |text: &str| text.parse::<Tasks>().unwrap();
        let seen = |tasks: &Tasks, state| {
            let mut batch = ledger.batch();
            batch.observed_of(&entry, tasks, &Observation::of(state)).unwrap();
            batch.write().unwrap();
        };
        seen(&tasks("1-2"), JobState::Running);
        seen(&tasks("2"), JobState::Failed);
        let receipt = |task: u32, exit_code| Receipt {
            attempt: format!("{task:032x}"),
            exit_code,
            start: Start::Started { at: at(1) },
            conditions: Conditions { task: Some(task), ..Conditions::default() },
            ..testing::receipt(&entry)
        };
        ledger.receipt(&entry, &receipt(1, 0)).unwrap();
        ledger.receipt(&entry, &receipt(2, 3)).unwrap();
        // one that is of no task of this job
        ledger.receipt(&entry, &receipt(77, 9)).unwrap();
        ledger.cancelled_of(&entry, &tasks("3")).unwrap();
        let job = job();
        let state = |task| {
            let of = job.of_task(task).unwrap();
            let settled = of.settled();
            (settled.state, settled.exit_code, of.last().cancelled)
        };
        assert_eq!(state(1), (JobState::Completed, Some(0), false));
        assert_eq!(state(2), (JobState::Failed, Some(3), false));
        assert_eq!(state(3), (JobState::Submitted, None, true));
        assert_eq!(state(4), (JobState::Submitted, None, false));
        assert!(job.of_task(5).is_none() && job.of_task(1).unwrap().of_task(1).is_none());
        assert_eq!(job.of_task(3).unwrap().which().to_string(), format!("{}.3", entry.job));
        let whole = job.settled();
        assert_eq!((whole.state, whole.exit_code), (JobState::Running, None));
        let parts = job.last().tasks_settled();
        let said: Vec<String> = parts.iter().map(|(t, of)| format!("{t} {}", of.state)).collect();
        assert_eq!(said, ["1 completed", "2 failed", "3-4 submitted"]);
    }
}
