//! What following jobs needs of the place where the program runs.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::backend::Backend;
use crate::failure::Report;
use crate::job::JobId;
use crate::ledger::index::{Filter, Page};
use crate::ledger::{Ledger, Payloads, View};
use crate::pin::Image;

/// The ledger, the engines, and the one who is told. The command line implements it; a test or a service may do
/// so, too.
pub trait Surroundings {
    /// The directory of the jobs' directories.
    fn jobs_dir(&self) -> &Path;
    /// The engine of this name; `None` when this program knows none of it.
    fn engine(&self, kind: &str) -> Option<Box<dyn Backend>>;
    /// The job has ended: its image, which lies at `place`, may be pruned.
    fn ended(&self, image: &Image, place: Option<&Path>, job: &JobId);

    /// The ledger, to write into it.
    ///
    /// # Errors
    /// When it is not safe or cannot be written.
    fn ledger(&self) -> Result<Ledger, Report>;
    /// The ledger for what is learnt on the way. The inner error is a sentence that says why it cannot be written:
    /// a full or read-only disk hides nothing.
    ///
    /// # Errors
    /// When it is not safe.
    fn ledger_if_writable(&self) -> Result<Result<Ledger, String>, Report>;
    /// The jobs that were named: by an id, a unique beginning of one, an engine's id, or `last`.
    ///
    /// # Errors
    /// When one is unknown or names several, or the ledger cannot be read.
    fn named(&self, names: &[String]) -> Result<View, Report>;
    /// These jobs as they are now. One that the ledger does not hold is left out.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    fn jobs(&self, ids: &[JobId]) -> Result<View, Report>;
    /// The ids of a page of jobs, the newest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    fn page(&self, filter: Filter, page: Page) -> Result<Vec<JobId>, Report>;
    /// These jobs as the index found them last.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    fn view(&self, ids: &[JobId], payloads: Payloads) -> Result<View, Report>;

    /// What concerns the result; foreign text.
    fn warn(&self, text: &str);

    /// The time.
    fn now(&self) -> Instant {
        Instant::now()
    }
    /// Waits so long.
    fn pause(&self, length: Duration) {
        thread::sleep(length);
    }
}
