//! Where the files of a job lie on this worker: the image, and what goes back to the submitter.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ExecuteError;
use crate::job::Delivery;
use crate::worker::RETURNED;

/// The image's file, in a job whose directory is `job`. Nothing is said of its bytes: they are measured next.
///
/// # Errors
/// [`ExecuteError::Delivery`] when only a newer program knows the way in which it came, and for a way of this one that
/// leaves no file at a known place.
pub(super) fn place(delivery: &Delivery, job: &Path) -> Result<PathBuf, ExecuteError> {
    match delivery {
        Delivery::Shared { place } | Delivery::File { place } => Ok(place.clone()),
        Delivery::Transfer { place } => Ok(job.join(place.file_name().unwrap_or_default())),
        Delivery::Pull { .. } | Delivery::Cvmfs {} | Delivery::Other { .. } => {
            Err(ExecuteError::Delivery(delivery.name()))
        }
    }
}

/// The job's directory: that of its `control/`.
pub(super) fn job(control: &Path) -> &Path {
    control.parent().unwrap_or(control)
}

/// Where receipts are written.
///
/// # Errors
/// When the directory cannot be made.
pub(super) fn receipts(delivery: &Delivery, control: &Path) -> io::Result<PathBuf> {
    if !delivery.is_brought() {
        return Ok(control.to_owned());
    }
    let returned = job(control).join(RETURNED);
    match fs::create_dir(&returned) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(returned),
    }
}
