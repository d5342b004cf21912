//! The bill of materials (SBOM) that somebody attached to an image, in the form that GitLab reads: CycloneDX.
//!
//! ```text
//!  tag sha256-HEX        an index of referrers         artifactType application/vnd.cyclonedx+json   oras, trivy
//!  tag sha256-HEX.sbom   a manifest, its layer is it   application/vnd.cyclonedx+json                cosign attach sbom
//!  tag sha256-HEX.att    layers in DSSE envelopes      a statement about the image's digest          cosign attest
//!  the image's index     a manifest for its digest     application/vnd.in-toto+json, a statement     BuildKit
//! ```
//!
//! HEX is the digest of the platform's manifest, or of the index that was asked. A statement must name one of these as
//! its subject. Sources: OCI distribution specification 1.1, "Referrers Tag Schema"; cosign's "SBOM specification" and
//! "Attestations"; BuildKit's "Attestation storage"; in-toto "Statement", DSSE "Envelope"; CycloneDX 1.4 to 1.6.
//!
//! *Not promised:* that it is true. Whoever may push may attach one, and signatures are not checked. The referrers API
//! is not asked: the tags say the same where a registry has no such API, GitLab's among them for long. `buildah build
//! --sbom` writes into the image's files; that is not looked for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::{Failure, Kind};
use crate::oci::media_type::essence;
use crate::oci::{Descriptor, Digest, Document, Index, Manifest, Sha256Digest, Tag};
use crate::pin::Pin;
use crate::registry::{Client, RegistryError, Wanted};

/// The longest one that is read: GitLab takes reports of 100 MB at most.
const MOST_BYTES: u64 = 100 << 20;
/// So many manifests that are attached are looked at.
const MOST_LOOKED_AT: usize = 50;

const CYCLONEDX: &str = "application/vnd.cyclonedx+json";
const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";
/// How the types of CycloneDX begin in statements.
const PREDICATE: &str = "https://cyclonedx.org/bom";
/// BuildKit marks what it attaches, and says to what.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// One that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sbom {
    /// CycloneDX, as JSON.
    pub bytes: Vec<u8>,
    /// Where it was: a tag, or the image's index.
    pub place: String,
    /// The digest of the blob that holds it.
    pub blob: Digest,
}

/// What was found beside one, or instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// The first in CycloneDX.
    pub found: Option<Sbom>,
    /// What was passed by, and why.
    pub passed: Vec<String>,
}

/// Looks for an image's SBOM.
///
/// # Errors
/// As the registry says; what is not there, malformed, or about another image is passed by.
pub async fn sbom(client: &Client, pin: &Pin) -> Result<Looked, RegistryError> {
    let subjects: Vec<Digest> = [Some(pin.manifest), pin.index].into_iter().flatten().collect();
    let mut looked = Looked::default();
    for subject in &subjects {
        for end in ["", ".sbom", ".att"] {
            let text = format!("sha256-{}{end}", subject.hex());
            let Ok(tag) = text.parse::<Tag>() else { continue };
            let asked = client.manifest_if_there(&pin.registry, &pin.repository, &tag).await;
            let fetched = match asked {
                Ok(Some(fetched)) => fetched,
                Ok(None) => continue,
                Err(error @ RegistryError::Document { .. }) => {
                    looked.passed.push(format!("{text}: {error}"));
                    continue;
                }
                Err(error) => return Err(error),
            };
            match fetched.document {
                Document::Manifest(manifest) => {
                    layers(client, pin, &manifest, &subjects, &text, &mut looked).await?;
                }
                Document::Index(index) => {
                    let entries = index.manifests.iter().map(|entry| &entry.descriptor);
                    below(client, pin, entries.collect(), &subjects, &text, &mut looked).await?;
                }
            }
            if looked.found.is_some() {
                return Ok(looked);
            }
        }
    }
    if let Some(digest) = pin.index {
        let wanted = Wanted::Digest(digest);
        let fetched = client.manifest(&pin.registry, &pin.repository, &wanted).await?;
        if let Document::Index(index) = fetched.document {
            let place = format!("the index {digest}");
            below(client, pin, attached(&index, pin), &subjects, &place, &mut looked).await?;
        }
    }
    Ok(looked)
}

/// What BuildKit attached to the platform's manifest.
fn attached<'i>(index: &'i Index, pin: &Pin) -> Vec<&'i Descriptor> {
    let of = pin.manifest.to_string();
    let entries = index.manifests.iter().map(|entry| &entry.descriptor);
    entries
        .filter(|entry| {
            entry.annotations.contains_key(REFERENCE_TYPE)
                && entry.annotations.get(REFERENCE_DIGEST) == Some(&of)
        })
        .collect()
}

/// The manifests that an index names.
async fn below(
    client: &Client,
    pin: &Pin,
    entries: Vec<&Descriptor>,
    subjects: &[Digest],
    place: &str,
    looked: &mut Looked,
) -> Result<(), RegistryError> {
    for entry in entries.into_iter().take(MOST_LOOKED_AT) {
        let wanted = Wanted::Digest(entry.digest);
        let fetched = match client.manifest(&pin.registry, &pin.repository, &wanted).await {
            Ok(fetched) => fetched,
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Integrity) => {
                looked.passed.push(format!("{place}: {error}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Document::Manifest(manifest) = fetched.document {
            layers(client, pin, &manifest, subjects, place, looked).await?;
        }
        if looked.found.is_some() {
            break;
        }
    }
    Ok(())
}

/// The layers of one manifest.
async fn layers(
    client: &Client,
    pin: &Pin,
    manifest: &Manifest,
    subjects: &[Digest],
    place: &str,
    looked: &mut Looked,
) -> Result<(), RegistryError> {
    for layer in &manifest.layers {
        let Some(form) = Form::of(layer) else { continue };
        let limit = (MOST_BYTES, "limits.layer_bytes");
        let bytes = match client.blob_bytes(&pin.registry, &pin.repository, layer, limit).await {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Integrity) => {
                looked.passed.push(format!("{place}: {error}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        match form.document(bytes, subjects) {
            Ok(bytes) => {
                looked.found = Some(Sbom { bytes, place: place.to_owned(), blob: layer.digest });
                return Ok(());
            }
            Err(why) => looked.passed.push(format!("{place}: {}: {why}", layer.digest)),
        }
    }
    Ok(())
}

/// How a document lies in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As it is.
    Plain,
    /// In a statement.
    Statement,
    /// In a statement in an envelope.
    Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    predicate_type: String,
    #[serde(default)]
    subject: Vec<Subject>,
    predicate: Value,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    digest: std::collections::BTreeMap<String, String>,
}

impl Form {
    /// `None` for what is something else, by its own word.
    fn of(layer: &Descriptor) -> Option<Self> {
        // cosign and BuildKit say what is inside
        let said = ["predicateType", "in-toto.io/predicate-type"];
        let said = said.iter().find_map(|name| layer.annotations.get(*name));
        let fits = said.is_none_or(|said| said.starts_with(PREDICATE));
        match essence(&layer.media_type).as_str() {
            CYCLONEDX => Some(Self::Plain),
            IN_TOTO if fits => Some(Self::Statement),
            DSSE if fits => Some(Self::Envelope),
            _ => None,
        }
    }

    fn document(self, bytes: Vec<u8>, subjects: &[Digest]) -> Result<Vec<u8>, String> {
        let broken = |error: serde_json::Error| format!("it is malformed: {error}");
        let bytes = match self {
            Self::Plain => bytes,
            Self::Statement => statement(&bytes, subjects)?,
            Self::Envelope => {
                let envelope: Envelope = serde_json::from_slice(&bytes).map_err(broken)?;
                let payload = STANDARD.decode(envelope.payload);
                statement(&payload.map_err(|error| error.to_string())?, subjects)?
            }
        };
        let head: Head = serde_json::from_slice(&bytes).map_err(broken)?;
        if head.bom_format == "CycloneDX" { Ok(bytes) } else { Err("it is no CycloneDX".into()) }
    }
}

/// How a document begins that is what we look for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    bom_format: String,
}

/// What a statement says, if it says it of the image.
fn statement(bytes: &[u8], subjects: &[Digest]) -> Result<Vec<u8>, String> {
    let broken = |error: serde_json::Error| format!("it is malformed: {error}");
    let said: Statement = serde_json::from_slice(bytes).map_err(broken)?;
    if !said.predicate_type.starts_with(PREDICATE) {
        return Err("it states something else than CycloneDX".into());
    }
    let mut named = said.subject.iter().filter_map(|subject| subject.digest.get("sha256"));
    if !named.any(|hex| subjects.iter().any(|subject| subject.hex() == *hex)) {
        return Err("it is about another image".into());
    }
    // cosign wraps what it was given once more
    let inner = said.predicate.get("Data").filter(|_| said.predicate.get("bomFormat").is_none());
    let document = match inner {
        Some(Value::String(text)) => return Ok(text.clone().into_bytes()),
        Some(inner) => inner,
        None => &said.predicate,
    };
    serde_json::to_vec(document).map_err(broken)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn layer(media_type: &str, annotation: Option<(&str, &str)>) -> Descriptor {
        let annotations = annotation.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Descriptor {
            media_type: media_type.to_owned(),
            digest: Digest::of(b"x"),
            size: 1,
            annotations: annotations.into_iter().collect(),
        }
    }

    #[test]
    fn only_what_calls_itself_one_is_fetched() {
        for (media_type, annotation, form) in [
            (CYCLONEDX, None, Some(Form::Plain)),
            ("application/vnd.cyclonedx+json; version=1.5", None, Some(Form::Plain)),
            (IN_TOTO, Some(("in-toto.io/predicate-type", PREDICATE)), Some(Form::Statement)),
            (IN_TOTO, Some(("in-toto.io/predicate-type", "https://spdx.dev/Document")), None),
            (DSSE, Some(("predicateType", "https://cyclonedx.org/bom/v1.4")), Some(Form::Envelope)),
            (DSSE, Some(("predicateType", "https://slsa.dev/provenance/v1")), None),
            (DSSE, None, Some(Form::Envelope)),
            ("text/spdx+json", None, None),
            ("application/vnd.oci.image.layer.v1.tar+gzip", None, None),
        ] {
            assert_eq!(Form::of(&layer(media_type, annotation)), form, "{media_type}");
        }
    }

    #[test]
    fn a_statement_is_about_this_image_or_none() {
        let (own, other) = (Digest::of(b"own"), Digest::of(b"other"));
        let bom = json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "components": [] });
        let said = |of: Digest, kind: &str, predicate: &Value| {
            let subject = json!([{ "name": "x", "digest": { "sha256": of.hex() } }]);
            let all = json!({ "predicateType": kind, "subject": subject, "predicate": predicate });
            serde_json::to_vec(&all).unwrap()
        };
        let sealed = |payload: Vec<u8>| {
            serde_json::to_vec(&json!({ "payload": STANDARD.encode(payload) })).unwrap()
        };
        let wrapped = json!({ "Data": bom, "Timestamp": "" });
        let text = json!({ "Data": bom.to_string(), "Timestamp": "" });
        for predicate in [&bom, &wrapped, &text] {
            let good = said(own, PREDICATE, predicate);
            for (form, bytes) in [(Form::Statement, good.clone()), (Form::Envelope, sealed(good))] {
                let found = form.document(bytes, &[own]).unwrap();
                assert_eq!(serde_json::from_slice::<Value>(&found).unwrap(), bom);
            }
        }
        let refuse = |form: Form, bytes: Vec<u8>| form.document(bytes, &[own]).unwrap_err();
        assert!(refuse(Form::Statement, said(other, PREDICATE, &bom)).contains("another image"));
        assert!(refuse(Form::Statement, said(own, "https://x", &bom)).contains("something else"));
        assert!(refuse(Form::Plain, b"{\"bomFormat\":\"SPDX\"}".to_vec()).contains("no CycloneDX"));
        for bad in [&b""[..], b"{}", b"[]", b"{\"payload\":7}", b"{\"payload\":\"%\"}"] {
            for form in [Form::Plain, Form::Statement, Form::Envelope] {
                refuse(form, bad.to_vec());
            }
        }
    }
}
