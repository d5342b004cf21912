//! A docker archive: what `docker save`, `podman save` and `skopeo copy .. docker-archive:` write.
//!
//! ```text
//! manifest.json    [{"Config": NAME, "RepoTags": ["repository:tag"], "Layers": [NAME, ..]}]
//! NAME             the configuration, or a layer; a layer may be a symbolic link to another member
//! ```
//!
//! It has no manifest with digests, so the same image could not be told from another one. One is
//! made here, and it follows from configuration and layers alone, not from the archive's names,
//! order or times: an OCI manifest with exactly the members `schemaVersion`, `mediaType`, `config`
//! and `layers`, in this order and without spaces; `config` as an OCI configuration; each layer by
//! the digest of its bytes as `tar` or, when it starts as gzip does, `tar+gzip`.
//!
//! Source: docker image specification 1.2, "Combined Image JSON + Filesystem Changeset Format".

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;

use super::members::Members;
use super::{Archive, ArchiveError, Files, Location, MAX_CONFIG, MAX_MANIFEST, whole};
use crate::oci::{Descriptor, Digest, Hasher, ImageConfig, Manifest, Sha256Digest, media_type};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Listed {
    fn tags(&self) -> impl Iterator<Item = &String> {
        self.repo_tags.iter().flatten()
    }

    /// `repository:tag`, or the tag alone.
    fn is_called(&self, wanted: &str) -> bool {
        self.tags().any(|tag| tag == wanted || tag.rsplit(':').next() == Some(wanted))
    }
}

pub(super) fn open(members: Members, location: &Location) -> Result<Archive, ArchiveError> {
    let path = members.path().to_owned();
    let malformed = |why: String| ArchiveError::malformed(&path, why);
    let read = |name: &str, limit| whole(members.file(name)?, &path, name, limit);
    let listed: Vec<Listed> = serde_json::from_slice(&read("manifest.json", MAX_MANIFEST)?)
        .map_err(|e| malformed(format!("manifest.json: {e}")))?;
    let image = select(&listed, location)?;

    let config_bytes = read(&image.config, MAX_CONFIG)?;
    let config: ImageConfig = serde_json::from_slice(&config_bytes)
        .map_err(|e| malformed(format!("its configuration: {e}")))?;
    if image.layers.len() != config.rootfs.diff_ids.len() {
        return Err(malformed(format!(
            "manifest.json names {} layers, the configuration {}",
            image.layers.len(),
            config.rootfs.diff_ids.len()
        )));
    }
    let mut layers = Vec::new();
    let mut names = Vec::new();
    for name in &image.layers {
        let layer = describe(members.file(name)?)
            .map_err(|source| ArchiveError::Io { path: path.clone(), source })?;
        names.push((layer.digest, name.clone()));
        layers.push(layer);
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.into()),
        config: Descriptor {
            media_type: media_type::OCI_CONFIG.into(),
            digest: Digest::of(&config_bytes),
            size: config_bytes.len() as u64,
            annotations: BTreeMap::new(),
        },
        layers,
        annotations: BTreeMap::new(),
    };
    let manifest_bytes =
        serde_json::to_vec(&manifest).map_err(|e| malformed(format!("its manifest: {e}")))?;
    Ok(Archive {
        digest: Digest::of(&manifest_bytes),
        manifest_bytes,
        manifest,
        config_bytes,
        config,
        files: Files::Docker(members, names),
    })
}

fn select<'a>(listed: &'a [Listed], location: &Location) -> Result<&'a Listed, ArchiveError> {
    let named = |image: &&Listed| location.tag.as_ref().is_none_or(|tag| image.is_called(tag));
    let mut found = listed.iter().filter(named);
    let why = match (found.next(), found.next()) {
        (Some(image), None) => return Ok(image),
        (Some(_), Some(_)) => "there are several images",
        (None, _) if location.tag.is_some() => "there is no image of this name",
        (None, _) => "there is no image",
    };
    let mut offered: Vec<String> =
        listed.iter().flat_map(Listed::tags).map(|t| crate::tree::show(t.as_bytes())).collect();
    if offered.is_empty() {
        offered.push("no named image".into());
    }
    Err(ArchiveError::Which { location: location.to_string(), why, offered })
}

/// Hashes a layer and looks whether it is compressed.
fn describe(mut layer: impl Read) -> std::io::Result<Descriptor> {
    let (mut hasher, mut size, mut start) = (Hasher::default(), 0, [0; 2]);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = layer.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        for (at, byte) in buffer[..count].iter().take(2).enumerate() {
            // the reader may give a single byte at first
            if let Some(place) = usize::try_from(size).ok().and_then(|n| start.get_mut(n + at)) {
                *place = *byte;
            }
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
    // RFC 1952, 2.3.1
    let gzip = start == [0x1F, 0x8B];
    let media_type = if gzip { media_type::OCI_LAYER_GZIP } else { media_type::OCI_LAYER };
    Ok(Descriptor {
        media_type: media_type.into(),
        digest: hasher.finish(),
        size,
        annotations: BTreeMap::new(),
    })
}
