//! **Not isolated**: the demo's job on a machine where nothing can isolate one.

use std::fs::File;
use std::path::Path;

use super::{DemoError, record};
use crate::execute;
use crate::job::JobSpec;
use crate::pin::Image;

/// Starts the job's program through its own loader; `dir` is the demo's folder.
///
/// # Errors
/// When the image or its program cannot be used this way.
pub fn start(
    dir: &Path,
    spec: &JobSpec,
    work: &Path,
    streams: (File, File),
) -> Result<i32, DemoError> {
    let (Image::Sif { digest, .. }, Some(place)) = (&spec.image, spec.delivery.place()) else {
        return Err(DemoError::Unexpected {
            what: "the image",
            expected: "a SIF".into(),
            got: spec.image.name(),
        });
    };
    let cache = dir.join("cache/node");
    execute::run_through_own_loader(place, *digest, &cache, &spec.command, work, streams)
        .map_err(record::failed)
}
