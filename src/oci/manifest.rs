//! An image manifest, and the decision whether a document is a manifest or an index.
//!
//! Source: OCI image specification 1.1, `manifest.md`. The decision follows the *server's* media
//! type and the document's own `mediaType`, which must agree, and refuses a document that has
//! both `layers` and `manifests` (CVE-2021-41190).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Descriptor, Index, lenient, media_type};

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
    #[serde(default, deserialize_with = "lenient::null_is_default")]
    pub layers: Vec<Descriptor>,
    /// Annotations; free text of the image's author. What is no text is passed by.
    #[serde(
        default,
        deserialize_with = "lenient::texts",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
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
    /// Something else than a manifest.
    #[error("it is not a manifest, {0}")]
    Else(&'static str),
    /// A configuration that is none.
    #[error("it is not an image configuration: {0}")]
    Config(#[source] serde_json::Error),
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
        let value: serde_json::Value = match serde_json::from_slice(bytes) {
            Ok(value) => value,
            Err(_) if bytes.iter().all(u8::is_ascii_whitespace) => {
                return Err(DocumentError::Else("it is empty"));
            }
            Err(_) if !bytes.trim_ascii_start().starts_with(b"{") => {
                return Err(DocumentError::Else("and no JSON document at all"));
            }
            Err(error) => return Err(error.into()),
        };
        if !["schemaVersion", "mediaType", "layers", "manifests", "config", "fsLayers"]
            .iter()
            .any(|key| value.get(key).is_some())
        {
            return Err(DocumentError::Else("but another JSON document"));
        }
        let has = |key: &str| value.get(key).is_some_and(|found| !found.is_null());
        if has("layers") && has("manifests") || has("config") && has("manifests") {
            return Err(DocumentError::Ambiguous);
        }
        match value.get("schemaVersion").and_then(serde_json::Value::as_u64) {
            Some(2) => {}
            other => return Err(DocumentError::Schema(other.unwrap_or(0))),
        }
        let own = value.get("mediaType").and_then(|v| v.as_str()).unwrap_or_default();
        let own = Some(media_type::essence(own)).filter(|own| own.starts_with("application/vnd."));
        // a header that says nothing of manifests is not asked
        let header = content_type.map(media_type::essence);
        let header = header.filter(|header| media_type::MANIFESTS.contains(&header.as_str()));
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
            None if value.get("manifests").is_some() && !has("config") => {
                Ok(Self::Index(serde_json::from_value(value)?))
            }
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
        let read = [("a".into(), "b".into()), ("d".into(), String::new())];
        assert_eq!(of(r#"{"a":"b","c":1,"d":null}"#), read.into());
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

    /// The bytes say what it is where nobody else does, or somebody says nonsense.
    #[test]
    fn a_type_that_says_nothing_is_not_asked() {
        let config = format!(r#"{{"digest":"sha256:{}","size":1}}"#, "0".repeat(64));
        let manifest = format!(r#"{{"schemaVersion":2,"config":{config},"layers":null}}"#);
        for content_type in [
            None,
            Some(""),
            Some("text/html"),
            Some("text/plain; charset=utf-8"),
            Some("application/json"),
            Some("application/octet-stream"),
            Some("application/vnd.acme.thing+json"),
            Some("Application/vnd.OCI.image.manifest.v1+json; charset=utf-8"),
        ] {
            match Document::parse(manifest.as_bytes(), content_type) {
                Ok(Document::Manifest(read)) => assert_eq!(read.layers, [], "{content_type:?}"),
                other => panic!("{content_type:?}: {other:?}"),
            }
            let index = br#"{"schemaVersion":2,"manifests":null}"#;
            let read = Document::parse(index, content_type);
            if content_type.is_none_or(|text| !text.contains("OCI")) {
                assert!(matches!(read, Ok(Document::Index(_))), "{content_type:?}: {read:?}");
            }
        }
        let other = manifest.replacen('{', r#"{"mediaType":"application/vnd.acme.thing+json","#, 1);
        let other = Document::parse(other.as_bytes(), None);
        assert!(matches!(other, Err(DocumentError::MediaType(_))));
    }

    #[test]
    fn malformed_is_said_of_manifests_only() {
        let of = |text: &str| Document::parse(text.as_bytes(), None).unwrap_err().to_string();
        assert!(of(r#"{"schemaVersion":2,"config":1,"layers":[]}"#).contains("malformed"));
        for text in ["", "<html>", "[]", "null", r#"{"errors":[]}"#, "Not found"] {
            let told = of(text);
            assert!(
                told.starts_with("it is not a manifest") && !told.contains("malformed"),
                "{told}"
            );
        }
    }

    #[test]
    fn schema_1_is_refused_by_name() {
        assert!(matches!(
            Document::parse(br#"{"schemaVersion":1}"#, None),
            Err(DocumentError::Schema(1))
        ));
    }
}
