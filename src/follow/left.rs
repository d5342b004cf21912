//! The files that a job left, as the receipt that counts lists them: of the job, or of each task of an array.
//!
//! ```text
//! receipt  path, size, SHA-256   the declared ones (--output GLOB)
//!          path, size            other files that are new
//! place    --workdir DIR, else the job's or task's own work/; an engine that brings files puts them there, too
//! ```
//!
//! Not promised: that all are listed. What a receipt's list lacks stands in its notes.

use std::path::{Path, PathBuf};

use super::error::FollowError;
use super::known::Known;
use super::receipts::collect;
use crate::job::{JobRef, Tasks};
use crate::ledger::{Payload, Personal, Submission};
use crate::worker::{Declared, OUTPUT_NOTE, Output, Receipt, task_dir};

/// What one job, or one task, left.
#[derive(Clone, Debug)]
pub struct Left {
    /// Of which.
    pub which: JobRef,
    /// Its working directory.
    pub work: PathBuf,
    /// Where its files go, below the directory that files are fetched into: each task of a whole array has its own.
    pub place: PathBuf,
    /// The declared ones.
    pub declared: Vec<Output>,
    /// Others that are new.
    pub others: Vec<Output>,
    /// What the list lacks, in sentences; foreign text.
    pub notes: Vec<String>,
}

/// Which of them are meant.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// Those that the job declared.
    Declared,
    /// Those that are new, too.
    All,
    /// These, by their paths below the working directory.
    Named(&'a [String]),
}

/// The directory that a job, or one task, sees as `/work_dir`: the one that the user named, else its own.
#[must_use]
pub fn work_dir(jobs_dir: &Path, which: JobRef, named: Option<&Path>) -> PathBuf {
    let own = || task_dir(&jobs_dir.join(which.job.to_string()), which.task).join("work");
    named.map_or_else(own, Path::to_owned)
}

/// What a job that has ended left, each task for itself; and the tasks that left no receipt.
///
/// # Errors
/// When it has not ended, left no receipt, or the names of its files were erased.
pub fn left(jobs_dir: &Path, job: &Known<'_>) -> Result<(Vec<Left>, Option<Tasks>), FollowError> {
    let which = job.record.which();
    if !job.now.is_final() {
        return Err(FollowError::NotEnded { job: which, state: job.now.settled.state });
    }
    let submission = job.record.last();
    let Payload::Present(personal) = &submission.personal else {
        return Err(FollowError::Erased(which));
    };
    let of = |submission: &Submission| -> Result<Option<Left>, FollowError> {
        let found = collect(None, submission, jobs_dir)?;
        Ok(found.last().map(|receipt| Left::of(jobs_dir, submission, personal, receipt)))
    };
    let Some(tasks) = submission.tasks() else {
        let left = of(submission)?.ok_or_else(|| FollowError::NoReceipt {
            job: which,
            work: work_dir(jobs_dir, which, personal.workdir.as_deref()),
        })?;
        return Ok((vec![left], None));
    };
    let (mut all, mut without) = (Vec::new(), Vec::new());
    for (task, submission) in submission.each_task() {
        match of(&submission)? {
            Some(left) => all.push(Left { place: task.to_string().into(), ..left }),
            None => without.push(task),
        }
    }
    if all.is_empty() {
        let first = JobRef { task: tasks.at(0), ..which };
        let work = work_dir(jobs_dir, first, personal.workdir.as_deref());
        return Err(FollowError::NoReceipt { job: which, work });
    }
    Ok((all, Tasks::of(without)))
}

impl Left {
    fn of(jobs_dir: &Path, of: &Submission, personal: &Personal, receipt: &Receipt) -> Self {
        let patterns: Vec<Declared> =
            personal.declared.iter().filter_map(|text| Declared::read(text).ok()).collect();
        let is_declared = |output: &Output| {
            output.sha256.is_some() || patterns.iter().any(|p| p.has(Path::new(&output.path)))
        };
        let (declared, others) = receipt.conditions.outputs.iter().cloned().partition(is_declared);
        let notes = receipt.notes.iter().filter(|note| note.starts_with(OUTPUT_NOTE));
        let which = JobRef { job: of.entry.job, task: of.task };
        Self {
            which,
            work: work_dir(jobs_dir, which, personal.workdir.as_deref()),
            place: PathBuf::new(),
            declared,
            others,
            notes: notes.cloned().collect(),
        }
    }

    /// Those that are meant, and an error for each name that the receipt does not list.
    #[must_use]
    pub fn chosen(&self, which: Which<'_>) -> Vec<Result<&Output, FollowError>> {
        let all = || self.declared.iter().chain(&self.others);
        match which {
            Which::Declared if self.declared.is_empty() => {
                let others = self.others.len();
                vec![Err(FollowError::NoneDeclared { job: self.which, others })]
            }
            Which::Declared => self.declared.iter().map(Ok).collect(),
            Which::All => all().map(Ok).collect(),
            Which::Named(names) => {
                let named = |name: &String| {
                    let plain = name.strip_prefix("./").unwrap_or(name);
                    all()
                        .find(|output| output.path == plain)
                        .ok_or_else(|| FollowError::NotLeft { job: self.which, name: name.clone() })
                };
                names.iter().map(named).collect()
            }
        }
    }
}
