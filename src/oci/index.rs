//! An image index (docker: manifest list): one entry per platform.
//!
//! Source: OCI image specification 1.1, `image-index.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Descriptor, Platform};

/// The entries of an index, in the order of the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The media type, where the document states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What it points to.
    pub manifests: Vec<IndexEntry>,
    /// Annotations; free text of the image's author.
    #[serde(
        default,
        deserialize_with = "super::manifest::texts",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// A manifest in an index and the platform that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// The manifest.
    #[serde(flatten)]
    pub descriptor: Descriptor,
    /// Absent for entries that are no image (attestations, artifacts).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl Index {
    /// The first entry that serves `platform`, as the specification says: earlier entries are
    /// preferred. Attestations (`unknown/unknown`) never match.
    #[must_use]
    pub fn select(&self, platform: &Platform) -> Option<&IndexEntry> {
        self.manifests
            .iter()
            .find(|entry| entry.platform.as_ref().is_some_and(|offered| platform.accepts(offered)))
    }

    /// The platforms that the index offers, for messages.
    #[must_use]
    pub fn platforms(&self) -> Vec<String> {
        self.manifests
            .iter()
            .filter_map(|entry| entry.platform.as_ref())
            .filter(|p| p.os != "unknown")
            .map(ToString::to_string)
            .collect()
    }
}
