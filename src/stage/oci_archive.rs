//! An image as it is in its registry, in one file: for runtimes that take no SIF.
//!
//! ```text
//! oci-layout  index.json  manifest.json  blobs/sha256/{manifest, configuration, layers}
//! ```
//!
//! An OCI layout in a tar that is a docker archive too, as `docker save` of 25 and later writes it: podman and
//! newer docker read the layout and keep the manifest's digest, older docker reads `manifest.json`. The bytes
//! follow from the manifest alone. The layers stay compressed as they are: docker before 23 reads no zstd.
//!
//! Sources: OCI image specification 1.1, `image-layout.md`; docker image specification 1.2.

use std::io::{self, Read};
use std::path::PathBuf;

use serde_json::json;

use super::{StageError, Supply};
use crate::oci::{Digest, Sha256Digest, media_type};
use crate::pin::Pin;
use crate::registry::ImageDocuments;
use crate::store::{Incoming, Store};

/// Writes the archive of a pin into the store.
///
/// # Errors
/// When a layer cannot be had, or the disk is full; nothing stays then.
pub fn oci_archive(
    pin: &Pin,
    documents: &ImageDocuments,
    supply: &Supply,
    store: &Store,
) -> Result<PathBuf, StageError> {
    supply.want_all();
    let incoming = store.incoming()?;
    let path = incoming.path().to_owned();
    let written = write(documents, supply, incoming);
    let incoming =
        written.map_err(|source| supply.failure().unwrap_or(StageError::File { path, source }))?;
    supply.finish()?;
    Ok(store.publish_archive(incoming, &pin.manifest)?)
}

fn write(documents: &ImageDocuments, supply: &Supply, out: Incoming) -> io::Result<Incoming> {
    let manifest = &documents.manifest;
    let mut tar = tar::Builder::new(out);
    let text = |value: serde_json::Value| value.to_string().into_bytes();
    let digest = Digest::of(&documents.manifest_bytes);
    let index = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_INDEX,
        "manifests": [{
            "mediaType": manifest.media_type.as_deref().unwrap_or(media_type::OCI_MANIFEST),
            "digest": digest.to_string(),
            "size": documents.manifest_bytes.len(),
        }],
    });
    let layers: Vec<String> = manifest.layers.iter().map(|layer| name(&layer.digest)).collect();
    let docker = json!([{
        "Config": name(&manifest.config.digest), "RepoTags": null, "Layers": layers,
    }]);
    put(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    put(&mut tar, "index.json", &text(index))?;
    put(&mut tar, "manifest.json", &text(docker))?;
    put(&mut tar, &name(&digest), &documents.manifest_bytes)?;
    put(&mut tar, &name(&manifest.config.digest), &documents.config_bytes)?;
    let mut seen = Vec::new();
    for (at, layer) in manifest.layers.iter().enumerate() {
        // an empty layer may be there several times
        if seen.contains(&layer.digest) {
            continue;
        }
        seen.push(layer.digest);
        let mut header = header(layer.size);
        let mut blob = supply.open(at)?.take(layer.size);
        tar.append_data(&mut header, name(&layer.digest), &mut blob)?;
        if blob.limit() > 0 {
            let why = format!("the layer {} is shorter than its manifest says", layer.digest);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
    }
    tar.into_inner()
}

fn name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// No owner, no time: the same bytes wherever it is made.
fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(size);
    header.set_mtime(0);
    header
}

fn put(tar: &mut tar::Builder<Incoming>, name: &str, bytes: &[u8]) -> io::Result<()> {
    tar.append_data(&mut header(bytes.len() as u64), name, bytes)
}
