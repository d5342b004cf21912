//! Mounts of the levels: how each writes them, and whose stays.

use super::lists::both;
use crate::config::read::Item;
use crate::config::{ConfigError, Origin, Value};
use crate::job::Mount;

/// The later level's mount to one target stays, except that a project's never takes the place of one that
/// the user or the site chose.
pub(super) fn merged(lower: Vec<Value<Mount>>, mut upper: Vec<Value<Mount>>) -> Vec<Value<Mount>> {
    let same = |one: &Mount, other: &Mount| one.same_target(other);
    upper.retain(|up| {
        !up.origin.is_project()
            || !lower.iter().any(|low| !low.origin.is_project() && same(&low.value, &up.value))
    });
    both(lower, upper, same)
}

/// How a mount is written: in a project file its source may be relative to the project's directory.
pub(super) fn spelled<'a>(
    origin: &Origin,
) -> impl Fn(&Item<'a>) -> Result<Mount, ConfigError> + use<'a> {
    let project = origin.is_project();
    move |item| {
        if project {
            Mount::of_project(item.text()?).map_err(|e| item.bad_value(e))
        } else {
            item.parsed()
        }
    }
}
