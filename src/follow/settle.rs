//! Submissions that were never acknowledged: the engine is asked for the intent.

use std::path::Path;
use std::time::Duration;

use super::error::FollowError;
use super::release::{choose, let_go, was_to_be_held};
use crate::backend::{Backend, Seen};
use crate::job::EngineKey;
use crate::ledger::{Ledger, Outcome, Submission};

/// What became of an interrupted submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The engine has it.
    Found {
        /// The job that counts.
        key: EngineKey,
        /// Others of the same intent, which were cancelled.
        copies: Vec<EngineKey>,
        /// What could not be done, in sentences.
        problems: Vec<String>,
    },
    /// The engine was asked and knows nothing of it; it is marked uncertain, not submitted again.
    NotFound,
    /// It knows nothing of it, and may show a new job this much later: nothing is recorded.
    NotYet(Duration),
}

/// Asks the engine for an intent whose submission was never acknowledged. Where it took the job more than
/// once, one stays and the others are cancelled; one that is held is let go once it is on record.
///
/// # Errors
/// When the engine could not be asked, or the ledger not be written.
pub fn settle(
    ledger: &Ledger,
    backend: &dyn Backend,
    jobs_dir: &Path,
    submission: &Submission,
) -> Result<Settled, FollowError> {
    let entry = &submission.entry;
    let mut keys = backend.find(&entry.job, &entry.intent)?;
    if keys.is_empty() {
        let age = jiff::Timestamp::now().duration_since(submission.time);
        let left = backend.facts().visible_after.saturating_sub(age.unsigned_abs());
        if !left.is_zero() {
            return Ok(Settled::NotYet(left));
        }
        if submission.outcome == Outcome::Open {
            ledger.uncertain(entry, "the engine does not list the intent")?;
        }
        return Ok(Settled::NotFound);
    }
    let seen = backend.status(&keys)?;
    let chosen = choose(jobs_dir, submission, &keys, &seen).min(keys.len() - 1);
    let held = seen.get(chosen).is_some_and(|seen| seen.held);
    let held = held && was_to_be_held(jobs_dir, &entry.job);
    let mut problems = Vec::new();
    let key = keys.remove(chosen);
    // the copies end before the one that counts may begin
    let of_copies = seen.iter().enumerate().filter(|(i, _)| *i != chosen).map(|(_, seen)| seen);
    let mut copies = Vec::new();
    for (copy, seen) in keys.iter().zip(of_copies) {
        if let Some(problem) = end(backend, copy, seen) {
            problems.push(problem);
        } else {
            copies.push(copy.clone());
        }
        ledger.note(entry, &format!("the engine took the job once more, as {copy}"))?;
    }
    if held {
        ledger.held(entry)?;
    }
    ledger.submitted(entry, &key)?;
    if held && let Err(why) = let_go(ledger, backend, jobs_dir, (entry, &key)) {
        problems.push(format!("{key} is held still: {why}"));
    }
    Ok(Settled::Found { key, copies, problems })
}

/// Ends a copy; says why when that cannot be done.
fn end(backend: &dyn Backend, copy: &EngineKey, seen: &Seen) -> Option<String> {
    if seen.state.is_final() {
        return None;
    }
    let error = backend.cancel(copy).err()?;
    Some(format!("{copy}, a copy of the job, cannot be cancelled: {}", error.why()))
}
