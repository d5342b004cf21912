//! From what a person types to one job: a unique prefix of its id, its engine's id, or `last`.

use super::error::LookupError;
use super::view::{JobRecord, View};

/// The newest job's name wherever a job is named.
const LAST: &str = "last";

impl View {
    /// Each job that was named, in the order given.
    ///
    /// # Errors
    /// As [`Self::find`], for the first that is not found.
    pub fn find_all<S: AsRef<str>>(&self, names: &[S]) -> Result<Vec<&JobRecord>, LookupError> {
        names.iter().map(|name| self.find(name.as_ref())).collect()
    }

    /// The job that `text` means: a prefix of one id, `ENGINE:123` with the engine's own id, or `last`, the
    /// newest job.
    ///
    /// # Errors
    /// When there is no such job, or several: engines issue their ids again.
    pub fn find(&self, text: &str) -> Result<&JobRecord, LookupError> {
        if let Some(task) = self.named_task(text) {
            return Ok(task);
        }
        // no id begins so: an ULID has no L
        let found: Vec<&JobRecord> = if text == LAST {
            self.jobs().next_back().into_iter().collect()
        } else if text.contains(':') {
            let is = |job: &&JobRecord| {
                job.submissions.iter().any(|s| s.key().is_some_and(|key| key.to_string() == text))
            };
            self.jobs().filter(is).collect()
        } else {
            let is = |job: &&JobRecord| !text.is_empty() && job.id.to_string().starts_with(text);
            self.jobs().filter(is).collect()
        };
        match found.as_slice() {
            [job] => Ok(job),
            [] => Err(LookupError::Unknown {
                asked: text.to_owned(),
                newest: self.jobs().rev().take(5).map(|job| job.id).collect(),
            }),
            several => Err(LookupError::Ambiguous {
                asked: text.to_owned(),
                candidates: several.iter().map(|job| job.id).collect(),
            }),
        }
    }
}
