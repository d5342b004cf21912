//! Mounts in configuration files: how they are written at each level, and which level wins where two name one target.

use super::slot::{List, add};
use crate::config::ConfigError;
use crate::config::read::Item;
use crate::job::Mount;

/// How a mount is written: in a project file its source may be relative to the project's directory.
pub(super) fn mount(item: &Item<'_>) -> Result<Mount, ConfigError> {
    if !item.is_of_project() {
        return item.parsed();
    }
    Mount::of_project(item.text()?).map_err(|e| item.bad_value(e))
}

/// The later level's mount to one target stays, except that a project's never takes the place of one that
/// the user or the site chose.
pub(super) fn merge(lower: &mut List<Mount>, mut upper: List<Mount>) {
    let same = |one: &Mount, other: &Mount| one.same_target(other);
    upper.retain(|up| {
        !up.origin.is_project()
            || !lower.iter().any(|low| !low.origin.is_project() && same(&low.value, &up.value))
    });
    add(lower, upper, same);
}
