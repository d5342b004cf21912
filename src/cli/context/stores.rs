//! The own store, the site's and the ledger.

use std::path::Path;
use std::sync::{Arc, Once};
use std::time::Duration;

use super::Context;
use super::records::Records;
use crate::cli::output::{self, Report};
use crate::ledger::{Ledger, View};
use crate::store::{SiteStore, Store, Timing};

/// What is to be said of a ledger is said once.
static SAID: Once = Once::new();

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
        Ok(Ledger::open(&self.places.ledger)?)
    }

    /// All jobs of the ledger. Lines that are damaged or need a newer program are reported once.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn view(&self) -> Result<View, Report> {
        let view = View::read(&self.places.ledger)?;
        // a verb may read it several times
        SAID.call_once(|| {
            let records = |n: usize, one: &str, many: &str| {
                if n == 1 { format!("1 record {one}") } else { format!("{n} records {many}") }
            };
            if view.damaged > 0 {
                let what = records(view.damaged, "is damaged", "are damaged");
                output::warn(format!("{what} in the ledger; moorline audit verify names them"));
            }
            if view.newer > 0 {
                let what = records(view.newer, "needs", "need");
                output::warn(format!(
                    "{what} a newer moorline; their jobs are shown as far as this one can read"
                ));
            }
        });
        Ok(view)
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
