//! A ledger that can be written to: what is recorded, and when.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::beside;
use super::body::{Body, EngineName};
use super::dir::{self, private_dir};
use super::error::LedgerError;
use super::hash::RecordHash;
use super::personal;
use super::writer::Writer;
use crate::job::{IntentId, JobId, JobSpec, Name, Nonce};
use crate::oci::{Digest, SifDigest, TreeRoot};
use crate::pin::Recipe;
use crate::worker::Receipt;

/// A ledger that can be written to. Several may be open at once, in one process or in many.
#[derive(Debug)]
pub struct Ledger {
    pub(super) dir: PathBuf,
    /// Where the jobs' directories are, when each is to say where its records stand.
    pub(super) jobs: Option<PathBuf>,
    /// Taken up at the first append, so that reading verbs make no file.
    pub(super) writer: Mutex<Option<Writer>>,
}

/// What is recorded before an engine hears of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The whole job; its texts go to the erasable payload.
    pub spec: JobSpec,
    /// This submission.
    pub intent: IntentId,
    /// Comes back in its receipts.
    pub nonce: Nonce,
    /// The kind of engine: `local`, or the name of a batch engine.
    pub backend: Name,
    /// The engine's job in which it is started, for a `run` inside of one.
    pub enclosing: Option<EngineName>,
    /// The hash of the plan's bytes.
    pub plan: RecordHash,
    /// Who submits.
    pub user: String,
    /// From which machine.
    pub host: String,
}

/// A conversion that this user made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// The manifest that was converted.
    pub manifest: Digest,
    /// How.
    pub recipe: Recipe,
    /// What came out.
    pub sif: SifDigest,
    /// The root of its tree of hashes, when it has one.
    pub tree: Option<TreeRoot>,
}

/// A recorded submission: what the later records of it need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Recorded {
    /// The job.
    pub job: JobId,
    /// The submission.
    pub intent: IntentId,
    /// What its receipts must carry.
    pub nonce: Nonce,
}

impl Ledger {
    /// Opens a ledger, making its directory (0700) when there is none.
    ///
    /// # Errors
    /// When the directory cannot be made, is another user's, or others may write in it.
    pub fn open(dir: &Path) -> Result<Self, LedgerError> {
        private_dir(dir)?;
        dir::check(dir)?;
        Ok(Self { dir: dir.to_owned(), jobs: None, writer: Mutex::new(None) })
    }

    /// Notes beside each job in which files its records stand. `jobs` is the directory of the jobs' directories.
    #[must_use]
    pub fn with_jobs(self, jobs: &Path) -> Self {
        Self { jobs: Some(jobs.to_owned()), ..self }
    }

    /// Where it lies.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Erases everything of a submission that can name a person, and says how many files that
    /// were. The chain stays as it is, and valid. Backups and snapshots are not reached.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn erase(&self, intent: IntentId) -> Result<usize, LedgerError> {
        personal::erase(&self.dir, intent)
    }

    /// Appends records with one sync: all of them are on the disk when this returns, or none counts as
    /// acknowledged. Payloads that they commit to must be there already ([`Batch`] does both).
    ///
    /// # Errors
    /// When they are not on the disk.
    pub fn append_all(&self, bodies: &[Body]) -> Result<(), LedgerError> {
        if bodies.is_empty() {
            return Ok(());
        }
        let mut held = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // out of its place: a writer that failed is not used again
        let ready = match held.take() {
            Some(mut writer) => {
                if writer.is_ready(&self.dir)? {
                    Some(writer)
                } else {
                    writer.abandon();
                    None
                }
            }
            None => None,
        };
        let mut writer =
            if let Some(writer) = ready { writer } else { Writer::acquire(&self.dir)? };
        if let Some(jobs) = &self.jobs {
            let first = |body: &Body| matches!(body, Body::Intent { .. });
            let mut noted: Vec<(JobId, bool)> =
                bodies.iter().filter_map(|body| Some((body.job()?, first(body)))).collect();
            noted.sort_unstable();
            noted.dedup();
            for (job, first) in noted {
                beside::note(jobs, job, writer.segment(), first);
            }
        }
        writer.append(jiff::Timestamp::now(), bodies)?;
        *held = Some(writer);
        Ok(())
    }
}

impl Recorded {
    /// Whether a receipt is this submission's: job, intent and nonce are its own.
    #[must_use]
    pub fn wrote(&self, receipt: &Receipt) -> bool {
        (receipt.job, receipt.intent, receipt.nonce) == (self.job, self.intent, self.nonce)
    }
}
