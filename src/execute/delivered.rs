//! Where the files of a job lie on this worker: the image, and what goes back to the submitter.

use std::fs;
use std::io::{self, Seek};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::ExecuteError;
use crate::files::{self, ForeignFile};
use crate::job::Delivery;
use crate::oci::{Digest, Sha256Digest};
use crate::worker::{Plan, RETURNED, task_dir};

/// A task's working directory, in its own directory.
const WORK: &str = "work";

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
pub(super) fn receipts(
    delivery: &Delivery,
    control: &Path,
    task: Option<u32>,
) -> io::Result<PathBuf> {
    let own = match task {
        _ if delivery.is_brought() => job(control).to_owned(),
        Some(_) => task_dir(job(control), task),
        None => return Ok(control.to_owned()),
    };
    let returned = own.join(RETURNED);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&returned)?;
    Ok(returned)
}

/// The number of this task, of an array.
///
/// # Errors
/// [`ExecuteError::Task`] when the engine does not say which one it is, or one that the job has not.
pub(super) fn task(plan: &Plan) -> Result<Option<u32>, ExecuteError> {
    let Some(tasks) = &plan.job.terms.tasks else { return Ok(None) };
    let variable = plan.task_from.as_deref();
    let said = variable.and_then(|name| std::env::var(name).ok());
    let task = said.as_deref().and_then(|text| text.parse::<u32>().ok());
    match task.filter(|task| tasks.contains(*task)) {
        Some(task) => Ok(Some(task)),
        None => Err(ExecuteError::Task {
            variable: variable.unwrap_or("no variable").to_owned(),
            said: said.unwrap_or_default(),
            tasks: tasks.clone(),
        }),
    }
}

/// The working directory of the job, or of its task. A task's own is made here, with copies of the job's inputs:
/// what one task writes, no other one sees. It appears as a whole, and an attempt that follows another one finds it.
///
/// # Errors
/// When a file cannot be copied, or is not what was submitted any more.
pub(super) fn workdir(
    plan: &Plan,
    control: &Path,
    task: Option<u32>,
) -> Result<PathBuf, ExecuteError> {
    let shared = job(control).join(&plan.workdir);
    let own = plan.job.workdir.is_none() && !plan.job.delivery.is_brought();
    let Some(_) = task.filter(|_| own) else { return Ok(shared) };
    let place = task_dir(job(control), task);
    let work = place.join(WORK);
    if fs::symlink_metadata(&work).is_ok_and(|found| found.is_dir()) {
        return Ok(work);
    }
    let failed = |what: &str| ExecuteError::io(format!("{what} {}", work.display()));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&place).map_err(failed("making"))?;
    // what a killed attempt left of it goes with its name
    let new = tempfile::Builder::new().prefix(".work-").tempdir_in(&place);
    let new = new.map_err(failed("making"))?;
    for input in &plan.job.terms.inputs {
        let from = shared.join(&input.name);
        let found = copy(&from, &new.path().join(&input.name))
            .map_err(ExecuteError::io(format!("copying {} for this task", from.display())))?;
        if found != input.sha256 {
            return Err(ExecuteError::Input { path: from, found, expected: input.sha256 });
        }
    }
    fs::rename(new.path(), &work).map_err(failed("making"))?;
    Ok(work)
}

/// Copies a file with its mode into a directory that nobody else has; the digest of what was copied.
fn copy(from: &Path, to: &Path) -> io::Result<Digest> {
    if let Some(folder) = to.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let opened = ForeignFile::own_or_roots(u64::MAX).open(from)?;
    let mode = opened.meta().mode() & 0o777;
    let mut from = opened.into_file();
    let mut new =
        fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut from, &mut new)?;
    new.rewind()?;
    let sum = files::sha256(&mut new)?;
    new.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(Digest::from_bytes(sum.sha256))
}
