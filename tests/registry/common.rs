//! What all registry tests share: a tiny image, a stand-in with a deploy token, a quick client.
// two test programs share this file, each uses a part of it
#![allow(dead_code)]

use std::sync::Arc;
use std::time::Duration;

use moorline::oci::{Digest, Platform, Reference, Registry, Repository, Sha256Digest, media_type};
use moorline::registry::{Client, Options, Patience};
use moorline::secret::{Candidate, Candidates, Credential, Realm, Secret};
use moorline::standin::{
    Config, DeployToken, Images, Project, Running, Scope, StandIn, Visibility,
};
use serde_json::json;

pub const USER: &str = "gitlab+deploy-token-7";
pub const SECRET: &str = "gldt-0a1b2c3d4e5f-Q?/+";
pub const PROJECT: &str = "group/project";

pub fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

pub fn project(path: &str, visibility: Visibility) -> Project {
    Project { path: path.into(), visibility }
}

pub fn token(username: &str, secret: &str, scopes: &[Scope], project: &str) -> DeployToken {
    DeployToken {
        username: username.into(),
        secret: Secret::new(secret.into()),
        scopes: scopes.to_vec(),
        project: Some(project.into()),
        group: None,
    }
}

/// A private project with a deploy token that reads it, a public one, and a foreign private one.
pub fn config() -> Config {
    Config {
        projects: vec![
            project(PROJECT, Visibility::Private),
            project("group/open", Visibility::Public),
            project("other/closed", Visibility::Private),
        ],
        deploy_tokens: vec![
            token(USER, SECRET, &[Scope::ReadRegistry], PROJECT),
            token("code-only", "gldt-code", &[Scope::ReadRepository], PROJECT),
        ],
        ..Config::default()
    }
}

pub async fn stand_in() -> Running {
    StandIn::start(config()).await.unwrap()
}

/// An image of one layer, put into a repository; `text` makes it different from others.
pub struct Made {
    pub manifest: Digest,
    pub manifest_bytes: Vec<u8>,
    pub config: Digest,
    pub layer: Digest,
    pub layer_bytes: Vec<u8>,
}

pub fn image(text: &str, platform: &str) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let platform: Platform = platform.parse().unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "file", text.as_bytes()).unwrap();
    let layer = tar.into_inner().unwrap();
    let config = serde_json::to_vec(&json!({
        "created": "2026-01-02T03:04:05Z",
        "os": platform.os,
        "architecture": platform.architecture,
        "config": { "Labels": { "org.opencontainers.image.revision": "0123abcd" } },
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer).to_string()] },
    }))
    .unwrap();
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": {
            "mediaType": media_type::OCI_CONFIG,
            "digest": Digest::of(&config).to_string(),
            "size": config.len(),
        },
        "layers": [{
            "mediaType": media_type::OCI_LAYER,
            "digest": Digest::of(&layer).to_string(),
            "size": layer.len(),
        }],
    }))
    .unwrap();
    (manifest, config, layer)
}

pub fn put(images: &Images, repository: &str, text: &str, platform: &str) -> Made {
    let (manifest, config, layer) = image(text, platform);
    Made {
        manifest: images.put_manifest(repository, media_type::OCI_MANIFEST, manifest.clone()),
        manifest_bytes: manifest,
        config: images.put_blob(config),
        layer: images.put_blob(layer.clone()),
        layer_bytes: layer,
    }
}

/// An index over images.
pub fn index(entries: &[(&Digest, usize, &str)]) -> Vec<u8> {
    let manifests: Vec<_> = entries
        .iter()
        .map(|(digest, size, platform)| {
            let platform: Platform = platform.parse().unwrap();
            json!({
                "mediaType": media_type::OCI_MANIFEST,
                "digest": digest.to_string(),
                "size": size,
                "platform": { "os": platform.os, "architecture": platform.architecture },
            })
        })
        .collect();
    serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_INDEX,
        "manifests": manifests,
    }))
    .unwrap()
}

pub fn candidate(username: &str, secret: &str, realms: &[&str]) -> Candidate {
    let credential = Credential { username: username.into(), password: Secret::new(secret.into()) };
    let realms = realms.iter().map(|realm| realm.parse::<Realm>().unwrap()).collect();
    Candidate { credential, source: format!("test source of {username}"), realms }
}

/// Offers the same candidates to every repository.
pub fn offering(offered: Vec<Candidate>) -> Options {
    Options {
        credentials: Arc::new(move |_, _| {
            Ok(Candidates { offered: offered.clone(), skipped: Vec::new() })
        }),
        patience: patience(),
        ..Options::default()
    }
}

/// Retries without waiting long.
pub fn patience() -> Patience {
    Patience {
        attempts: 3,
        first_pause: Duration::from_millis(1),
        pauses: Duration::from_secs(2),
        ..Patience::default()
    }
}

pub fn registry(address: impl std::fmt::Display) -> Registry {
    address.to_string().parse().unwrap()
}

pub fn repository(text: &str) -> Repository {
    text.parse().unwrap()
}

pub fn reference(address: impl std::fmt::Display, rest: &str) -> Reference {
    format!("{address}/{rest}").parse().unwrap()
}

/// A client that may send the given candidates to this stand-in.
pub fn client(running: &Running, offered: Vec<Candidate>) -> Client {
    let started_here = vec![registry(running.address())];
    Client::new(Options { started_here, ..offering(offered) }).unwrap()
}

/// The good deploy token.
pub fn good() -> Vec<Candidate> {
    vec![candidate(USER, SECRET, &[])]
}

/// An OCI image layout with a single image `single` and an index `multi` (amd64, arm64).
pub fn write_layout(folder: &std::path::Path) {
    use std::fs;
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let keep = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        digest
    };
    let mut entries = Vec::new();
    for platform in ["linux/amd64", "linux/arm64"] {
        let (manifest, config, layer) = image(&format!("file of {platform}"), platform);
        keep(&config);
        keep(&layer);
        entries.push((keep(&manifest), manifest.len(), platform));
    }
    let borrowed: Vec<_> = entries.iter().map(|(d, size, p)| (d, *size, *p)).collect();
    let multi = index(&borrowed);
    let named = |media_type: &str, digest: &Digest, size: usize, name: &str| {
        json!({
            "mediaType": media_type,
            "digest": digest.to_string(),
            "size": size,
            "annotations": { "org.opencontainers.image.ref.name": name },
        })
    };
    let top = json!({
        "schemaVersion": 2,
        "manifests": [
            named(media_type::OCI_MANIFEST, &entries[0].0, entries[0].1, "single"),
            named(media_type::OCI_INDEX, &keep(&multi), multi.len(), "multi"),
        ],
    });
    fs::write(folder.join("index.json"), serde_json::to_vec(&top).unwrap()).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}
