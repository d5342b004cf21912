//! Several things were asked for, and some failed: the first error is the verb's, the others are printed at once.

use crate::cli::show::fault;
use crate::cli::show::output::{Outcome, Report};

/// What failed so far.
#[derive(Debug, Default)]
pub struct Failed(Option<Report>);

impl Failed {
    /// One more.
    pub fn add(&mut self, report: Report) {
        match self.0 {
            None => self.0 = Some(report),
            Some(_) => fault::error(&report),
        }
    }

    /// The verb's end, after all were tried.
    ///
    /// # Errors
    /// With the first that failed.
    pub fn end(self) -> Outcome {
        self.0.map_or(Ok(0), Err)
    }
}
