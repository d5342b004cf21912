//! The merged settings as verbs use them, whatever level they come from.

use std::collections::BTreeMap;

use crate::config::{Config, Meant};
use crate::job::{EnvVar, Resources, RuntimeChoice};
use crate::oci::Platform;
use crate::pin::Built;

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

impl Settings {
    pub(super) fn of(config: &Config) -> Self {
        let submit = &config.submit;
        let (mut images, mut built) = (BTreeMap::new(), BTreeMap::new());
        for (name, meant) in &config.images {
            match &meant.value {
                Meant::Reference(text) => drop(images.insert(name.clone(), text.clone())),
                Meant::Built(words) => drop(built.insert(name.clone(), words.clone())),
            }
        }
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
            images,
            built,
        }
    }
}
