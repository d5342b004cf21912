//! The table of all keys, group by group: adding a key is one row here (a limit: one in `limits.rs`).
//!
//! The row makes the field, reads it, merges it, shows it, and says who may set it. `docs/reference/files.md` has a
//! row for people; a test compares the two.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::images::{Meant, meant};
use super::key::{Group, Head, Key, Who, keys};
use super::limits::Limits;
use super::mounts::{self, mount};
use super::slot::{ByName, List, One, Slot};
use super::values::{
    age, filter, for_the_program, group, mebibytes, names, path, path_prefix, realm, registry,
    seconds, variable,
};
use crate::config::ServerUrl;
use crate::config::job_file::{runtime, runtimes};
use crate::config::read::Item;
use crate::job::{CallFilter, Mount, Name, RuntimeChoice};
use crate::oci::{Platform, Registry};
use crate::sign::PublicKey;

keys! {
    /// All settings. Nothing is filled in: what nobody said is `None` or empty.
    Config {
        /// The registry of short names. That of a project file is the one of its clone's own GitLab, which `cli` checks.
        registry: One<Registry> = "registry", Anyone, registry, Registry::to_string;
        /// Hosts that may be plain http or have an unverified certificate.
        insecure_registries: List<Registry> = "insecure_registries", Trusted or "--insecure-registry",
            registry, Registry::to_string;
        /// Certificates to trust as well.
        ca_files: List<PathBuf> = "ca_files", Trusted or "--ca-file", Item::absolute_path, path;
        /// Registries below a path of their host: `host/prefix`.
        path_prefixes: List<String> = "path_prefixes", Trusted, path_prefix, String::clone;
        /// Requests on their way to one host at the same time, of all this user's processes.
        requests_at_once: One<u64> = "requests_at_once", Trusted, Item::limit, u64::to_string;
        /// Groups whose members may write a project's files, by name or number.
        trusted_groups: List<String> = "trusted_groups", Trusted, group, String::clone;
        /// Names of variables that credential helpers may see besides their own.
        helper_variables: List<String> = "helper_variables", Trusted, variable, String::clone;
        /// Who hands out tokens for a registry; the URL has no path.
        realms: ByName<Registry, ServerUrl> = "realms.*", Trusted, realm, ServerUrl::to_string;
        /// The store.
        cache: One<PathBuf> = "cache", Trusted or "MOORLINE_CACHE", Item::absolute_path, path;
        /// The ledger.
        ledger: One<PathBuf> = "ledger", Trusted or "MOORLINE_LEDGER", Item::absolute_path, path;
        /// Job directories.
        jobs_dir: One<PathBuf> = "jobs_dir", Trusted, Item::absolute_path, path;
        /// Where a worker unpacks images.
        node_cache: One<PathBuf> = "node_cache", Trusted, Item::absolute_path, path;
        /// The container runtimes that `auto` tries, in this order.
        runtimes: One<Vec<Name>> = "runtimes", Trusted, runtimes, names;
        /// Whether programs run behind the filter of system calls.
        syscall_filter: One<CallFilter> = "syscall_filter", Trusted, filter, CallFilter::to_string;
        /// Short names for images, and for what CI builds.
        images: ByName<String, Meant> = "images.*", Anyone, meant, Meant::to_string;
    } and {
        /// `[store]`.
        store: StoreSettings,
        /// `[registry_sifs]`.
        registry_sifs: RegistrySifSettings,
        /// `[submit]`.
        submit: SubmitSettings,
        /// `[backend.NAME]`, by the backend's name.
        backends: BTreeMap<String, BackendSettings>,
        /// `[gitlab]`.
        gitlab: GitlabSettings,
        /// `[shub]`.
        shub: HubSettings,
        /// `[wait]`.
        wait: WaitSettings,
        /// `[limits]`.
        limits: Limits,
        /// `[policy]`.
        policy: PolicySettings,
        /// `[delivery]`.
        delivery: DeliverySettings,
    }
}

keys! {
    /// `[store]`.
    StoreSettings {
        /// A store that the site publishes.
        site: One<PathBuf> = "store.site", Trusted, Item::absolute_path, path;
        /// The uid that publishes there, besides root.
        site_owner: One<u32> = "store.site_owner", Trusted, Item::uid, u32::to_string;
        /// Who may have signed what is there.
        site_keys: List<PublicKey> = "store.site_keys", Trusted, Item::parsed, PublicKey::to_string;
        /// Bytes of blobs, indexes and SIFs that a store may hold.
        max_size: One<u64> = "store.max_size", Trusted, Item::size, u64::to_string;
        /// How long a pruned SIF stays in the trash.
        trash_age: One<Duration> = "store.trash_age", Trusted, Item::age, age;
    }
}

keys! {
    /// `[registry_sifs]`: SIFs that lie beside their images.
    RegistrySifSettings {
        /// Who may have signed one that is used.
        keys: List<PublicKey> = "registry_sifs.keys", Trusted, Item::parsed, PublicKey::to_string;
        /// Whether they are looked for.
        look_up: One<bool> = "registry_sifs.look_up", Trusted, Item::yes_or_no, bool::to_string;
    }
}

keys! {
    /// `[submit]`: defaults of `run` and `submit`.
    SubmitSettings {
        /// The backend's name; whether there is one of that name is not checked here.
        backend: One<String> = "submit.backend", Anyone, Item::identifier, String::clone;
        /// The container runtime.
        runtime: One<RuntimeChoice> = "submit.runtime", Anyone, runtime, |choice| choice.name().to_owned();
        /// Mounts, the site's first.
        mounts: List<Mount> = "submit.mounts", Anyone, mount, Mount::to_string, mounts::merge;
        /// Variables for the program, by name.
        env: ByName<String, String> = "submit.env.*", Anyone, for_the_program, String::clone;
        /// Cores.
        cpus: One<u32> = "submit.cpus", Anyone, Item::cpus, u32::to_string;
        /// Memory in MiB.
        memory_mib: One<u64> = "submit.memory", Anyone, Item::memory, mebibytes;
        /// Wall time in seconds.
        time_seconds: One<u64> = "submit.time", Anyone, Item::time, seconds;
        /// Seconds between a signal that ends a program and KILL.
        grace_seconds: One<u64> = "submit.grace", Anyone, Item::time, seconds;
    }
}

keys! {
    /// `[backend.NAME]`.
    BackendSettings {
        /// What the engine's workers are.
        platform: One<Platform> = "backend.*.platform", Anyone, Item::parsed, Platform::to_string;
        /// Partition or queue.
        queue: One<String> = "backend.*.queue", Anyone, Item::identifier, String::clone;
        /// Who pays.
        account: One<String> = "backend.*.account", Anyone, Item::identifier, String::clone;
        /// Whether a job is submitted held and released when it is on record; by default where the engine can.
        /// It keeps a job from running twice: that is not a project's to switch off.
        hold: One<bool> = "backend.*.hold", Trusted, Item::yes_or_no, bool::to_string;
        /// Whether its workers see the files of the submitting machine: the store and the jobs directory.
        shared_files: One<bool> = "backend.*.shared_files", Trusted, Item::yes_or_no, bool::to_string;
    }
}

keys! {
    /// `[gitlab]`: the GitLab server.
    GitlabSettings {
        /// The server.
        url: One<ServerUrl> = "gitlab.url", Trusted, Item::parsed, ServerUrl::to_string;
        /// Its registry.
        registry: One<Registry> = "gitlab.registry", Trusted, registry, Registry::to_string;
    }
}

keys! {
    /// `[shub]`: Singularity Hub.
    HubSettings {
        /// Who plays it.
        endpoint: One<ServerUrl> = "shub.endpoint", Trusted, Item::parsed, ServerUrl::to_string;
    }
}

keys! {
    /// `[wait]`: how many seconds nobody may say how a job is.
    WaitSettings {
        /// The engine answers and does not know the job.
        unknown: One<u64> = "wait.unknown", Trusted, Item::time, seconds;
        /// The engine does not answer.
        silent: One<u64> = "wait.silent", Trusted, Item::time, seconds;
    }
}

keys! {
    /// `[delivery]`: how images get to the nodes, and what a node keeps.
    DeliverySettings {
        /// Tasks of one job that may pull by themselves.
        pull_tasks: One<u64> = "delivery.pull_tasks", Trusted, Item::limit, u64::to_string;
        /// Requests of one node that are on their way to a registry at the same time.
        pull_requests: One<u64> = "delivery.pull_requests", Trusted, Item::limit, u64::to_string;
        /// Directories in which sites publish unpacked images.
        cvmfs: List<PathBuf> = "delivery.cvmfs", Trusted, Item::absolute_path, path;
        /// Bytes that a node's cache may have.
        node_size: One<u64> = "delivery.node_size", Trusted, Item::size, u64::to_string;
        /// After this time without use an image leaves a node's cache.
        node_age: One<Duration> = "delivery.node_age", Trusted, Item::age, age;
        /// Whether an image that is to be hashed whole is copied to the node first.
        node_copy: One<bool> = "delivery.node_copy", Trusted, Item::yes_or_no, bool::to_string;
        /// Whether the jobs of a user on a node run one unpacked tree.
        shared_trees: One<bool> = "delivery.shared_trees", Trusted, Item::yes_or_no, bool::to_string;
    }
}

keys! {
    /// `[policy]`: whoever comes later can only tighten it.
    PolicySettings {
        /// An audit accepts no *Match* that something else than the image decided, too.
        plain_match_only: One<bool> = "policy.plain_match_only", Anyone, Item::yes_or_no,
            bool::to_string, tightened;
    }
}

/// Once it is true, it stays.
fn tightened(lower: &mut One<bool>, upper: One<bool>) {
    if !lower.as_ref().is_some_and(|set| set.value) {
        Slot::merge(lower, upper);
    }
}
