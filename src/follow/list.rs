//! A list of the newest jobs as they are now, perhaps only those in one state.

use std::collections::BTreeSet;

use super::engines::Engines;
use super::known::{Known, Learnt, ask_by};
use super::newest::newest;
use super::surroundings::Surroundings;
use crate::failure::Report;
use crate::job::{JobId, JobState};
use crate::ledger::index::Filter;
use crate::ledger::{JobRecord, Payloads};

/// The newest jobs, newest first, and whether there are more. `row` makes what is shown of one. With `state` only
/// the jobs that are in it now. Each warning is given once, at the end.
///
/// # Errors
/// When the ledger cannot be read, or is not safe.
pub fn list<T>(
    here: &dyn Surroundings,
    state: Option<JobState>,
    most: usize,
    row: impl Fn(&Known<'_>) -> T,
) -> Result<(Vec<T>, bool), Report> {
    let filter = state.map_or(Filter::All, Filter::State);
    let mut said = BTreeSet::new();
    let engines = Engines::of(here);
    let now = |ids: &[JobId]| -> Result<Vec<(JobState, T)>, Report> {
        let view = here.view(ids, Payloads::Loaded)?;
        let jobs: Vec<&JobRecord> = view.jobs().rev().collect();
        let Learnt { known, warnings, silences } = ask_by(&engines, &jobs)?;
        said.extend(warnings.into_iter().chain(silences));
        Ok(known.iter().map(|job| (job.now.settled.state, row(job))).collect())
    };
    let wanted = |(is, _): &(JobState, T)| state.is_none_or(|state| *is == state);
    let found = newest(most, |page| here.page(filter, page), now, wanted);
    for warning in said {
        here.warn(&warning);
    }
    let (rows, more) = found?;
    Ok((rows.into_iter().map(|(_, row)| row).collect(), more))
}
