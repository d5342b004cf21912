//! What `doctor` needs of the place where the program runs, beside what the stories need.

use std::path::{Path, PathBuf};

use crate::failure::Report;
use crate::store::Store;
use crate::{acquire, follow};

/// The command line implements it; a test or a service may do so, too.
pub trait Surroundings: acquire::Surroundings + follow::Surroundings {
    /// This program.
    fn program(&self) -> &Path;
    /// Checks that the files of the project in the current directory are used, if there are any.
    ///
    /// # Errors
    /// When they are the caller's own and others can write them.
    fn require_project(&self) -> Result<(), Report>;
    /// Checks that Moorline's own runtime works here.
    ///
    /// # Errors
    /// With the cause and what helps.
    fn builtin_works(&self) -> Result<(), Report>;
    /// Finds a program in `PATH`.
    fn which(&self, program: &str) -> Option<PathBuf>;
    /// The store's directory.
    fn cache_dir(&self) -> &Path;
    /// The ledger's directory.
    fn ledger_dir(&self) -> &Path;
    /// A sentence about each limit that is nearly reached where the store lies.
    fn tight(&self, store: &Store) -> Vec<String>;
}
