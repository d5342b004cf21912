//! What an audit needs of the place where the program runs.

use crate::failure::Report;
use crate::ledger::index::{Filter, ImageName, Page};
use crate::ledger::{Payloads, View};

/// What is done with a page of jobs.
pub type Each<'a> = &'a mut dyn FnMut(&View) -> Result<(), Report>;

/// The jobs of the ledger. The command line implements it; a test or a service may do so, too.
pub trait Surroundings {
    /// The jobs that were named: by an id, a unique beginning of one, an engine's id, or `last`.
    ///
    /// # Errors
    /// When one is unknown or names several, or the ledger cannot be read.
    fn named(&self, names: &[String]) -> Result<View, Report>;
    /// The newest jobs that have to do with an image, no more than `most`, with their payloads.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    fn of_image(&self, name: &ImageName, most: usize) -> Result<View, Report>;
    /// All jobs that a filter lets through, the newest first, a page at a time.
    ///
    /// # Errors
    /// When the ledger cannot be read, or as `each` says.
    fn pages(
        &self,
        filter: Filter,
        page: Page,
        payloads: Payloads,
        each: Each<'_>,
    ) -> Result<(), Report>;
}
