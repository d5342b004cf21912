//! Which files of a working directory are a job's declared outputs: the patterns of `--output`.
//!
//! The worker asks it when the job has ended, and whoever fetches the files asks it of the receipt's list.

use std::path::Path;

use glob::{MatchOptions, Pattern, PatternError};

/// `*` stays within one name; a leading dot is written.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// How a note of a receipt begins that says what its list of files lacks.
pub const OUTPUT_NOTE: &str = "output files: ";

/// One pattern.
#[derive(Clone, Debug)]
pub struct Declared(Pattern);

impl Declared {
    /// Reads it.
    ///
    /// # Errors
    /// When it is no pattern; `submit` refuses such a one.
    pub fn read(text: &str) -> Result<Self, PatternError> {
        Pattern::new(text).map(Self)
    }

    /// Whether a file is one of them, by its path below the working directory.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        self.0.matches_path_with(path, MATCHING)
    }
}
