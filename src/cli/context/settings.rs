//! The merged settings as verbs use them, whatever level they come from.

use std::collections::BTreeMap;
use std::path::Path;

use super::Context;
use crate::cli::context::adapters;
use crate::cli::show::output::{CliError, Report};
use crate::config::{Config, ServerUrl};
use crate::job::{EnvVar, Resources, RuntimeChoice};
use crate::layer::Limits;
use crate::oci::{DOCKER_HUB, Platform};
use crate::pin::Built;
use crate::registry;
use crate::submit::{Site, Source};

/// Singularity Hub, a read-only archive since 2021.
const HUB: &str = "https://singularity-hub.org";

/// Settings that verbs use as they are, whatever level they come from.
#[derive(Debug, Default)]
pub struct Settings {
    /// `[submit] backend`.
    pub backend: Option<String>,
    /// `[submit] runtime`.
    pub runtime: Option<RuntimeChoice>,
    /// `[submit.env]`.
    pub env: Vec<EnvVar>,
    /// `[submit] grace`.
    pub grace: Option<u64>,
    /// `[submit] cpus, memory, time`.
    pub resources: Resources,
    /// `[images]`: name -> reference.
    pub images: BTreeMap<String, String>,
    /// `[images]`: name -> what CI built.
    pub built: BTreeMap<String, Built>,
}

/// `[backend.NAME]`.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    /// Its workers' platform.
    pub platform: Option<Platform>,
    /// Its queue or partition.
    pub queue: Option<String>,
    /// The account that pays.
    pub account: Option<String>,
}

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

    /// Who plays Singularity Hub; by default its read-only archive.
    ///
    /// # Errors
    /// Never: the default is an address.
    pub fn hub(&self) -> Result<ServerUrl, Report> {
        match &self.config.hub {
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
            debug_assert!(known, "the configuration read a limit that nothing has: {name}");
        }
        (layers, documents)
    }

    /// What a submission needs to know of this place. Says what the project file added to the job that was made.
    pub fn site(&self, kind: &str, inputs: Vec<Source>) -> Site {
        let set = self.config.node_cache.as_ref().map(|value| value.value.clone());
        let facts = adapters::facts(kind);
        let here = facts.is_some_and(|facts| facts.here);
        let local = here.then(|| self.places.cache.join("node"));
        let hold = self.config.backends.get(kind).and_then(|of| of.hold.as_ref());
        Site {
            jobs_dir: self.places.jobs.clone(),
            program: self.program.clone(),
            node_cache: set.or(local),
            filter: self.config.syscall_filter.as_ref().map(|value| value.value),
            site_store: self.config.store.site.as_ref().map(|value| value.value.clone()),
            limits: self.limits().changed(),
            hide: self.places.own().into_iter().map(Path::to_owned).collect(),
            user: self.user.clone(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            inputs,
            notes: self.take_contributed(kind),
            hold: facts.is_some_and(|f| f.can_hold) && hold.is_none_or(|value| value.value),
            tickets: None,
        }
    }
}

impl Settings {
    pub(super) fn of(config: &Config) -> Self {
        let submit = &config.submit;
        Self {
            backend: submit.backend.as_ref().map(|v| v.value.clone()),
            runtime: submit.runtime.as_ref().map(|v| v.value),
            grace: submit.grace_seconds.as_ref().map(|v| v.value),
            env: submit
                .env
                .iter()
                .map(|(name, v)| EnvVar { name: name.clone(), value: v.value.clone() })
                .collect(),
            resources: Resources {
                cpus: submit.cpus.as_ref().map(|v| v.value),
                memory_mib: submit.memory_mib.as_ref().map(|v| v.value),
                time_seconds: submit.time_seconds.as_ref().map(|v| v.value),
                queue: None,
                account: None,
            },
            images: config.images.iter().map(|(name, v)| (name.clone(), v.value.clone())).collect(),
            built: config.built.iter().map(|(name, v)| (name.clone(), v.value.clone())).collect(),
        }
    }
}
