//! Puts a SIF beside its image in a registry.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Cursor;
use std::path::Path;

use serde_json::json;

use super::names::{MANIFEST, RECIPE, SIGNED, TITLE, tag};
use crate::oci::media_type::{OCI_MANIFEST, SIF_CONFIG, SIF_LAYER};
use crate::oci::{Descriptor, Digest, Registry, Repository, Sha256Digest, SifDigest, Tag};
use crate::pin::Recipe;
use crate::registry::Client;
use crate::sif::{self, SifReader};
use crate::sign::{PublicKey, Signed, SigningKey, Statement};
use crate::stage::StageError;
use crate::store::StoredSif;

/// What lies in the registry now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The artifact's manifest.
    pub artifact: Digest,
    /// The tags that name it; the first is the one that it is found by.
    pub tags: Vec<Tag>,
    /// Who signed it; `None`: nobody.
    pub signed_by: Option<PublicKey>,
    /// Whether the SIF itself had to be sent.
    pub sent: bool,
}

/// The two documents of an artifact.
struct Documents {
    config: Vec<u8>,
    manifest: Vec<u8>,
}

/// Sends a SIF and names it by its image's tag, and by `also`.
///
/// # Errors
/// [`StageError::NotSif`] when the file does not say what it was made from; else as the registry says.
#[allow(clippy::too_many_arguments, reason = "where, what, and who vouches: nothing to leave out")]
pub async fn give(
    (registry, repository): (&Registry, &Repository),
    also: Option<&Tag>,
    sif: &StoredSif,
    manifest: &Digest,
    recipe: &Recipe,
    key: Option<&SigningKey>,
    client: &Client,
    sent: &(dyn Fn(u64) + Sync),
) -> Result<Given, StageError> {
    let io = |source| StageError::File { path: sif.path.clone(), source };
    let not_sif = |why: String| StageError::NotSif { path: sif.path.clone(), why };
    let own = tag(manifest, recipe)
        .ok_or_else(|| not_sif("its recipe's name fits into no tag".to_owned()))?;
    let config = provenance(&sif.path).map_err(not_sif)?;
    let signed = key.map(|key| key.sign(statement(sif, manifest, recipe)));
    let documents = documents(sif, manifest, recipe, config, signed.as_ref());
    let layer = layer(&sif.digest, sif.size);
    let mut file = File::open(&sif.path).map_err(io)?;
    let went = client.push_blob(registry, repository, &layer, &mut file, sent).await?;
    let config = descriptor(SIF_CONFIG, &documents.config);
    let mut bytes = Cursor::new(&documents.config);
    client.push_blob(registry, repository, &config, &mut bytes, &|_| ()).await?;
    let mut tags = vec![own];
    tags.extend(also.filter(|also| **also != tags[0]).cloned());
    for tag in &tags {
        let bytes = &documents.manifest;
        client.push_manifest(registry, repository, tag, OCI_MANIFEST, bytes).await?;
    }
    Ok(Given {
        artifact: Digest::of(&documents.manifest),
        tags,
        signed_by: signed.as_ref().map(Signed::key),
        sent: went,
    })
}

/// What is signed.
pub(super) fn statement(sif: &StoredSif, manifest: &Digest, recipe: &Recipe) -> Statement {
    let StoredSif { digest, size, tree, .. } = *sif;
    Statement { manifest: *manifest, recipe: recipe.key(), sif: digest, size, tree }
}

/// What a SIF says of its making, as it stands in it.
fn provenance(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut file = SifReader::open(file).map_err(|error| error.to_string())?;
    file.object(sif::PROVENANCE)
        .map_err(|error| format!("it does not say what it was made from ({error})"))
}

fn documents(
    sif: &StoredSif,
    manifest: &Digest,
    recipe: &Recipe,
    config: Vec<u8>,
    signed: Option<&Signed>,
) -> Documents {
    let mut annotations = json!({
        MANIFEST: manifest,
        RECIPE: recipe.key(),
    });
    if let Some(text) = signed.and_then(|signed| serde_json::to_string(signed).ok()) {
        annotations[SIGNED] = text.into();
    }
    let mut file = json!(layer(&sif.digest, sif.size));
    file["annotations"] = json!({ TITLE: format!("{}.sif", sif.digest.hex()) });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(SIF_CONFIG, &config),
        "layers": [file],
        "annotations": annotations,
    });
    Documents { config, manifest: manifest.to_string().into_bytes() }
}

fn layer(digest: &SifDigest, size: u64) -> Descriptor {
    let digest = Digest::from_bytes(*digest.bytes());
    Descriptor { media_type: SIF_LAYER.into(), digest, size, annotations: BTreeMap::new() }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.into(),
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        annotations: BTreeMap::new(),
    }
}
