//! `[images]`: a short name stands for a reference, or for what CI built.

use std::fmt;

use crate::config::job_file::set_built;
use crate::config::read::Item;
use crate::config::{ConfigError, Problem, keys};
use crate::oci::{DOCKER_HUB, HubName, Reference};
use crate::pin::Built;

/// What a short name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// A reference; it is read again when the default registry is known.
    Reference(String),
    /// What CI built.
    Built(Built),
}

impl fmt::Display for Meant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(text) => f.pad(text),
            Self::Built(built) => built.fmt(f),
        }
    }
}

/// What stands behind a name.
pub(super) fn meant(item: &Item<'_>) -> Result<Meant, ConfigError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let first = item.name.bytes().next();
    if !item.name.bytes().all(good) || !first.is_some_and(|b| b.is_ascii_alphanumeric()) {
        return Err(item.bad_value("a name has letters, digits and . _ -, and begins with no sign"));
    }
    if item.value.get_ref().is_table() {
        built(item).map(Meant::Built)
    } else {
        reference(item).map(Meant::Reference)
    }
}

fn reference(item: &Item<'_>) -> Result<String, ConfigError> {
    let text = item.line_of_text()?;
    if HubName::is_meant(&text) {
        let read = text.parse::<HubName>().map(drop);
        return read.map(|()| text).map_err(|e| item.bad_value(e));
    }
    // a SIF of a registry has the same form behind its scheme
    let reference = text.strip_prefix("oras://").unwrap_or(&text);
    Reference::parse(reference, DOCKER_HUB).map_err(|e| item.bad_value(e))?;
    Ok(text)
}

/// Its project and the words of the flags.
fn built(item: &Item<'_>) -> Result<Built, ConfigError> {
    let mut built = Built::default();
    for (key, value) in item.table()? {
        let word: &str = key.get_ref().as_ref();
        let path = format!("{}.{word}", item.key);
        if !Built::KEYS.contains(&word) {
            let nearest =
                keys::nearest(&[word], Built::KEYS).map(|key| format!("{}.{key}", item.key));
            let problem = Problem::Unknown { key: path, nearest };
            return Err(item.source.error(key.span().start, problem));
        }
        let item = Item { source: item.source, key: &path, name: word, value };
        set_built(&mut built, word, &item)?;
    }
    if let Some((one, other)) = built.conflict() {
        return Err(item.bad_value(format!("{one:?} cannot stand beside {other:?}")));
    }
    if built.project.is_none() {
        return Err(item.bad_value("it needs a project: project = \"group/project\""));
    }
    Ok(built)
}
