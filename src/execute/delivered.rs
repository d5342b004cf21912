//! Where the files of a job lie on this worker: the image, and what goes back to the submitter.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::ExecuteError;
use crate::job::Delivery;
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
/// what one task writes, no other one sees.
///
/// # Errors
/// When a file cannot be copied.
pub(super) fn workdir(
    plan: &Plan,
    control: &Path,
    task: Option<u32>,
) -> Result<PathBuf, ExecuteError> {
    let shared = job(control).join(&plan.workdir);
    let own = plan.job.workdir.is_none() && !plan.job.delivery.is_brought();
    let Some(_) = task.filter(|_| own) else { return Ok(shared) };
    let work = task_dir(job(control), task).join(WORK);
    let failed = |what: &str| ExecuteError::io(format!("{what} {}", work.display()));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&work).map_err(failed("making"))?;
    for input in &plan.job.terms.inputs {
        let (from, to) = (shared.join(&input.name), work.join(&input.name));
        if to.symlink_metadata().is_ok() {
            // the engine began the task once before
            continue;
        }
        let copy = || {
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::copy(&from, &to)
        };
        copy().map_err(ExecuteError::io(format!("copying {} for this task", from.display())))?;
    }
    Ok(work)
}
