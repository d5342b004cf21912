//! After the submission: what the engine says, what the workers wrote, and both into the ledger.
//!
//! ```text
//! ledger's view --ask--> engine's observation --+
//!               --collect--> receipts ----------+--> ledger (only what is new)
//!               --settle--> open intents: found at the engine, or still uncertain
//! ```
//!
//! Not promised: that an engine remembers a job for ever. What it no longer knows stays as it was
//! recorded last.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::backend::{Backend, BackendError};
use crate::failure::{Failure, Kind};
use crate::job::{EngineKey, JobState, Observation};
use crate::ledger::{JobRecord, Ledger, LedgerError, Outcome, Submission};
use crate::worker::{RECEIPT_PREFIX, Receipt};

/// The largest receipt that is read, in bytes; ours have about 1,000.
const RECEIPT_LIMIT: u64 = 1 << 20;

/// What went wrong while following jobs.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The engine could not be asked.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The ledger could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Failure for FollowError {
    fn kind(&self) -> Kind {
        match self {
            Self::Backend(error) => error.kind(),
            Self::Ledger(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Backend(error) => error.hint(),
            Self::Ledger(error) => error.hint(),
        }
    }
}

/// Asks the engine for jobs of its kind, records what is new, and gives the state of each in the
/// order given. Jobs that have ended, or never reached the engine, are not asked for.
///
/// # Errors
/// When the engine could not be asked, or the ledger not be written.
pub fn ask(
    ledger: &Ledger,
    backend: &dyn Backend,
    jobs: &[&JobRecord],
) -> Result<Vec<Observation>, FollowError> {
    let mut states: Vec<Observation> = jobs.iter().map(|job| known(job.last())).collect();
    let open: Vec<(usize, EngineKey)> = jobs
        .iter()
        .enumerate()
        .filter(|(i, _)| !states[*i].state.is_final())
        .filter_map(|(i, job)| job.key().map(|key| (i, key.clone())))
        .filter(|(_, key)| key.kind == backend.kind())
        .collect();
    if open.is_empty() {
        return Ok(states);
    }
    let keys: Vec<EngineKey> = open.iter().map(|(_, key)| key.clone()).collect();
    for ((i, _), seen) in open.into_iter().zip(backend.status(&keys)?) {
        let submission = jobs[i].last();
        if seen.state == JobState::Unknown && submission.seen.is_some() {
            continue;
        }
        if !submission.knows_observation(&seen) {
            ledger.observed(&submission.entry, &seen)?;
        }
        states[i] = seen;
    }
    Ok(states)
}

/// The state of a submission as the ledger knows it.
pub fn known(submission: &Submission) -> Observation {
    let state = submission.state();
    match &submission.seen {
        Some(seen) => seen.clone(),
        None => Observation {
            reason: match &submission.outcome {
                Outcome::Refused(why) | Outcome::Uncertain(why) => Some(why.clone()),
                Outcome::Open | Outcome::Submitted(_) => None,
            },
            ..Observation::of(state)
        },
    }
}

/// Records the receipts beside a job that the ledger does not hold yet. What cannot be read comes
/// back as sentences: it must be seen, and must not keep other receipts from being collected.
///
/// # Errors
/// When the ledger could not be written.
pub fn collect(
    ledger: &Ledger,
    submission: &Submission,
    jobs_dir: &Path,
) -> Result<Vec<String>, FollowError> {
    let control = jobs_dir.join(submission.entry.job.to_string()).join("control");
    let mut problems = Vec::new();
    for path in receipts(&control, &mut problems) {
        let receipt = match read(&path) {
            Ok(receipt) => receipt,
            Err(why) => {
                problems.push(format!("{}: {why}", path.display()));
                continue;
            }
        };
        if submission.knows_receipt(&receipt) {
            continue;
        }
        if !ledger.receipt(&submission.entry, &receipt)? {
            problems.push(format!(
                "{}: this receipt is of another submission; it proves nothing here",
                path.display()
            ));
        }
    }
    Ok(problems)
}

fn receipts(control: &Path, problems: &mut Vec<String>) -> Vec<PathBuf> {
    let names = match crate::listing::names(control) {
        Ok(names) => names,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => {
            problems.push(format!("{}: {e}", control.display()));
            return Vec::new();
        }
    };
    let mut paths: Vec<PathBuf> = names
        .into_iter()
        .map(|name| control.join(name))
        .filter(|path| {
            path.extension().is_some_and(|e| e == "json")
                && path
                    .file_name()
                    .and_then(|n| n.to_str())
                    .is_some_and(|n| n.starts_with(RECEIPT_PREFIX))
        })
        .collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> Result<Receipt, String> {
    let size = fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > RECEIPT_LIMIT {
        return Err(format!("{size} bytes are too many for a receipt"));
    }
    Receipt::parse(&fs::read(path).map_err(|e| e.to_string())?).map_err(|e| e.to_string())
}

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
