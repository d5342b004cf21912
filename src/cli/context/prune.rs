//! Pruning as the configuration wants it.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::context::Context;
use crate::cli::show::output::{self, Report};
use crate::execute::{self, Bounds, Kept};
use crate::follow;
use crate::pin::Image;
use crate::store::{Limits, Pruned, Store, Wanted};

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

/// Prunes; what jobs need stays. The trash is kept for as long as the configuration says.
///
/// # Errors
/// As the store says.
pub fn prune(context: &Context, store: &Store, wanted: Wanted) -> Result<Pruned, Report> {
    let set = context.config.store.trash_age.as_ref().map(|value| value.value);
    follow::prune(context, store, wanted, Limits { trash_age: set.unwrap_or(TRASH_AGE) })
}

/// Prunes what jobs left in this machine's own caches; what a job runs from stays. Unpacked images in the store itself are
/// among those of [`prune`].
pub fn node(context: &Context, wanted: Wanted) -> Kept {
    let bounds = Bounds {
        size: wanted.max_size,
        age: wanted.older_than,
        keep: wanted.keep,
        dry_run: wanted.dry_run,
        without_trees: false,
    };
    let set = context.config.node_cache.as_ref().map(|value| value.value.clone());
    let own = context.cache_dir().join("node");
    let temporary = context.env("TMPDIR").map(PathBuf::from);
    let mut places: Vec<PathBuf> = Vec::new();
    for place in set.into_iter().chain([own]).chain(temporary).chain(["/tmp".into()]) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    let mut all = Kept::default();
    for place in places {
        let without_trees = place.starts_with(context.cache_dir());
        let kept = execute::tidy_node(&place, Bounds { without_trees, ..bounds });
        all.gone.extend(kept.gone);
        all.needed += kept.needed;
        all.left += kept.left;
    }
    all
}
