//! What a registry said at the moment of resolving.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Pin;

/// What a registry said of an image at the moment of resolving, beside the pin itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The pin.
    #[serde(flatten)]
    pub pin: Pin,
    /// Compressed size in bytes: configuration and layers.
    pub size: u64,
    /// When the image says it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Its labels; foreign text.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What its manifest, else the index above it, says of commit and project; foreign text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Whether the typed tag points to this image now; `None` when no tag was typed.
    pub tag_points_here: Option<bool>,
}
