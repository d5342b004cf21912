//! What `audit` asks of the place where the program runs.

use super::Context;
use crate::audit::{Each, Surroundings};
use crate::failure::Report;
use crate::ledger::index::{Filter, ImageName, Page};
use crate::ledger::{Payloads, View};

impl Surroundings for Context {
    fn named(&self, names: &[String]) -> Result<View, Report> {
        self.named(names)
    }
    fn of_image(&self, name: &ImageName, most: usize) -> Result<View, Report> {
        self.of_image(name, most)
    }
    fn pages(
        &self,
        filter: Filter,
        page: Page,
        payloads: Payloads,
        each: Each<'_>,
    ) -> Result<(), Report> {
        self.pages(filter, page, payloads, each)
    }
}
