//! Pruning with the knowledge of the ledger and the engines of who needs what.

use std::collections::BTreeMap;

use super::known::refresh;
use super::surroundings::Surroundings;
use crate::failure::{Report, chain};
use crate::job::JobId;
use crate::ledger::JobRecord;
use crate::store::{Limits, Mark, Pruned, Store, Wanted};

/// Prunes; what jobs need stays.
///
/// # Errors
/// As the store says.
pub fn prune(
    here: &dyn Surroundings,
    store: &Store,
    wanted: Wanted,
    limits: Limits,
) -> Result<Pruned, Report> {
    let marks = store.marks()?;
    let needs = if marks.is_empty() { BTreeMap::new() } else { needs(here, &marks) };
    // who was marked since is not asked about
    let mut is_needed = |mark: &Mark| needs.get(&mark.job).copied().unwrap_or(true);
    Ok(store.prune(wanted, limits, &mut is_needed)?)
}

/// Which marked jobs may still need their image. What cannot be found out counts as needed.
fn needs(here: &dyn Surroundings, marks: &[Mark]) -> BTreeMap<JobId, bool> {
    let ids: Vec<JobId> = marks.iter().map(|mark| mark.job).collect();
    let Ok(view) = here.jobs(&ids) else { return BTreeMap::new() };
    let jobs: Vec<&JobRecord> = view.jobs().collect();
    // one that the engine does not answer for is not final: its image stays
    match refresh(here, &jobs) {
        Ok(known) => known.iter().map(|job| (job.record.id, !job.now.is_final())).collect(),
        Err(Report(error)) => {
            let why = chain(&*error);
            here.warn(&format!("cannot ask which jobs still run ({why}): all images of jobs stay"));
            BTreeMap::new()
        }
    }
}
