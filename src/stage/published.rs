//! SIFs that lie beside their images in a registry: how they are found there, and when one is used.
//!
//! ```text
//! REPOSITORY : sha256-HEX.RECIPE.sif      HEX: the image's manifest, RECIPE: the recipe's key
//!
//! manifest     {"schemaVersion":2, "mediaType":"application/vnd.oci.image.manifest.v1+json",
//!   config      "config":{"mediaType":"application/vnd.sylabs.sif.config.v1+json", ...},
//!   the SIF     "layers":[{"mediaType":"application/vnd.sylabs.sif.layer.v1.sif", ...}],
//!               "annotations":{
//!                 "io.moorline.manifest":"sha256:..",  of the image
//!                 "io.moorline.recipe":"l1-t3-zstd..",
//!                 "io.moorline.signed":"{..}"}}        sign.rs: who vouches; may be absent
//! config       the SIF's own moorline.json
//! ```
//!
//! The tag follows from pin and recipe, so that one HEAD tells whether there is one, and the
//! statement is in the manifest, so that nothing is fetched that is not signed. There is no
//! `artifactType` and no referrers API: GitLab's registry is not asked for either.
//! `apptainer pull oras://` reads it (`tests/images/apptainer.rs`).
//!
//! Whoever may push can put one there. So it is used only when a configured key signed exactly this
//! manifest, recipe, digest and size, and its bytes have that digest. Anything else is as good as
//! absent: the image is converted here.
//!
//! Sources: OCI image specification 1.1, `manifest.md`; what `apptainer push oras://` writes.

mod found;
mod give;
mod names;
mod take;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::StageError;
use crate::oci::media_type::{SIF_CONFIG, SIF_LAYER};
use crate::oci::{Descriptor, Digest, Document, Registry, Repository, Sha256Digest, TreeRoot};
use crate::pin::Recipe;
use crate::registry::{Client, Fetched};
use crate::sign::{PublicKey, Signed};

pub use found::Published;
pub use give::{Given, give};
use names::SIGNED;
pub use names::tag;
pub use take::take;

/// Looks for the SIF of an image beside it: one HEAD when there is none.
///
/// # Errors
/// As the registry says; [`StageError::Artifact`] when something else lies under the tag.
pub async fn look(
    (registry, repository): (&Registry, &Repository),
    manifest: &Digest,
    recipe: &Recipe,
    keys: &[PublicKey],
    client: &Client,
) -> Result<Option<Published>, StageError> {
    let Some(tag) = tag(manifest, recipe) else { return Ok(None) };
    let Some(found) = client.manifest_if_there(registry, repository, &tag).await? else {
        return Ok(None);
    };
    read(&found, manifest, recipe, keys).map(Some).map_err(|why| StageError::Artifact {
        image: format!("{registry}/{repository}:{tag}"),
        why,
    })
}

#[derive(Deserialize)]
struct Annotated {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Reads an artifact; the error says why it is none.
fn read(
    found: &Fetched,
    manifest: &Digest,
    recipe: &Recipe,
    keys: &[PublicKey],
) -> Result<Published, String> {
    let Document::Manifest(document) = &found.document else { return Err("an index".into()) };
    if document.config.media_type != SIF_CONFIG {
        return Err(format!("its configuration is of the type {:?}", document.config.media_type));
    }
    let [sif] = document.layers.as_slice() else {
        return Err(format!("it has {} files, not one", document.layers.len()));
    };
    if sif.media_type != SIF_LAYER {
        return Err(format!("its file is of the type {:?}", sif.media_type));
    }
    let annotated: Annotated = serde_json::from_slice(&found.bytes)
        .map_err(|error| format!("its annotations are malformed: {error}"))?;
    let signed = signer(annotated.annotations.get(SIGNED), sif, manifest, recipe, keys);
    let (signed_by, tree) = match signed {
        Ok((key, tree)) => (Ok(key), tree),
        Err(why) => (Err(why), None),
    };
    Ok(Published { artifact: found.digest, sif: sif.clone(), signed_by, tree })
}

/// Who of `keys` signed that this SIF was made from the manifest by the recipe, and what its hash tree is.
fn signer(
    text: Option<&String>,
    sif: &Descriptor,
    manifest: &Digest,
    recipe: &Recipe,
    keys: &[PublicKey],
) -> Result<(PublicKey, Option<TreeRoot>), String> {
    let text = text.ok_or("it is not signed")?;
    let signed: Signed =
        serde_json::from_str(text).map_err(|_| "what should be its signature is none")?;
    let said = signed.verify(keys).map_err(|error| error.to_string())?;
    if said.manifest != *manifest {
        return Err(format!("what is signed is the SIF of another image, {}", said.manifest));
    }
    if said.recipe != recipe.key() {
        return Err("what is signed was made by another recipe".into());
    }
    if Digest::from_bytes(*said.sif.bytes()) != sif.digest || said.size != sif.size {
        return Err("what is signed is another SIF than the one that is there".into());
    }
    Ok((signed.key(), said.tree))
}

#[cfg(test)]
mod tests;
