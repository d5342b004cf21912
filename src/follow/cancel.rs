//! Ends a job with all its processes.

use super::engines::Engines;
use super::error::FollowError;
use super::known::Known;
use crate::job::Tasks;
use crate::ledger::Ledger;

/// What became of the wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The engine was told.
    Told,
    /// It had ended before.
    HadEnded,
}

/// Tells the job's engine to end it; the wish is recorded before. `ledger` is where.
///
/// # Errors
/// When no engine is known to have it, its engine is not known here, refuses or does not answer, or the ledger cannot be written.
pub fn cancel(
    engines: &Engines<'_>,
    ledger: &Ledger,
    job: &Known<'_>,
) -> Result<Cancelled, FollowError> {
    // a receipt alone does not say whether something of the job is left: its engine is asked to look
    let nobody = job.record.key().is_none() || job.now.forgotten;
    if job.now.engine_ended() || (job.now.is_final() && nobody) {
        return Ok(Cancelled::HadEnded);
    }
    let submission = job.record.last();
    let key = submission.key().ok_or_else(|| FollowError::NobodyHasIt(job.record.which()))?;
    let backend = engines.engine(&submission.backend)?;
    let told = match submission.task.map(Tasks::one) {
        None => {
            ledger.cancelled(&submission.entry)?;
            backend.cancel(key)
        }
        Some(task) => {
            ledger.cancelled_of(&submission.entry, &task)?;
            backend.cancel_tasks(key, &task)
        }
    };
    match told {
        Ok(()) => Ok(Cancelled::Told),
        Err(_) if job.now.is_final() => Ok(Cancelled::HadEnded),
        Err(error) => Err(error.into()),
    }
}
