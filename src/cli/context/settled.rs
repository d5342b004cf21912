//! What the configuration decides for a verb.

use std::collections::BTreeMap;
use std::path::Path;

use super::Context;
use super::settings::{Engine, Settings};
use crate::cli::context::engines;
use crate::cli::show::output::{CliError, Report};
use crate::config::ServerUrl;
use crate::layer::Limits;
use crate::oci::DOCKER_HUB;
use crate::registry;
use crate::submit::{Extras, Site, Source};
use crate::worker::{MOST_OUTPUT_BYTES, OUTPUT_BYTES};

/// Singularity Hub, a read-only archive since 2021.
const HUB: &str = "https://singularity-hub.org";

impl Context {
    /// The merged settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// `[backend.NAME]`.
    pub fn engine(&self, name: &str) -> Engine {
        let Some(found) = self.config.backends.get(name) else { return Engine::default() };
        Engine {
            platform: found.platform.as_ref().map(|v| v.value.clone()),
            queue: found.queue.as_ref().map(|v| v.value.clone()),
            account: found.account.as_ref().map(|v| v.value.clone()),
        }
    }

    /// The registry of names without one.
    pub fn default_registry(&self) -> &str {
        let set = self.config.registry.as_ref().or(self.config.gitlab.registry.as_ref());
        set.map_or(DOCKER_HUB, |value| value.value.as_str())
    }

    /// Who said which registry that is.
    pub fn registry_said(&self) -> String {
        let set = self.config.registry.as_ref().or(self.config.gitlab.registry.as_ref());
        set.map_or_else(|| "default".to_owned(), |value| value.origin.to_string())
    }

    /// The places of store, ledger and jobs, with who said each.
    pub fn places_said(&self) -> [(&'static str, &Path, &str); 3] {
        let [cache, ledger, jobs] = &self.places.said;
        [
            ("cache", &self.places.cache, cache),
            ("ledger", &self.places.ledger, ledger),
            ("jobs_dir", &self.places.jobs, jobs),
        ]
    }

    /// Who plays Singularity Hub; by default its read-only archive.
    ///
    /// # Errors
    /// Never: the default is an address.
    pub fn hub(&self) -> Result<ServerUrl, Report> {
        match &self.config.shub.endpoint {
            Some(value) => Ok(value.value.clone()),
            None => HUB.parse().map_err(|e| CliError::usage(format!("{HUB}: {e}")).into()),
        }
    }

    /// What foreign layers may ask for at most: the configuration's, a project's only where it is
    /// lower.
    pub fn limits(&self) -> Limits {
        self.all_limits().0
    }

    /// What a registry may answer at most, likewise.
    pub fn registry_limits(&self) -> registry::Limits {
        self.all_limits().1
    }

    fn all_limits(&self) -> (Limits, registry::Limits) {
        let (mut layers, mut documents) = (Limits::default(), registry::Limits::default());
        for (name, limit) in &self.config.limits {
            let known = if limit.origin.is_project() {
                layers.lower(name, limit.value) || documents.lower(name, limit.value)
            } else {
                layers.set(name, limit.value) || documents.set(name, limit.value)
            };
            let known = known || name == OUTPUT_BYTES;
            debug_assert!(known, "the configuration read a limit that nothing has: {name}");
        }
        (layers, documents)
    }

    /// Those that a worker applies and that are not the program's own.
    fn limits_of_worker(&self) -> BTreeMap<String, u64> {
        let mut limits = self.limits().changed();
        if let Some(set) = self.config.limits.get(OUTPUT_BYTES) {
            let own = if set.origin.is_project() { MOST_OUTPUT_BYTES } else { u64::MAX };
            limits.insert(OUTPUT_BYTES.to_owned(), set.value.min(own));
        }
        limits
    }

    /// What a submission needs to know of this place. Says what the project file added to the job that was made.
    pub fn site(&self, kind: &str, inputs: Vec<Source>) -> Site {
        let set = self.config.node_cache.as_ref().map(|value| value.value.clone());
        let facts = engines::facts(kind);
        let here = facts.is_some_and(|facts| facts.here);
        let local = here.then(|| self.places.cache.join("node"));
        let hold = self.config.backends.get(kind).and_then(|of| of.hold.as_ref());
        Site {
            jobs_dir: self.places.jobs.clone(),
            program: self.program.clone(),
            node_cache: set.or(local),
            filter: self.config.syscall_filter.as_ref().map(|value| value.value),
            site_store: self.config.store.site.as_ref().map(|value| value.value.clone()),
            runtimes: self.runtime_order().to_vec(),
            limits: self.limits_of_worker(),
            hide: self.places.own().into_iter().map(Path::to_owned).collect(),
            user: self.user.clone(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            inputs,
            copied: None,
            notes: self.take_contributed(kind),
            hold: facts.is_some_and(|f| f.can_hold) && hold.is_none_or(|value| value.value),
            tickets: None,
            extras: Extras::default(),
            proxy: None,
            agent: None,
        }
    }
}
