//! Names of Singularity Hub: a SIF that lies at a hub, and the digest that pins it.
//!
//! ```text
//!  shub://user/image:tag              what the hub has under the tag now
//!  shub://user/image:tag@sha256:...   the file with these bytes; the tag says where it was found
//! ```
//!
//! Source: Singularity's "shub" URIs. A hub has no manifests: the digest is that of the whole SIF.
//! Not promised: a hub's host in the name (the configuration names the hub).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{SifDigest, Tag, shown};

/// In front of such a name.
const SCHEME: &str = "shub://";

/// A SIF of a hub.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HubName {
    name: String,
    /// The tag; `latest` where none was typed.
    pub tag: Tag,
    /// The file's digest, where one was typed; it decides.
    pub sif: Option<SifDigest>,
}

/// A text that is no such name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an image of Singularity Hub: write shub://USER/IMAGE:TAG")]
pub struct ParseHubNameError(String);

impl HubName {
    /// Whether a text is meant as such a name.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// `user/image`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same name, pinned to a file.
    #[must_use]
    pub fn pinned(&self, sif: SifDigest) -> Self {
        Self { sif: Some(sif), ..self.clone() }
    }
}

impl FromStr for HubName {
    type Err = ParseHubNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseHubNameError(shown(text));
        let rest = text.strip_prefix(SCHEME).ok_or_else(bad)?;
        let (rest, sif) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| bad())?)),
            None => (rest, None),
        };
        let (name, tag) = rest.split_once(':').unwrap_or((rest, "latest"));
        // users' names there have capitals
        let good = |part: &str| {
            part.len() <= 100
                && part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if name.split('/').count() > 2 || !name.split('/').all(good) {
            return Err(bad());
        }
        Ok(Self { name: name.to_owned(), tag: tag.parse().map_err(|_| bad())?, sif })
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}:{}", self.name, self.tag)?;
        self.sif.iter().try_for_each(|sif| write!(f, "@{sif}"))
    }
}

impl Serialize for HubName {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HubName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let pinned = format!("shub://GodloveD/lolcow:v1@sha256:{}", "a".repeat(64));
        for (typed, printed) in [
            ("shub://GodloveD/lolcow", "shub://GodloveD/lolcow:latest"),
            ("shub://image:tag", "shub://image:tag"),
            (pinned.as_str(), pinned.as_str()),
        ] {
            assert_eq!(typed.parse::<HubName>().unwrap().to_string(), printed);
            assert_eq!(printed.parse::<HubName>().unwrap().to_string(), printed);
        }
        for bad in [
            "",
            "shub://",
            "shub:///a",
            "shub://a/../b",
            "shub://hub.example/a/b",
            "shub://a/b:",
            "shub://a/b:v1@md5:00",
            "shub://a/b?x",
            "shub://a/b%2f",
            "shub://a/.b",
            "docker://a/b",
        ] {
            assert!(bad.parse::<HubName>().is_err(), "{bad}");
        }
    }
}
