//! The tables of all groups, and the keys in them.

use super::key::{Group, Head, Key};
use super::limits::{self, LIMITS};
use super::rows::{BackendSettings, Config};
use super::shown::{ShownValue, quoted};
use super::slot::Slot;
use crate::config::ConfigError;
use crate::config::read::Item;

/// Every group, in the order of `config show`.
static TABLES: [&(dyn Table + Sync); 11] = [
    &Part { of: |config| config, of_mut: |config| config },
    &Part { of: |config| &config.store, of_mut: |config| &mut config.store },
    &Part { of: |config| &config.registry_sifs, of_mut: |config| &mut config.registry_sifs },
    &Part { of: |config| &config.submit, of_mut: |config| &mut config.submit },
    &Backends,
    &Part { of: |config| &config.gitlab, of_mut: |config| &mut config.gitlab },
    &Part { of: |config| &config.shub, of_mut: |config| &mut config.shub },
    &Part { of: |config| &config.wait, of_mut: |config| &mut config.wait },
    &Bounds,
    &Part { of: |config| &config.policy, of_mut: |config| &mut config.policy },
    &Part { of: |config| &config.delivery, of_mut: |config| &mut config.delivery },
];

/// A key and the table that it stands in.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) head: &'static Head,
    table: &'static (dyn Table + Sync),
    at: usize,
}

impl Row {
    /// Every key, in the order of `config show`.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        TABLES.iter().flat_map(|table| {
            let heads = table.heads().into_iter().enumerate();
            heads.map(|(at, head)| Self { head, table: *table, at })
        })
    }

    /// Reads its value; `path` is what the author wrote.
    pub(super) fn set(
        &self,
        config: &mut Config,
        path: &[&str],
        item: &Item<'_>,
    ) -> Result<(), ConfigError> {
        self.table.set(config, self.at, path, item)
    }
}

/// The upper level's settings over these.
pub(super) fn merge(lower: &mut Config, upper: &mut Config) {
    for table in TABLES {
        table.merge(lower, upper);
    }
}

/// Every value that somebody said, by key.
pub(super) fn shown(config: &Config) -> Vec<ShownValue<'_>> {
    let mut rows = Vec::new();
    for table in TABLES {
        table.show(config, &mut rows);
    }
    rows
}

/// The keys of one group.
trait Table {
    fn heads(&self) -> Vec<&'static Head>;
    /// Reads the value of the key that stands at `at` among the heads; `path` is what the author wrote.
    fn set(
        &self,
        config: &mut Config,
        at: usize,
        path: &[&str],
        item: &Item<'_>,
    ) -> Result<(), ConfigError>;
    fn merge(&self, lower: &mut Config, upper: &mut Config);
    fn show<'c>(&self, config: &'c Config, rows: &mut Vec<ShownValue<'c>>);
}

fn heads_of<G: Group>() -> Vec<&'static Head> {
    G::KEYS.iter().map(|key: &'static Key<G>| &key.head).collect()
}

/// A group that there is once.
struct Part<G: Group> {
    of: fn(&Config) -> &G,
    of_mut: fn(&mut Config) -> &mut G,
}

impl<G: Group> Table for Part<G> {
    fn heads(&self) -> Vec<&'static Head> {
        heads_of::<G>()
    }

    fn set(
        &self,
        config: &mut Config,
        at: usize,
        _: &[&str],
        item: &Item<'_>,
    ) -> Result<(), ConfigError> {
        (G::KEYS[at].set)((self.of_mut)(config), item)
    }

    fn merge(&self, lower: &mut Config, upper: &mut Config) {
        for key in G::KEYS {
            (key.merge)((self.of_mut)(lower), (self.of_mut)(upper));
        }
    }

    fn show<'c>(&self, config: &'c Config, rows: &mut Vec<ShownValue<'c>>) {
        for key in G::KEYS {
            (key.show)((self.of)(config), key.head.name, rows);
        }
    }
}

/// `[backend.NAME]`: a group for each name.
struct Backends;

impl Table for Backends {
    fn heads(&self) -> Vec<&'static Head> {
        heads_of::<BackendSettings>()
    }

    fn set(
        &self,
        config: &mut Config,
        at: usize,
        path: &[&str],
        item: &Item<'_>,
    ) -> Result<(), ConfigError> {
        let name = path.get(1).copied().unwrap_or_default();
        let of = config.backends.entry(name.to_owned()).or_default();
        (BackendSettings::KEYS[at].set)(of, item)
    }

    fn merge(&self, lower: &mut Config, upper: &mut Config) {
        for (name, mut of) in std::mem::take(&mut upper.backends) {
            let lower = lower.backends.entry(name).or_default();
            for key in BackendSettings::KEYS {
                (key.merge)(lower, &mut of);
            }
        }
    }

    fn show<'c>(&self, config: &'c Config, rows: &mut Vec<ShownValue<'c>>) {
        for (name, of) in &config.backends {
            for key in BackendSettings::KEYS {
                (key.show)(of, &key.head.name.replace('*', &quoted(name)), rows);
            }
        }
    }
}

/// `[limits]`.
struct Bounds;

impl Table for Bounds {
    fn heads(&self) -> Vec<&'static Head> {
        LIMITS.iter().collect()
    }

    fn set(
        &self,
        config: &mut Config,
        _: usize,
        _: &[&str],
        item: &Item<'_>,
    ) -> Result<(), ConfigError> {
        config.limits.set(item, Item::limit)
    }

    fn merge(&self, lower: &mut Config, upper: &mut Config) {
        limits::merge(&mut lower.limits, std::mem::take(&mut upper.limits));
    }

    fn show<'c>(&self, config: &'c Config, rows: &mut Vec<ShownValue<'c>>) {
        config.limits.show("limits.*", u64::to_string, rows);
    }
}
