//! OCI layouts: written for other programs, and read for our conversion.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use moorline::oci::{Digest, Manifest, Sha256Digest};
use moorline::stage::convert::Source;

use crate::archive::Image;

fn blob(layout: &Path, digest: &Digest) -> PathBuf {
    layout.join("blobs/sha256").join(digest.hex())
}

/// Writes an image as the only one of a layout.
pub fn write(layout: &Path, tag: &str, image: &Image) {
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blob(layout, &digest), bytes).unwrap();
        digest
    };
    for bytes in &image.blobs {
        put(bytes);
    }
    put(&image.source.config_bytes);
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": put(&image.source.manifest_bytes),
            "size": image.source.manifest_bytes.len(),
            "annotations": { "org.opencontainers.image.ref.name": tag },
        }],
    });
    fs::write(layout.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

/// Reads the image of a tag.
pub fn read(layout: &Path, tag: &str) -> Image {
    let json = |bytes: &[u8]| -> serde_json::Value { serde_json::from_slice(bytes).unwrap() };
    let index = json(&fs::read(layout.join("index.json")).unwrap());
    let manifests = index["manifests"].as_array().unwrap();
    let found = manifests
        .iter()
        .find(|m| m["annotations"]["org.opencontainers.image.ref.name"] == tag)
        .unwrap();
    let manifest: Digest = found["digest"].as_str().unwrap().parse().unwrap();
    let manifest_bytes = fs::read(blob(layout, &manifest)).unwrap();
    let parsed: Manifest = serde_json::from_slice(&manifest_bytes).unwrap();
    let config_bytes = fs::read(blob(layout, &parsed.config.digest)).unwrap();
    let blobs = parsed.layers.iter().map(|l| fs::read(blob(layout, &l.digest)).unwrap()).collect();
    let source = Source {
        reference: manifest.to_string(),
        manifest,
        manifest_bytes,
        config: serde_json::from_slice(&config_bytes).unwrap(),
        config_bytes,
        layers: parsed.layers,
    };
    Image { source, blobs }
}

/// The layout with the Debian image, made if it is missing; or why it cannot be had.
pub fn debian() -> Result<PathBuf, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/env/debian-image.sh");
    let out = Command::new(script).arg("make").output().map_err(|e| e.to_string())?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        return Err(format!("no Debian image: {}", said.lines().last().unwrap_or_default()));
    }
    let said = String::from_utf8_lossy(&out.stdout);
    Ok(PathBuf::from(said.lines().last().unwrap_or_default()))
}
