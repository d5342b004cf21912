//! All submissions that were interrupted, and all jobs whose end nobody has recorded.

use super::engines::Engines;
use super::error::FollowError;
use super::known::{Known, refresh_by};
use super::settle::{Settled, settle};
use super::surroundings::Surroundings;
use crate::failure::Report;
use crate::ledger::index::{Filter, Page};
use crate::ledger::{JobRecord, Ledger, Outcome, Payloads, Submission};

/// What was found out of one job.
#[derive(Debug)]
pub enum Recovered<'j> {
    /// A submission that was never acknowledged.
    Settled(&'j JobRecord, Settled),
    /// Its engine could not be asked for it, or the ledger not be written.
    Failed(Report),
    /// A job that was begun, as it is now: a `run` or supervisor that was killed records no end by itself.
    Asked(&'j Known<'j>),
}

/// Settles what is open; `tell` is told of each job. Nothing is submitted again. Gives the number of jobs that were
/// looked at.
///
/// # Errors
/// When the ledger cannot be read, or is not safe.
pub fn recover(
    here: &dyn Surroundings,
    mut tell: impl FnMut(Recovered<'_>),
) -> Result<usize, Report> {
    let ids = here.page(Filter::Running, Page::newest(usize::MAX))?;
    let view = here.view(&ids, Payloads::Loaded)?;
    // by the engine's own word: a receipt says how a job ended, and not under which number
    let is_open =
        |job: &&JobRecord| matches!(job.last().outcome, Outcome::Open | Outcome::Uncertain(_));
    let (open, begun): (Vec<&JobRecord>, Vec<&JobRecord>) =
        view.jobs().filter(|job| !job.last().word().state.is_final()).partition(is_open);
    let engines = Engines::of(here);
    if !open.is_empty() {
        let ledger = here.ledger()?;
        for job in &open {
            tell(match found(&engines, &ledger, job.last()) {
                Ok(settled) => Recovered::Settled(job, settled),
                Err(error) => Recovered::Failed(error.into()),
            });
        }
    }
    if !begun.is_empty() {
        refresh_by(&engines, &begun)?.iter().for_each(|job| tell(Recovered::Asked(job)));
    }
    Ok(open.len() + begun.len())
}

fn found(
    engines: &Engines<'_>,
    ledger: &Ledger,
    submission: &Submission,
) -> Result<Settled, FollowError> {
    let backend = engines.engine(&submission.backend)?;
    settle(ledger, backend.as_ref(), engines.here.jobs_dir(), submission)
}
