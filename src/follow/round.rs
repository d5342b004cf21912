//! One engine's jobs as they are now: the engine is asked once for all of them, and once for all arrays.
//!
//! Only jobs that have not ended are asked for. An engine that does not answer makes no error: its jobs
//! are *unknown* unless a receipt says more, and one sentence says so.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::array;
use super::refresh::{Now, Refresh};
use super::release::release;
use crate::backend::{Backend, Seen};
use crate::job::EngineKey;
use crate::ledger::{JobRecord, Ledger};

/// Who is asked for jobs.
#[derive(Clone)]
pub enum Whom<'b> {
    /// Their engine.
    Engine(&'b dyn Backend),
    /// Nobody: receipts alone are looked at.
    Nobody,
    /// Nobody can be asked: a newer program gave them to an engine that this one does not know. Says so.
    Unknown(String),
}

impl fmt::Debug for Whom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(engine) => f.debug_tuple("Engine").field(&engine.kind()).finish(),
            Self::Nobody => f.write_str("Nobody"),
            Self::Unknown(why) => f.debug_tuple("Unknown").field(why).finish(),
        }
    }
}

impl Refresh {
    /// Asks for jobs of one kind, collects their receipts, and
    /// records what is new. Without a ledger, and when it cannot be written, nothing is recorded.
    #[must_use]
    pub fn of(
        ledger: Option<&Ledger>,
        whom: &Whom<'_>,
        jobs_dir: &Path,
        jobs: &[&JobRecord],
    ) -> Self {
        let mut refresh = Self::default();
        let answers = ask(whom, jobs);
        let mut arrays = ask_for_arrays(whom, jobs);
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
            if let (Some(ledger), Whom::Engine(backend), Some(seen)) = (ledger, whom, &seen)
                && let Err(why) = release(ledger, *backend, jobs_dir, job.last(), seen)
            {
                refresh.warnings.push(format!("job {} is held still: {why}", job.id));
            }
        }
        if let Some(batch) = batch
            && let Err(error) = batch.write()
        {
            refresh.give_up(&mut None, &error);
        }
        refresh.silence = silence(whom, &refresh.jobs);
        refresh
    }
}

fn silence(whom: &Whom<'_>, jobs: &[Now]) -> Option<String> {
    let open = jobs.iter().filter(|now| !now.is_final());
    let silent: Vec<&str> = open.filter_map(|now| now.silent.as_deref()).collect();
    let why = silent.first()?;
    let jobs = match silent.len() {
        1 => "one job is".to_owned(),
        several => format!("{several} jobs are"),
    };
    let who = match whom {
        Whom::Engine(engine) => format!("{} does not answer: ", engine.kind()),
        Whom::Nobody | Whom::Unknown(_) => String::new(),
    };
    Some(format!("{who}{why}; how {jobs} now is not known"))
}

/// The engine's answer for each job that it was asked for.
fn ask(whom: &Whom<'_>, jobs: &[&JobRecord]) -> Vec<Option<Seen>> {
    let mut answers: Vec<Option<Seen>> = vec![None; jobs.len()];
    let open: Vec<(usize, EngineKey)> = jobs
        .iter()
        .enumerate()
        .filter(|(_, job)| job.last().terms.tasks.is_none())
        .filter(|(_, job)| !job.last().word().state.is_final())
        .filter_map(|(i, job)| Some((i, job.key()?.clone())))
        .filter(|(_, key)| whom.has(key))
        .collect();
    if open.is_empty() {
        return answers;
    }
    let keys: Vec<EngineKey> = open.iter().map(|(_, key)| key.clone()).collect();
    let said = match whom {
        Whom::Engine(backend) => backend.status(&keys).map_err(|error| error.why()),
        Whom::Unknown(why) => Err(why.clone()),
        Whom::Nobody => return answers,
    };
    let said = said.unwrap_or_else(|why| vec![Seen::silent(why); open.len()]);
    for ((i, _), seen) in open.into_iter().zip(said) {
        answers[i] = Some(seen);
    }
    answers
}

impl Whom<'_> {
    /// Whether it is asked for this job.
    fn has(&self, key: &EngineKey) -> bool {
        match self {
            Self::Engine(backend) => key.kind == backend.kind(),
            Self::Unknown(_) => true,
            Self::Nobody => false,
        }
    }
}

/// The engine's answer for each array, and for each task that was named: by the job's place in the list.
fn ask_for_arrays(whom: &Whom<'_>, jobs: &[&JobRecord]) -> BTreeMap<usize, array::Answer> {
    let mut answers = BTreeMap::new();
    let (mut places, mut open) = (Vec::new(), Vec::new());
    for (i, job) in jobs.iter().enumerate() {
        let of = job.last();
        let Some(key) = of.key().filter(|key| whom.has(key)) else { continue };
        if of.terms.tasks.is_none() || of.word().state.is_final() {
            continue;
        }
        match array::open(of) {
            Some(tasks) => {
                places.push(i);
                open.push((key.clone(), tasks));
            }
            None => drop(answers.insert(i, Vec::new())),
        }
    }
    if open.is_empty() {
        return answers;
    }
    let said = match whom {
        Whom::Engine(backend) => backend.status_of_arrays(&open),
        Whom::Unknown(why) => {
            let silent = |(_, tasks)| vec![(tasks, Seen::silent(why.clone()))];
            open.into_iter().map(silent).collect()
        }
        Whom::Nobody => Vec::new(),
    };
    answers.extend(places.into_iter().zip(said));
    answers
}

fn of_task(answer: &array::Answer, task: u32) -> Option<Seen> {
    answer.iter().find(|(tasks, _)| tasks.contains(task)).map(|(_, seen)| seen.clone())
}
