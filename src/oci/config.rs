//! An image's configuration document.
//!
//! Source: OCI image specification 1.1, `config.md`. Unknown fields are ignored on reading; the
//! bytes that were hashed are kept by whoever needs them, never written again from this struct.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::{DiffId, Platform};

/// The parts of an image configuration that Moorline uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made (RFC 3339), as its builder says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The platform that the image is for.
    #[serde(flatten)]
    pub platform: Platform,
    /// How to start the program.
    #[serde(default)]
    pub config: Option<ContainerConfig>,
    /// The layers' uncompressed digests, bottom first.
    pub rootfs: RootFs,
    /// How each layer was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

/// `rootfs` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Bottom layer first.
    pub diff_ids: Vec<DiffId>,
}

/// `config` of the configuration: what a container runtime applies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerConfig {
    /// User or uid, `USER` of a Dockerfile.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub user: String,
    /// `NAME=value` entries in order.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// `ENTRYPOINT` words.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub entrypoint: Vec<String>,
    /// `CMD` words.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub cmd: Vec<String>,
    /// `WORKDIR`.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub working_dir: String,
    /// `LABEL`s; foreign text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
}

/// One step of an image's history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// The command that made the layer; foreign text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// Whether the step made no layer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// Builders write `null` for absent lists.
fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    d: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

impl ImageConfig {
    /// The container part, empty when the image has none.
    #[must_use]
    pub fn container(&self) -> ContainerConfig {
        self.config.clone().unwrap_or_default()
    }
}
