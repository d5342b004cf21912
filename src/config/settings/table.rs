//! The groups of keys, and what is done with every key: find it, read it, merge it, show it.

use super::key::{Group, Head, Key};
use super::limits::{self, LIMITS};
use super::rows::Config;
use super::shown::{ShownValue, quoted};
use super::slot::Slot;
use crate::config::ConfigError;
use crate::config::read::Item;

/// A group that there is once.
macro_rules! once {
    (|$config:ident| $group:expr) => {
        &Groups { each: |$config| vec![(None, &$group)], named: |$config, _| &mut $group }
    };
}

/// Every group, in the order of `config show`.
static TABLES: [&(dyn Table + Sync); 11] = [
    &Groups { each: |config| vec![(None, config)], named: |config, _| config },
    once!(|config| config.store),
    once!(|config| config.registry_sifs),
    once!(|config| config.submit),
    // `[backend.NAME]`: a group for each name
    &Groups {
        each: |config| config.backends.iter().map(|(name, of)| (Some(&**name), of)).collect(),
        named: |config, name| config.backends.entry(name.to_owned()).or_default(),
    },
    once!(|config| config.gitlab),
    once!(|config| config.shub),
    once!(|config| config.wait),
    &Bounds,
    once!(|config| config.policy),
    once!(|config| config.delivery),
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

/// Groups with their names.
type Named<'c, G> = Vec<(Option<&'c str>, &'c G)>;

/// The groups of one kind: one without a name, or any number with names.
struct Groups<G: Group> {
    /// Those that there are, with their names.
    each: fn(&Config) -> Named<'_, G>,
    /// The one of this name, made when it is not there; a group without a name does not look at it.
    named: for<'c> fn(&'c mut Config, &str) -> &'c mut G,
}

impl<G: Group> Table for Groups<G> {
    fn heads(&self) -> Vec<&'static Head> {
        G::KEYS.iter().map(|key: &'static Key<G>| &key.head).collect()
    }

    fn set(
        &self,
        config: &mut Config,
        at: usize,
        path: &[&str],
        item: &Item<'_>,
    ) -> Result<(), ConfigError> {
        // `backend.NAME.key`
        let name = path.get(1).copied().unwrap_or_default();
        (G::KEYS[at].set)((self.named)(config, name), item)
    }

    fn merge(&self, lower: &mut Config, upper: &mut Config) {
        let names = (self.each)(upper).into_iter().map(|(name, _)| name.unwrap_or_default());
        let names: Vec<String> = names.map(str::to_owned).collect();
        for name in names {
            let (lower, upper) = ((self.named)(lower, &name), (self.named)(upper, &name));
            for key in G::KEYS {
                (key.merge)(lower, upper);
            }
        }
    }

    fn show<'c>(&self, config: &'c Config, rows: &mut Vec<ShownValue<'c>>) {
        for (name, group) in (self.each)(config) {
            for key in G::KEYS {
                match name {
                    None => (key.show)(group, key.head.name, rows),
                    Some(name) => {
                        (key.show)(group, &key.head.name.replace('*', &quoted(name)), rows);
                    }
                }
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
