//! What `doctor` asks of the place where the program runs.

use std::path::{Path, PathBuf};

use super::Context;
use crate::cli::context::room;
use crate::doctor::Surroundings;
use crate::failure::Report;
use crate::store::Store;

impl Surroundings for Context {
    fn program(&self) -> &Path {
        &self.program
    }
    fn require_project(&self) -> Result<(), Report> {
        self.require_project()
    }
    fn builtin_works(&self) -> Result<(), Report> {
        // the method of the context, which asks again without stopping the verb
        self.builtin_works()
    }
    fn which(&self, program: &str) -> Option<PathBuf> {
        self.which(program)
    }
    fn cache_dir(&self) -> &Path {
        self.cache_dir()
    }
    fn ledger_dir(&self) -> &Path {
        self.ledger_dir()
    }
    fn tight(&self, store: &Store) -> Vec<String> {
        room::tight(self, store)
    }
}
