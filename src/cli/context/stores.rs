//! The own store, the site's and the ledger.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Access;

use super::Context;
use super::records::Records;
use crate::cli::show::output::Report;
use crate::ledger::Ledger;
use crate::store::{SiteStore, Store, Timing};

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

    /// The site's store, when one is configured.
    pub fn site_store(&self) -> Option<SiteStore> {
        let set = &self.config.store;
        let keys = set.site_keys.iter().map(|value| value.value).collect();
        let owner = set.site_owner.as_ref().map(|value| value.value);
        set.site.as_ref().map(|root| SiteStore::new(&root.value, owner, keys))
    }
}
