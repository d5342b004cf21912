//! The own store, the site's and the ledger.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Access;

use super::Context;
use super::records::Records;
use crate::cli::show::output::{self, Report};
use crate::job::AddedRuntime;
use crate::ledger::Ledger;
use crate::store::{SiteStore, Store, StoredRuntime, Timing};

impl Context {
    /// Where the jobs' directories are.
    pub fn jobs_dir(&self) -> &Path {
        &self.places.jobs
    }

    /// Where the ledger is.
    pub fn ledger_dir(&self) -> &Path {
        &self.places.ledger
    }

    /// Where the store is.
    pub fn cache_dir(&self) -> &Path {
        &self.places.cache
    }

    /// The ledger, for writing.
    ///
    /// # Errors
    /// When its directory is not safe or cannot be made.
    pub fn ledger(&self) -> Result<Ledger, Report> {
        Ok(Ledger::open(&self.places.ledger)?.with_jobs(&self.places.jobs))
    }

    /// Whether the ledger can be written: asked before an image is fetched and converted for a job that could not be
    /// recorded. Nothing is made.
    ///
    /// # Errors
    /// As [`Context::ledger`].
    pub fn require_ledger(&self) -> Result<(), Report> {
        let dir = &self.places.ledger;
        let there = dir.ancestors().find(|dir| dir.exists());
        let can = there.is_some_and(|there| {
            rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK).is_ok()
        });
        if can && there != Some(dir) { Ok(()) } else { self.ledger().map(drop) }
    }

    /// The own store.
    ///
    /// # Errors
    /// When its directory is not safe or cannot be made.
    pub fn store(&self) -> Result<Store, Report> {
        // for tests: a lease that expires soon
        let expiry = self.env("MOORLINE_TEST_LEASE_MS").and_then(|text| text.parse().ok());
        let timing =
            expiry.map(Duration::from_millis).map_or_else(Timing::default, Timing::with_expiry);
        let store = Store::open_with(&self.places.cache, timing)?;
        Ok(store.with_witness(Arc::new(Records::of(&self.places.ledger))))
    }

    /// The runtimes that were added, of each kind the one that is used. A store that has none is not made for it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn added_runtimes(&self) -> Result<Vec<AddedRuntime>, Report> {
        if !Store::may_have_runtimes(&self.places.cache) {
            return Ok(Vec::new());
        }
        let (all, problems) = self.store()?.runtimes()?;
        for problem in problems {
            output::warn(output::cell(&problem.to_string()));
        }
        let mut used: Vec<AddedRuntime> = Vec::new();
        for StoredRuntime { runtime, .. } in all {
            if used.iter().all(|one| one.kind != runtime.kind) {
                used.push(runtime);
            }
        }
        Ok(used)
    }

    /// The site's store, when one is configured.
    pub fn site_store(&self) -> Option<SiteStore> {
        let set = &self.config.store;
        let keys = set.site_keys.iter().map(|value| value.value).collect();
        let owner = set.site_owner.as_ref().map(|value| value.value);
        set.site.as_ref().map(|root| SiteStore::new(&root.value, owner, keys))
    }
}
