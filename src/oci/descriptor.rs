//! A descriptor: what a document says of a blob that it points to.
//!
//! Source: OCI image specification 1.1, `descriptor.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Digest, lenient};

/// Media type, digest and size of a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is said to be; empty where nothing is said.
    #[serde(default, deserialize_with = "lenient::text")]
    pub media_type: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Annotations; free text of the image's author.
    #[serde(
        default,
        deserialize_with = "lenient::texts",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}
