//! Submissions that were never acknowledged: the engine is asked for the intent.

use super::error::FollowError;
use crate::backend::Backend;
use crate::job::EngineKey;
use crate::ledger::{Ledger, Outcome, Submission};

/// What became of an interrupted submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The engine has it under this key.
    Found(EngineKey),
    /// The engine was asked and knows nothing of it; it is marked uncertain, not submitted again.
    NotFound,
}

/// Asks the engine for an intent whose submission was never acknowledged.
///
/// # Errors
/// When the engine could not be asked, or the ledger not be written.
pub fn settle(
    ledger: &Ledger,
    backend: &dyn Backend,
    submission: &Submission,
) -> Result<Settled, FollowError> {
    if let Some(key) = backend.find(&submission.entry.intent)? {
        ledger.submitted(&submission.entry, &key)?;
        return Ok(Settled::Found(key));
    }
    if submission.outcome == Outcome::Open {
        ledger.uncertain(&submission.entry, "the engine does not list the intent")?;
    }
    Ok(Settled::NotFound)
}
