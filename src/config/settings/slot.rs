//! What a key holds: one value, a list, or a table of values by name.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use super::shown::{ShownValue, quoted};
use crate::config::read::Item;
use crate::config::{ConfigError, Value};

/// At most one value: the later level's counts.
pub(super) type One<T> = Option<Value<T>>;
/// Values of all levels.
pub(super) type List<T> = Vec<Value<T>>;
/// Values by name: the later level's counts, name by name.
pub(super) type ByName<K, T> = BTreeMap<K, Value<T>>;

/// Each of these, with values of type `T`.
pub(super) trait Slot<T>: Default {
    /// Reads what stands at a key; `read` reads one value.
    fn set<'a>(
        &mut self,
        item: &Item<'a>,
        read: impl Fn(&Item<'a>) -> Result<T, ConfigError>,
    ) -> Result<(), ConfigError>;

    /// The upper level's values over these.
    fn merge(&mut self, upper: Self);

    /// A row for each value; a name stands in `key` where that has a `*`.
    fn show<'s>(&'s self, key: &str, text: impl Fn(&T) -> String, rows: &mut Vec<ShownValue<'s>>);
}

impl<T> Slot<T> for One<T> {
    fn set<'a>(
        &mut self,
        item: &Item<'a>,
        read: impl Fn(&Item<'a>) -> Result<T, ConfigError>,
    ) -> Result<(), ConfigError> {
        *self = Some(Value { value: read(item)?, origin: item.origin() });
        Ok(())
    }

    fn merge(&mut self, upper: Self) {
        *self = upper.or_else(|| self.take());
    }

    fn show<'s>(&'s self, key: &str, text: impl Fn(&T) -> String, rows: &mut Vec<ShownValue<'s>>) {
        rows.extend(self.iter().map(|value| ShownValue::of(key, value, &text)));
    }
}

impl<T: PartialEq> Slot<T> for List<T> {
    /// All have the list's origin, but their own line in errors.
    fn set<'a>(
        &mut self,
        item: &Item<'a>,
        read: impl Fn(&Item<'a>) -> Result<T, ConfigError>,
    ) -> Result<(), ConfigError> {
        let one = |of: &Item<'a>| Ok(Value { value: read(of)?, origin: item.origin() });
        *self = item.list()?.iter().map(one).collect::<Result<_, ConfigError>>()?;
        Ok(())
    }

    fn merge(&mut self, upper: Self) {
        add(self, upper, PartialEq::eq);
    }

    fn show<'s>(&'s self, key: &str, text: impl Fn(&T) -> String, rows: &mut Vec<ShownValue<'s>>) {
        rows.extend(self.iter().map(|value| ShownValue::of(key, value, &text)));
    }
}

impl<K, T> Slot<T> for ByName<K, T>
where
    K: Ord + Display + FromStr,
    K::Err: Display,
{
    fn set<'a>(
        &mut self,
        item: &Item<'a>,
        read: impl Fn(&Item<'a>) -> Result<T, ConfigError>,
    ) -> Result<(), ConfigError> {
        let name = item.name.parse().map_err(|e| item.bad_value(e))?;
        self.insert(name, Value { value: read(item)?, origin: item.origin() });
        Ok(())
    }

    fn merge(&mut self, upper: Self) {
        self.extend(upper);
    }

    fn show<'s>(&'s self, key: &str, text: impl Fn(&T) -> String, rows: &mut Vec<ShownValue<'s>>) {
        rows.extend(self.iter().map(|(name, value)| {
            ShownValue::of(&key.replace('*', &quoted(&name.to_string())), value, &text)
        }));
    }
}

/// The lower values that none of the upper ones replaces, then the upper ones.
pub(super) fn add<T>(lower: &mut List<T>, upper: List<T>, same: impl Fn(&T, &T) -> bool) {
    lower.retain(|low| !upper.iter().any(|up| same(&low.value, &up.value)));
    lower.extend(upper);
}
