//! The test image as an OCI archive, for podman and docker.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use moorline::oci::{ConfigDigest, DiffId, Digest, Platform, Reference, Sha256Digest};
use moorline::pin::Pin;
use serde_json::json;

use crate::support::*;

/// The archive of the test image and its pin, made once.
pub(super) fn archive() -> &'static (PathBuf, Pin) {
    static ARCHIVE: OnceLock<(PathBuf, Pin)> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let mut layer = tar::Builder::new(Vec::new());
        layer.mode(tar::HeaderMode::Deterministic);
        layer.follow_symlinks(false);
        layer.append_dir_all(".", tree()).unwrap();
        let layer = layer.into_inner().unwrap();
        let config = json!({
            "architecture": Platform::host().go_architecture(), "os": "linux",
            "config": {
                "Env": ["PATH=/usr/bin:/bin:/opt/tools", "GREETING=it's \"so\" $x"],
                "Entrypoint": ["hello", "from"], "Cmd": ["cmd"],
            },
            "rootfs": { "type": "layers", "diff_ids": [DiffId::of(&layer).to_string()] },
        });
        let config = config.to_string().into_bytes();
        let blob = |kind: &str, bytes: &[u8]| {
            json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": Digest::of(bytes).to_string(), "size": bytes.len(),
            })
        };
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob("config.v1+json", &config), "layers": [blob("layer.v1.tar", &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        let index =
            json!({ "schemaVersion": 2, "manifests": [blob("manifest.v1+json", &manifest)] });
        let name = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
        let docker =
            json!([{ "Config": name(&config), "RepoTags": null, "Layers": [name(&layer)] }]);
        let mut whole = tar::Builder::new(Vec::new());
        for (name, bytes) in [
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".to_owned(), index.to_string().into_bytes()),
            ("manifest.json".to_owned(), docker.to_string().into_bytes()),
            (name(&manifest), manifest.clone()),
            (name(&config), config.clone()),
            (name(&layer), layer.clone()),
        ] {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            whole.append_data(&mut header, name, bytes.as_slice()).unwrap();
        }
        let path = world().dir.path().join("image.tar");
        fs::write(&path, whole.into_inner().unwrap()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        let asked: Reference = "registry.example/group/project:v1".parse().unwrap();
        let pin = Pin {
            registry: asked.registry.clone(),
            repository: asked.repository.clone(),
            index: None,
            manifest: Digest::of(&manifest),
            config: ConfigDigest::of(&config),
            platform: Platform::host(),
            asked,
            resolved_at: jiff::Timestamp::UNIX_EPOCH,
            origin: None,
        };
        (path, pin)
    })
}
