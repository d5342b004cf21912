//! Reads documents that Go programs wrote: `null` in the place of an empty list, a number in the place of a text.
//!
//! Only fields that decide nothing are read in this way. A value that is not a text is ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// `null` for what is absent.
pub(super) fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    d: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// A text, or nothing.
pub(super) fn text<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    Ok(some_text(d)?.unwrap_or_default())
}

/// A text that is not empty.
pub(super) fn some_text<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(d)? {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    })
}

/// Annotations and labels. Go reads `null` as an empty text.
pub(super) fn texts<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, String>, D::Error> {
    let Value::Object(found) = Value::deserialize(d)? else {
        return Ok(BTreeMap::new());
    };
    let text = |(name, value)| match value {
        Value::String(text) => Some((name, text)),
        Value::Null => Some((name, String::new())),
        _ => None,
    };
    Ok(found.into_iter().filter_map(text).collect())
}

/// The words of a command: a list, or one word alone as docker wrote it before 1.8. Go reads `null` as
/// an empty word.
pub(super) fn words<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        List(Vec<Option<String>>),
    }
    Ok(match Option::deserialize(d)? {
        None => Vec::new(),
        Some(Words::One(word)) if word.is_empty() => Vec::new(),
        Some(Words::One(word)) => vec![word],
        Some(Words::List(words)) => words.into_iter().map(Option::unwrap_or_default).collect(),
    })
}

/// Lines of which `null` is none.
pub(super) fn lines<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let lines: Vec<Option<String>> = null_is_default(d)?;
    Ok(lines.into_iter().flatten().collect())
}

/// A list whose items may be `null`.
pub(super) fn items<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    d: D,
) -> Result<Vec<T>, D::Error> {
    let items: Vec<Option<T>> = null_is_default(d)?;
    Ok(items.into_iter().map(Option::unwrap_or_default).collect())
}
