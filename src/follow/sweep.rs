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
/// So many jobs that have not ended, or left no receipt, are looked at again and again.
const MOST_OPEN: usize = 2000;
/// For so many days after its submission something is expected of a job that ended without a receipt; what comes
/// later is collected with the whole ledger.
const RECENT_DAYS: i64 = 30;

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

/// Collects what jobs have left since they were looked at last, the newest of those that have not ended, and of
/// those that ended lately and left no receipt; no engine is asked.
///
/// # Errors
/// As [`super::refresh`].
pub fn collect_open(here: &dyn Surroundings) -> Result<(), Report> {
    let newest = Page::newest(MOST_OPEN);
    let recent = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * RECENT_DAYS);
    let recent = u64::try_from(recent.as_millisecond()).unwrap_or_default();
    let recent = Page { from: Some(JobId::from_parts(recent, 0)), ..newest };
    let mut ids: BTreeSet<JobId> = here.page(Filter::Running, newest)?.into_iter().collect();
    ids.extend(here.page(Filter::Open, recent)?);
    let ids: Vec<JobId> = ids.into_iter().rev().take(MOST_OPEN).collect();
    for ids in ids.chunks(PAGE) {
        let view = here.view(ids, Payloads::Left)?;
        let learnt = receipts_of(here, &view.jobs().collect::<Vec<&JobRecord>>())?;
        for warning in learnt.warnings {
            here.warn(&warning);
        }
    }
    Ok(())
}
