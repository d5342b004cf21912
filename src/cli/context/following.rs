//! What `follow` asks of the place where the program runs.

use std::path::Path;

use super::Context;
use crate::backend::Backend;
use crate::cli::context::adapters;
use crate::cli::context::mark;
use crate::cli::show::output;
use crate::failure::Report;
use crate::follow::Surroundings;
use crate::job::JobId;
use crate::ledger::index::{Filter, Page};
use crate::ledger::{Ledger, Payloads, View};
use crate::pin::Image;

impl Surroundings for Context {
    fn jobs_dir(&self) -> &Path {
        self.jobs_dir()
    }
    fn engine(&self, kind: &str) -> Option<Box<dyn Backend>> {
        adapters::backend(self, kind)
    }
    fn ended(&self, image: &Image, place: Option<&Path>, job: &JobId) {
        mark::unmark(self, image, place, job);
    }
    fn ledger(&self) -> Result<Ledger, Report> {
        self.ledger()
    }
    fn ledger_if_writable(&self) -> Result<Result<Ledger, String>, Report> {
        self.ledger_if_writable()
    }
    fn named(&self, names: &[String]) -> Result<View, Report> {
        self.named(names)
    }
    fn jobs(&self, ids: &[JobId]) -> Result<View, Report> {
        self.jobs(ids)
    }
    fn page(&self, filter: Filter, page: Page) -> Result<Vec<JobId>, Report> {
        self.look(|all| all.page(filter, page))
    }
    fn view(&self, ids: &[JobId], payloads: Payloads) -> Result<View, Report> {
        self.look(|all| all.view(ids, payloads))
    }
    fn warn(&self, text: &str) {
        output::warn(output::cell(text));
    }
}
