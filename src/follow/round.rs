//! One engine's jobs as they are now: the engine is asked once for all of them, and once for each array.
//!
//! Only jobs that have not ended are asked for. An engine that does not answer makes no error: its jobs
//! are *unknown* unless a receipt says more, and one sentence says so.

use std::collections::BTreeMap;
use std::path::Path;

use super::array;
use super::refresh::{Now, Refresh};
use super::release::release;
use crate::backend::{Backend, Seen};
use crate::job::EngineKey;
use crate::ledger::{JobRecord, Ledger};

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
