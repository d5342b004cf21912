//! An image manifest, and the decision whether a document is a manifest or an index.
//!
//! Source: OCI image specification 1.1, `manifest.md`. The decision follows the *server's* media
//! type and the document's own `mediaType`, which must agree, and refuses a document that has
//! both `layers` and `manifests` (CVE-2021-41190).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Descriptor, Index, media_type};

/// A single platform's image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The media type, where the document states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, bottom first.
    pub layers: Vec<Descriptor>,
    /// Annotations; free text of the image's author. What is no text is passed by.
    #[serde(default, deserialize_with = "texts", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Annotations as they are found: nothing that counts depends on them, so none of them makes a
/// document unreadable.
pub(super) fn texts<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, String>, D::Error> {
    let serde_json::Value::Object(found) = serde_json::Value::deserialize(d)? else {
        return Ok(BTreeMap::new());
    };
    let text = |(name, value)| match value {
        serde_json::Value::String(text) => Some((name, text)),
        _ => None,
    };
    Ok(found.into_iter().filter_map(text).collect())
}

/// What stands under a tag or digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One platform's image.
    Manifest(Manifest),
    /// An index over platforms.
    Index(Index),
}

/// A document that is neither a manifest nor an index that Moorline reads.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON, or fields are missing or of the wrong type.
    #[error("the manifest is malformed: {0}")]
    Json(#[from] serde_json::Error),
    /// A media type that is not read.
    #[error(
        "the manifest has the media type {0:?}, which is not an OCI or docker (schema 2) image"
    )]
    MediaType(String),
    /// The server's and the document's media type differ.
    #[error("the registry calls the manifest {header:?}, the manifest itself says {own:?}")]
    Disagree {
        /// The `Content-Type` header.
        header: String,
        /// The document's `mediaType`.
        own: String,
    },
    /// Both `layers` and `manifests` are there.
    #[error("the manifest has both layers and manifests, so it could be read in two ways")]
    Ambiguous,
    /// `schemaVersion` is not 2.
    #[error(
        "the manifest has schema version {0}, only 2 is read (schema 1 images must be pushed again)"
    )]
    Schema(u64),
}

impl Document {
    /// Reads the bytes of a manifest whose digest was already checked.
    ///
    /// # Errors
    /// As the variants of [`DocumentError`] say.
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, DocumentError> {
        let value: serde_json::Value = serde_json::from_slice(bytes)?;
        let has = |key: &str| value.get(key).is_some();
        if has("layers") && has("manifests") || has("config") && has("manifests") {
            return Err(DocumentError::Ambiguous);
        }
        match value.get("schemaVersion").and_then(serde_json::Value::as_u64) {
            Some(2) => {}
            other => return Err(DocumentError::Schema(other.unwrap_or(0))),
        }
        let own = value.get("mediaType").and_then(|v| v.as_str()).map(str::to_owned);
        let header =
            content_type.map(|h| h.split(';').next().unwrap_or(h).trim().to_owned()).filter(|h| {
                h != "application/json" && h != "application/octet-stream" && !h.is_empty()
            });
        let stated = match (header, own) {
            (Some(header), Some(own)) if header != own => {
                return Err(DocumentError::Disagree { header, own });
            }
            (header, own) => header.or(own),
        };
        match stated.as_deref() {
            Some(media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST) => {
                Ok(Self::Manifest(serde_json::from_value(value)?))
            }
            Some(media_type::OCI_INDEX | media_type::DOCKER_INDEX) => {
                Ok(Self::Index(serde_json::from_value(value)?))
            }
            Some(other) => Err(DocumentError::MediaType(other.to_owned())),
            None if has("manifests") => Ok(Self::Index(serde_json::from_value(value)?)),
            None => Ok(Self::Manifest(serde_json::from_value(value)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_both_is_refused() {
        let both = br#"{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}"#;
        assert!(matches!(Document::parse(both, None), Err(DocumentError::Ambiguous)));
    }

    #[test]
    fn annotations_are_texts_and_break_nothing() {
        let of = |annotations: &str| {
            let text =
                format!(r#"{{"schemaVersion":2,"manifests":[],"annotations":{annotations}}}"#);
            match Document::parse(text.as_bytes(), None).unwrap() {
                Document::Index(index) => index.annotations,
                Document::Manifest(_) => panic!("an index"),
            }
        };
        assert_eq!(of(r#"{"a":"b","c":1,"d":null}"#), [("a".into(), "b".into())].into());
        for odd in ["null", "[]", "1", "{}"] {
            assert!(of(odd).is_empty(), "{odd}");
        }
    }

    #[test]
    fn header_and_document_must_agree() {
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#,
            media_type::OCI_INDEX
        );
        assert!(matches!(
            Document::parse(index.as_bytes(), Some(media_type::OCI_MANIFEST)),
            Err(DocumentError::Disagree { .. })
        ));
        assert!(matches!(
            Document::parse(index.as_bytes(), Some(media_type::OCI_INDEX)),
            Ok(Document::Index(_))
        ));
    }

    #[test]
    fn schema_1_is_refused_by_name() {
        assert!(matches!(
            Document::parse(br#"{"schemaVersion":1}"#, None),
            Err(DocumentError::Schema(1))
        ));
    }
}
