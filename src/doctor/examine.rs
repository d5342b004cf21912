//! Everything that is looked at, in the order in which it is shown.

use super::finding::Finding;
use super::surroundings::Surroundings;
use super::{images, machine, places};

/// Looks at everything. The registry and the engines are asked whether they answer.
pub fn examine(here: &dyn Surroundings) -> Vec<Finding> {
    let mut findings = vec![machine::program(here), images::project(here)];
    findings.extend(images::registry(here));
    findings.push(images::credentials(here));
    findings.push(images::gitlab(here));
    findings.push(machine::runtime(here));
    findings.push(machine::mounting(here));
    findings.extend(machine::engines(here));
    findings.extend(places::store(here));
    findings.push(places::ledger(here));
    findings.push(places::jobs_dir(here));
    findings.extend(places::clock(here.ledger_dir()));
    findings
}
