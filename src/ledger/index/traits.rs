//! What every index can answer. One suite of tests (`suite.rs`) runs on all implementations.

use super::error::IndexError;
use super::name::ImageName;
use super::scan::Cursor;
use crate::job::{JobId, JobState};
use crate::ledger::segment::SegmentName;

/// Which jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// All.
    #[default]
    All,
    /// Those whose engine has not said that they ended.
    Running,
    /// Those, and those that ended and left no receipt: something may still be learnt of them.
    Open,
    /// Those recorded in this state, and those whose engine has not said that they ended: they may be in it by now.
    State(JobState),
}

/// Which part of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Only jobs older than this one.
    pub before: Option<JobId>,
    /// Only this one and younger ones.
    pub from: Option<JobId>,
    /// No more.
    pub most: usize,
}

impl Page {
    /// The newest jobs.
    #[must_use]
    pub fn newest(most: usize) -> Self {
        Self { before: None, from: None, most }
    }

    /// The next page behind this job.
    #[must_use]
    pub fn behind(self, last: JobId) -> Self {
        Self { before: Some(last), ..self }
    }

    /// The bounds of the ids: from, and below.
    pub(super) fn bounds(&self) -> ([u8; 16], Option<[u8; 16]>) {
        let from = self.from.map_or([0; 16], JobId::to_bytes);
        (from, self.before.map(JobId::to_bytes))
    }
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineAt {
    /// The file.
    pub segment: SegmentName,
    /// Its first byte.
    pub offset: u64,
    /// Its length in bytes, without the newline.
    pub length: u64,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that are not what was written.
    pub damaged: u64,
    /// Sound records that a newer program wrote.
    pub newer: u64,
}

/// How far a refresh has come, in bytes of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Read.
    pub done: u64,
    /// To be read.
    pub all: u64,
}

/// Which jobs a ledger holds, and where their records stand.
///
/// It chooses jobs and makes no statement on them: state, verdict and text come from the records. Answers are as
/// of the last [`Index::refresh`].
pub trait Index {
    /// Reads what was appended to the ledger since.
    ///
    /// # Errors
    /// [`IndexError::Unfit`] when it is the index of another ledger, or of this one before it was changed.
    fn refresh(&mut self, told: &mut dyn FnMut(Progress)) -> Result<(), IndexError>;

    /// How many lines were passed over.
    ///
    /// # Errors
    /// As all of these: when the index cannot be read.
    fn counts(&self) -> Result<Counts, IndexError>;

    /// The records of a job, in no order; none when there is no such job.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn lines(&self, job: JobId) -> Result<Vec<LineAt>, IndexError>;

    /// Jobs whose ids lie between two, both included, oldest first.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn between(&self, low: JobId, high: JobId, most: usize) -> Result<Vec<JobId>, IndexError>;

    /// Jobs that an engine may call so (`NAME:ID`), oldest first: engines issue their ids again.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn of_engine(&self, key: &str) -> Result<Vec<JobId>, IndexError>;

    /// Jobs, newest first.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn page(&self, filter: Filter, page: Page) -> Result<Vec<JobId>, IndexError>;

    /// Jobs that asked for an image of this name, or measured it, newest first.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn of_image(&self, name: &ImageName, page: Page) -> Result<Vec<JobId>, IndexError>;

    /// Of each image that has a digest between two, both included, the newest job that asked for it or measured it;
    /// each job once.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn of_digests(&self, low: [u8; 32], high: [u8; 32]) -> Result<Vec<JobId>, IndexError>;

    /// How far the ledger was read.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn cursor(&self) -> Result<Cursor, IndexError>;

    /// Jobs with records behind a cursor, each once, and the cursor to go on from.
    ///
    /// # Errors
    /// When index or ledger cannot be read.
    fn changes(&self, since: &Cursor) -> Result<(Vec<JobId>, Cursor), IndexError>;
}
