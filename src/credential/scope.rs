//! What a credential is for: a registry, or the repositories below a prefix.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::CredentialError;
use crate::oci::{Registry, Repository, shown};

/// `registry[/group/project]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The registry.
    pub registry: Registry,
    /// The project or group; absent for everything in the registry.
    pub prefix: Option<Repository>,
}

impl Scope {
    /// Whether this is about the registry at all.
    #[must_use]
    pub fn is_of(&self, registry: &Registry) -> bool {
        self.registry.is_same(registry)
    }

    /// Whether a repository lies in the scope; `group/pro` does not cover `group/project`.
    #[must_use]
    pub fn covers(&self, registry: &Registry, repository: &Repository) -> bool {
        self.is_of(registry)
            && self.prefix.as_ref().is_none_or(|prefix| {
                repository
                    .as_str()
                    .strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    }

    /// As a person types it at `login`: `https://` and `docker://` in front, a slash at the end and a
    /// project's capitals are taken off. Registries know lower case only, so none of these has two
    /// meanings.
    ///
    /// # Errors
    /// As for [`Scope::from_str`]; `http://` is refused, because a registry's secret does not go there.
    pub fn typed(text: &str) -> Result<Self, CredentialError> {
        let text = text.trim();
        let (scheme, bare) = text.split_once("://").unwrap_or(("", text));
        let bare = match scheme.to_ascii_lowercase().as_str() {
            "http" => return Err(CredentialError::PlainScope),
            "" | "https" | "docker" | "oras" => bare.trim_end_matches('/'),
            _ => text,
        };
        match bare.split_once('/') {
            Some((host, "v1" | "v2")) => host.parse(),
            Some((host, project)) => format!("{host}/{}", project.to_lowercase()).parse(),
            None => bare.parse(),
        }
    }

    pub(super) fn prefix_len(&self) -> usize {
        self.prefix.as_ref().map_or(0, |prefix| prefix.as_str().len())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.registry)?;
        self.prefix.iter().try_for_each(|prefix| write!(f, "/{prefix}"))
    }
}

impl FromStr for Scope {
    type Err = CredentialError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |_| CredentialError::Scope(shown(text));
        let (registry, prefix) = match text.trim_end_matches('/').split_once('/') {
            Some((registry, prefix)) => (registry, Some(prefix.parse().map_err(bad)?)),
            None => (text.trim_end_matches('/'), None),
        };
        Ok(Self { registry: registry.parse().map_err(bad)?, prefix })
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}
