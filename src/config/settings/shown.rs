//! What `config show` lists: every value that somebody said, with its place.

use std::path::PathBuf;

use super::Config;
use crate::config::{Origin, ServerUrl, Value};
use crate::job::{CallFilter, Mount};
use crate::oci::{Platform, Registry};
use crate::pin::Built;
use crate::sign::PublicKey;

/// A line of `config show`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownValue<'a> {
    /// The key's whole path.
    pub key: String,
    /// The value as text.
    pub value: String,
    /// Where it was said.
    pub origin: &'a Origin,
}

impl Config {
    /// Every value that somebody said, by key.
    #[must_use]
    pub fn entries(&self) -> Vec<ShownValue<'_>> {
        let path = |path: &PathBuf| path.display().to_string();
        let mut rows = Rows(Vec::new());
        rows.add("registry", &self.registry, Registry::to_string);
        rows.add("insecure_registries", &self.insecure_registries, Registry::to_string);
        rows.add("ca_files", &self.ca_files, path);
        rows.add("path_prefixes", &self.path_prefixes, String::clone);
        rows.add("requests_at_once", &self.requests_at_once, u64::to_string);
        rows.add("trusted_groups", &self.trusted_groups, String::clone);
        rows.add("helper_variables", &self.helper_variables, String::clone);
        for (registry, realm) in &self.realms {
            rows.add(
                &format!("realms.{}", quoted(registry.as_str())),
                [realm],
                ServerUrl::to_string,
            );
        }
        rows.add("cache", &self.cache, path);
        rows.add("ledger", &self.ledger, path);
        rows.add("jobs_dir", &self.jobs_dir, path);
        rows.add("node_cache", &self.node_cache, path);
        rows.add("runtimes", &self.runtimes, |names| {
            names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        });
        rows.add("syscall_filter", &self.syscall_filter, CallFilter::to_string);
        rows.add("store.site", &self.store.site, path);
        rows.add("store.site_owner", &self.store.site_owner, u32::to_string);
        rows.add("store.site_keys", &self.store.site_keys, PublicKey::to_string);
        rows.add("store.max_size", &self.store.max_size, u64::to_string);
        rows.add("store.trash_age", &self.store.trash_age, |age| format!("{}s", age.as_secs()));
        rows.add("registry_sifs.keys", &self.registry_sifs.keys, PublicKey::to_string);
        rows.add("registry_sifs.look_up", &self.registry_sifs.look_up, bool::to_string);
        for (name, image) in &self.images {
            rows.add(&format!("images.{}", quoted(name)), [image], String::clone);
        }
        for (name, built) in &self.built {
            rows.add(&format!("images.{}", quoted(name)), [built], Built::to_string);
        }
        let submit = &self.submit;
        rows.add("submit.backend", &submit.backend, String::clone);
        rows.add("submit.runtime", &submit.runtime, |r| r.name().to_owned());
        rows.add("submit.mounts", &submit.mounts, Mount::to_string);
        for (name, value) in &submit.env {
            rows.add(&format!("submit.env.{name}"), [value], String::clone);
        }
        rows.add("submit.cpus", &submit.cpus, u32::to_string);
        rows.add("submit.memory", &submit.memory_mib, |mib| format!("{mib}M"));
        rows.add("submit.time", &submit.time_seconds, |seconds| format!("{seconds}s"));
        rows.add("submit.grace", &submit.grace_seconds, |seconds| format!("{seconds}s"));
        for (name, backend) in &self.backends {
            let key = |leaf: &str| format!("backend.{}.{leaf}", quoted(name));
            rows.add(&key("platform"), &backend.platform, Platform::to_string);
            rows.add(&key("queue"), &backend.queue, String::clone);
            rows.add(&key("account"), &backend.account, String::clone);
            rows.add(&key("hold"), &backend.hold, bool::to_string);
        }
        rows.add("gitlab.url", &self.gitlab.url, ServerUrl::to_string);
        rows.add("gitlab.registry", &self.gitlab.registry, Registry::to_string);
        rows.add("shub.endpoint", &self.hub, ServerUrl::to_string);
        rows.add("wait.unknown", &self.wait.unknown, |seconds| format!("{seconds}s"));
        rows.add("wait.silent", &self.wait.silent, |seconds| format!("{seconds}s"));
        for (name, limit) in &self.limits {
            rows.add(&format!("limits.{name}"), [limit], u64::to_string);
        }
        rows.add("policy.plain_match_only", &self.plain_match_only, bool::to_string);
        rows.0
    }
}

struct Rows<'a>(Vec<ShownValue<'a>>);

impl<'a> Rows<'a> {
    fn add<T: 'a>(
        &mut self,
        key: &str,
        values: impl IntoIterator<Item = &'a Value<T>>,
        show: impl Fn(&T) -> String,
    ) {
        self.0.extend(values.into_iter().map(|v| ShownValue {
            key: key.to_owned(),
            value: show(&v.value),
            origin: &v.origin,
        }));
    }
}

/// A name as a key of TOML needs it.
fn quoted(name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { format!("{name:?}") }
}
