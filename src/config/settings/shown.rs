//! What `config show` lists: every value that was set, and where.

use crate::config::{Origin, Value};

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

impl<'a> ShownValue<'a> {
    pub(super) fn of<T>(key: &str, value: &'a Value<T>, text: impl Fn(&T) -> String) -> Self {
        Self { key: key.to_owned(), value: text(&value.value), origin: &value.origin }
    }
}

/// A name as a key of TOML needs it.
pub(super) fn quoted(name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { format!("{name:?}") }
}
