//! The receipts beside a job: read, compared with the submission, recorded once.

use std::io;
use std::path::{Path, PathBuf};

use super::error::FollowError;
use crate::files::ForeignFile;
use crate::ledger::{Batch, Ledger, Submission, latest_receipt};
use crate::worker::{RECEIPT_PREFIX, RETURNED, Receipt, contradicts, task_dir};

/// The largest receipt that is read, in bytes; ours have about 1,000.
const RECEIPT_LIMIT: u64 = 1 << 20;

/// What lies beside a job.
#[derive(Debug, Default)]
pub struct Collected {
    /// The submission's own receipts.
    pub own: Vec<Receipt>,
    /// Whether the job on record began too early, and so never started its program.
    pub too_early: bool,
    /// Whether one of them was not recorded yet.
    pub is_new: bool,
    /// What could not be read, or is another submission's, in sentences. It must be seen, and must not
    /// keep other receipts from being collected.
    pub problems: Vec<String>,
}

impl Collected {
    /// The one of the attempt that ended last.
    #[must_use]
    pub fn last(&self) -> Option<&Receipt> {
        latest_receipt(self.own.iter())
    }
}

/// Reads the receipts beside a job and records those that the ledger does not hold yet; without a
/// ledger they are only read. Those that the ledger has and that are gone from the directory count too.
///
/// # Errors
/// When the ledger could not be written.
pub fn collect(
    ledger: Option<&Ledger>,
    submission: &Submission,
    jobs_dir: &Path,
) -> Result<Collected, FollowError> {
    let mut batch = ledger.map(Ledger::batch);
    let found = gather(batch.as_mut(), submission, jobs_dir)?;
    batch.map_or(Ok(()), Batch::write)?;
    Ok(found)
}

/// The same, recorded with whatever else is in the batch.
pub(super) fn gather(
    mut batch: Option<&mut Batch<'_>>,
    submission: &Submission,
    jobs_dir: &Path,
) -> Result<Collected, FollowError> {
    let job = jobs_dir.join(submission.entry.job.to_string());
    let dir = task_dir(&job, submission.task);
    let mut found = Collected::default();
    let recorded = submission.receipts.iter().map(|record| &record.receipt);
    found.too_early = recorded.clone().any(|receipt| submission.began_too_early(receipt));
    found.own = recorded.filter(|receipt| submission.is_word(receipt)).cloned().collect();
    let places = [dir.join("control"), dir.join(RETURNED)];
    let paths = places.iter().flat_map(|place| receipts(place, &mut found.problems));
    for path in paths.collect::<Vec<_>>() {
        let receipt = match read(&path) {
            Ok(receipt) => receipt,
            Err(why) => {
                found.problems.push(format!("{}: {why}", path.display()));
                continue;
            }
        };
        if submission.knows_receipt(&receipt) {
            continue;
        }
        if submission.task.is_some() && receipt.conditions.task != submission.task {
            let path = path.display();
            found
                .problems
                .push(format!("{path}: this receipt is of another task; it proves nothing here"));
            continue;
        }
        let own = submission.entry.wrote(&receipt);
        if own {
            let others = submission.receipts.iter().map(|record| &record.receipt);
            let others = others.filter(|other| submission.entry.wrote(other)).chain(&found.own);
            for wrong in contradicts(&receipt, &submission.image, others) {
                found.problems.push(format!(
                    "{}: this receipt contradicts itself or its job, and proves nothing: {}",
                    path.display(),
                    wrong.sentence()
                ));
            }
        }
        found.too_early |= submission.began_too_early(&receipt);
        if !own {
            found.problems.push(format!(
                "{}: this receipt is of another submission; it proves nothing here",
                path.display()
            ));
        }
        if let Some(batch) = batch.as_mut() {
            batch.receipt(&submission.entry, &receipt)?;
        }
        if submission.is_word(&receipt) {
            found.own.push(receipt);
            found.is_new = true;
        }
    }
    Ok(found)
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
    let bytes = ForeignFile::own(RECEIPT_LIMIT).bytes(path).map_err(|e| e.to_string())?;
    Receipt::parse(&bytes).map_err(|e| e.to_string())
}
