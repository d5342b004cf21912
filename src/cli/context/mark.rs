//! The mark of a job at its image in the store, which keeps the image from being pruned.

use std::path::Path;

use crate::cli::context::Context;
use crate::cli::context::room;
use crate::cli::show::output::{CliError, Report};
use crate::failure::Kind;
use crate::job::{JobId, JobSpec};
use crate::pin::Image;
use crate::store::{Needed, Store};

/// Marks the SIF or archive of a job, so that it is not pruned; before an engine is asked. `shared`: other
/// machines read it.
///
/// # Errors
/// When the mark cannot be written, or the image was pruned a moment ago.
pub fn mark(context: &Context, job: &JobSpec, shared: bool) -> Result<(), Report> {
    let Some((store, needed)) = in_store(context, &job.image, job.delivery.place())? else {
        return Ok(());
    };
    if shared {
        room::suits(context, &store, true);
    }
    let dir = context.jobs_dir().join(job.id.to_string());
    if !store.mark(&needed, &job.id, &dir)? {
        return Err(CliError::new(
            Kind::NotFound,
            format!("the image {needed} was pruned just now"),
        )
        .with_hint("the same command makes it again")
        .into());
    }
    Ok(())
}

/// The job has ended: its image may be pruned. When this fails, `prune` finds it out by itself.
pub fn unmark(context: &Context, image: &Image, place: Option<&Path>, job: &JobId) {
    if let Ok(Some((store, needed))) = in_store(context, image, place) {
        let _ = store.unmark(&needed, job);
    }
}

/// As [`unmark`], for a job that no engine has: nothing of its directory is there then.
pub fn unmark_refused(context: &Context, job: &JobSpec) {
    let dir = context.jobs_dir().join(job.id.to_string());
    if std::fs::symlink_metadata(dir).is_err() {
        unmark(context, &job.image, job.delivery.place(), &job.id);
    }
}

/// The own store, and what of it a job needs whose image lies in it.
fn in_store(
    context: &Context,
    image: &Image,
    place: Option<&Path>,
) -> Result<Option<(Store, Needed)>, Report> {
    let needed = match image {
        Image::Sif { digest, .. } => Needed::Sif(*digest),
        Image::Oci { pin } => Needed::Archive(pin.manifest),
        Image::Other { .. } => return Ok(None),
    };
    let Some(place) = place else { return Ok(None) };
    let root = std::path::absolute(context.cache_dir()).unwrap_or_default();
    if !place.starts_with(&root) {
        return Ok(None);
    }
    Ok(Some((context.store()?, needed)))
}
