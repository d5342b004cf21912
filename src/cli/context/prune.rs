//! Pruning with the knowledge of the ledger and the engines of who needs what.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cli::context::Context;
use crate::cli::show::output::{self, Report};
use crate::cli::verbs::jobs;
use crate::job::JobId;
use crate::ledger::JobRecord;
use crate::pin::Image;
use crate::store::{Limits, Mark, Pruned, Store, Wanted};

/// How long a job may run, when nobody says it.
const TRASH_AGE: Duration = Duration::from_secs(7 * 86400);

/// After a conversion: keeps the store to `max_size` of [store], at the expense of what was not used for
/// long and no job needs. What cannot be done is said; the image is there in any case.
pub fn keep_to_limit(context: &Context, made: &Image) {
    let Some(most) = context.config.store.max_size.as_ref().map(|value| value.value) else {
        return;
    };
    let Image::Sif { digest, .. } = made else { return };
    let wanted = Wanted { max_size: Some(most), keep: Some(*digest), ..Wanted::default() };
    let pruned = context.store().and_then(|store| prune(context, &store, wanted));
    let limit = output::size(most);
    match pruned {
        Ok(done) if done.left > most => output::warn(format!(
            "the store has {}, more than its limit of {limit}; what is left is needed",
            output::size(done.left)
        )),
        Ok(done) if !done.items.is_empty() => context.voice.say(format!(
            "removed {} files that were not used for long: the store may have {limit}",
            done.items.len()
        )),
        Ok(_) => {}
        Err(Report(error)) => {
            let why = output::cell(&error.to_string());
            output::warn(format!("cannot keep the store to its limit of {limit}: {why}"));
        }
    }
}

/// Prunes; what jobs need stays.
///
/// # Errors
/// As the store says.
pub fn prune(context: &Context, store: &Store, wanted: Wanted) -> Result<Pruned, Report> {
    let set = context.config.store.trash_age.as_ref().map(|value| value.value);
    let limits = Limits { trash_age: set.unwrap_or(TRASH_AGE) };
    let marks = store.marks()?;
    let needs = if marks.is_empty() { BTreeMap::new() } else { needs(context, &marks) };
    // who was marked since is not asked about
    let mut is_needed = |mark: &Mark| needs.get(&mark.job).copied().unwrap_or(true);
    Ok(store.prune(wanted, limits, &mut is_needed)?)
}

/// Which marked jobs may still need their image. What cannot be found out counts as needed.
fn needs(context: &Context, marks: &[Mark]) -> BTreeMap<JobId, bool> {
    let ids: Vec<JobId> = marks.iter().map(|mark| mark.job).collect();
    let Ok(view) = context.jobs(&ids) else { return BTreeMap::new() };
    let jobs: Vec<&JobRecord> = view.jobs().collect();
    // one that the engine does not answer for is not final: its image stays
    match jobs::refresh(context, &jobs) {
        Ok(known) => known.iter().map(|job| (job.record.id, !job.now.is_final())).collect(),
        Err(Report(error)) => {
            let why = output::cell(&error.to_string());
            output::warn(format!(
                "cannot ask which jobs still run ({why}): all images of jobs stay"
            ));
            BTreeMap::new()
        }
    }
}
