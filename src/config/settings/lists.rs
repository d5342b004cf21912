//! Lists of two levels.

use crate::config::Value;

/// The lower values that none of the upper ones replaces, then the upper ones.
pub(super) fn both<T>(
    mut lower: Vec<Value<T>>,
    upper: Vec<Value<T>>,
    same: impl Fn(&T, &T) -> bool,
) -> Vec<Value<T>> {
    lower.retain(|low| !upper.iter().any(|up| same(&low.value, &up.value)));
    lower.extend(upper);
    lower
}
