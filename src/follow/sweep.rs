//! The whole ledger, a page at a time, so that memory does not grow with it.

use std::collections::BTreeSet;

use super::engines::Engines;
use super::known::{Learnt, ask_by, receipts_of};
use super::surroundings::Surroundings;
use crate::failure::Report;
use crate::job::JobId;
use crate::ledger::index::{Filter, Page};
use crate::ledger::{JobRecord, Payloads};

/// So many jobs are in memory at once.
const PAGE: usize = 500;
/// So many jobs that left no receipt are looked at again and again.
const MOST_OPEN: usize = 2000;

/// How many jobs there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// In the ledger.
    pub all: usize,
    /// Of these, not ended.
    pub open: usize,
}

/// Refreshes the whole ledger: receipts of all jobs are collected, engines are asked for those that have not
/// ended. Each warning is given once, at the end.
///
/// # Errors
/// As [`super::refresh`].
pub fn collect_all(here: &dyn Surroundings) -> Result<Swept, Report> {
    let mut swept = Swept::default();
    let mut said = BTreeSet::new();
    let engines = Engines::of(here);
    let mut page = Page::newest(PAGE);
    loop {
        let ids = here.page(Filter::All, page)?;
        let Some(last) = ids.last() else { break };
        page = page.behind(*last);
        // without payloads: nothing of them is shown
        let view = here.view(&ids, Payloads::Left)?;
        swept.all += view.jobs().count();
        let ended = |job: &&JobRecord| job.last().word().state.is_final();
        let (ended, others): (Vec<&JobRecord>, Vec<&JobRecord>) = view.jobs().partition(ended);
        said.extend(receipts_of(here, &ended)?.warnings);
        let ids: Vec<JobId> = others.iter().map(|job| job.id).collect();
        let others = here.view(&ids, Payloads::Loaded)?;
        let Learnt { known, warnings, silences } =
            ask_by(&engines, &others.jobs().collect::<Vec<&JobRecord>>())?;
        swept.open += known.iter().filter(|job| !job.now.is_final()).count();
        said.extend(warnings.into_iter().chain(silences));
    }
    for warning in said {
        here.warn(&warning);
    }
    Ok(swept)
}

/// Collects what jobs have left since they were looked at last, the newest of those of which something may still
/// be learnt; no engine is asked.
///
/// # Errors
/// As [`super::refresh`].
pub fn collect_open(here: &dyn Surroundings) -> Result<(), Report> {
    let ids = here.page(Filter::Open, Page::newest(MOST_OPEN))?;
    for ids in ids.chunks(PAGE) {
        let view = here.view(ids, Payloads::Left)?;
        let learnt = receipts_of(here, &view.jobs().collect::<Vec<&JobRecord>>())?;
        for warning in learnt.warnings {
            here.warn(&warning);
        }
    }
    Ok(())
}
