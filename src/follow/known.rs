//! Jobs of any engines as they are now: each engine is asked once, for its own jobs.

use std::collections::BTreeMap;

use super::engines::Engines;
use super::refresh::{Now, Refresh};
use super::round::Whom;
use super::surroundings::Surroundings;
use crate::failure::Report;
use crate::ledger::JobRecord;

/// A job with its state as of now.
#[derive(Debug)]
pub struct Known<'v> {
    /// From the ledger.
    pub record: &'v JobRecord,
    /// As just asked.
    pub now: Now,
}

/// What was learnt of jobs.
#[derive(Debug)]
pub struct Learnt<'v> {
    /// In the order asked.
    pub known: Vec<Known<'v>>,
    /// Sentences about files that could not be read, and the like; foreign text.
    pub warnings: Vec<String>,
    /// One sentence for each engine that does not answer; foreign text.
    pub silences: Vec<String>,
}

/// Asks the engines for the states of those jobs that have not ended and collects the receipts of all;
/// both go into the ledger. What cannot be asked or recorded is a warning: what is known here is given.
///
/// # Errors
/// When the ledger is not safe: others could have written what is given.
pub fn refresh<'v>(
    here: &dyn Surroundings,
    jobs: &[&'v JobRecord],
) -> Result<Vec<Known<'v>>, Report> {
    refresh_by(&Engines::of(here), jobs)
}

/// As [`refresh`], in a round of questions that may have begun.
///
/// # Errors
/// As [`refresh`].
pub fn refresh_by<'v>(
    engines: &Engines<'_>,
    jobs: &[&'v JobRecord],
) -> Result<Vec<Known<'v>>, Report> {
    let Learnt { known, warnings, silences } = learn(engines, jobs, true)?;
    for warning in warnings.iter().chain(&silences) {
        engines.here.warn(warning);
    }
    Ok(known)
}

/// As [`refresh`], and warns of nothing: for whoever asks again and again.
///
/// # Errors
/// As [`refresh`].
pub fn ask<'v>(here: &dyn Surroundings, jobs: &[&'v JobRecord]) -> Result<Learnt<'v>, Report> {
    ask_by(&Engines::of(here), jobs)
}

/// As [`ask`], in a round of questions that may have begun.
///
/// # Errors
/// As [`refresh`].
pub(super) fn ask_by<'v>(
    engines: &Engines<'_>,
    jobs: &[&'v JobRecord],
) -> Result<Learnt<'v>, Report> {
    learn(engines, jobs, true)
}

/// Collects the receipts of jobs and asks no engine; warns of nothing.
///
/// # Errors
/// As [`refresh`].
pub(super) fn receipts_of<'v>(
    here: &dyn Surroundings,
    jobs: &[&'v JobRecord],
) -> Result<Learnt<'v>, Report> {
    learn(&Engines::of(here), jobs, false)
}

fn learn<'v>(
    engines: &Engines<'_>,
    jobs: &[&'v JobRecord],
    ask: bool,
) -> Result<Learnt<'v>, Report> {
    let here = engines.here;
    let (mut warnings, mut silences) = (Vec::new(), Vec::new());
    let ledger = match here.ledger_if_writable()? {
        Ok(ledger) => Some(ledger),
        Err(why) => {
            warnings.push(why);
            None
        }
    };
    let mut by_kind: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, job) in jobs.iter().enumerate() {
        by_kind.entry(job.last().backend.as_str()).or_default().push(i);
    }
    let mut known: BTreeMap<usize, Now> = BTreeMap::new();
    for (kind, indices) in by_kind {
        let engine = ask.then(|| engines.engine(kind));
        let whom = match &engine {
            None => Whom::Nobody,
            Some(Ok(engine)) => Whom::Engine(engine.as_ref()),
            Some(Err(error)) => Whom::Unknown(error.to_string()),
        };
        let those: Vec<&JobRecord> = indices.iter().map(|i| jobs[*i]).collect();
        let refreshed = Refresh::of(ledger.as_ref(), &whom, here.jobs_dir(), &those);
        warnings.extend(refreshed.warnings);
        silences.extend(refreshed.silence);
        for (job, now) in those.iter().zip(&refreshed.jobs) {
            let whole = job.last().task.is_none();
            if whole && now.is_final() && !job.last().word().state.is_final() {
                let last = job.last();
                here.ended(&last.image, last.delivery.place(), &job.id);
            }
        }
        known.extend(indices.into_iter().zip(refreshed.jobs));
    }
    let known = known.into_iter().map(|(i, now)| Known { record: jobs[i], now }).collect();
    Ok(Learnt { known, warnings, silences })
}
