//! An OCI image layout: a directory, or a tar of one.
//!
//! ```text
//! oci-layout           {"imageLayoutVersion":"1.0.0"}
//! index.json           an index; an entry's name is its annotation org.opencontainers.image.ref.name
//! blobs/sha256/HEX     manifests, configurations, layers
//! ```
//!
//! Source: OCI image specification 1.1, `image-layout.md`.

use serde::Deserialize;

use super::{Archive, ArchiveError, Files, Location, MAX_CONFIG, MAX_MANIFEST};
use crate::oci::{Descriptor, Document, Index, IndexEntry, Platform};

/// The name of an entry of `index.json`.
const NAME: &str = "org.opencontainers.image.ref.name";
/// Indexes inside each other at most; builders write one inside `index.json`.
const MAX_DEPTH: usize = 4;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

pub(super) fn open(
    files: Files,
    location: &Location,
    platform: &Platform,
) -> Result<Archive, ArchiveError> {
    let path = files.path();
    let malformed = |why: String| ArchiveError::malformed(&path, why);
    let marker: Marker = serde_json::from_slice(&files.read("oci-layout", MAX_MANIFEST)?)
        .map_err(|e| malformed(format!("oci-layout: {e}")))?;
    if !marker.image_layout_version.starts_with("1.") {
        let version = crate::tree::show(marker.image_layout_version.as_bytes());
        return Err(malformed(format!("its layout version is {version}, only 1 is read")));
    }
    let index: Index = serde_json::from_slice(&files.read("index.json", MAX_MANIFEST)?)
        .map_err(|e| malformed(format!("index.json: {e}")))?;
    let mut descriptor = select(&index, location, platform)?.clone();
    for _ in 0..MAX_DEPTH {
        let bytes = files.blob(&descriptor.digest, MAX_MANIFEST)?;
        if bytes.len() as u64 != descriptor.size {
            let (digest, size) = (descriptor.digest, descriptor.size);
            return Err(malformed(format!(
                "{digest} has not the {size} bytes that it should have"
            )));
        }
        let document = Document::parse(&bytes, Some(&descriptor.media_type))
            .map_err(|e| malformed(format!("{}: {e}", descriptor.digest)))?;
        match document {
            Document::Manifest(manifest) => {
                let config_bytes = files.blob(&manifest.config.digest, MAX_CONFIG)?;
                let config = serde_json::from_slice(&config_bytes)
                    .map_err(|e| malformed(format!("its configuration: {e}")))?;
                return Ok(Archive {
                    digest: descriptor.digest,
                    manifest_bytes: bytes,
                    manifest,
                    config_bytes,
                    config,
                    files,
                });
            }
            Document::Index(inner) => {
                descriptor = for_platform(&inner.manifests, location, platform)?.clone();
            }
        }
    }
    Err(malformed(format!("more than {MAX_DEPTH} indexes stand inside each other")))
}

/// The entry of `index.json` that was named, or the only one, or the one for the platform.
fn select<'a>(
    index: &'a Index,
    location: &Location,
    platform: &Platform,
) -> Result<&'a Descriptor, ArchiveError> {
    let name = |entry: &IndexEntry| entry.descriptor.annotations.get(NAME).cloned();
    let of_name: Vec<IndexEntry> = index
        .manifests
        .iter()
        .filter(|entry| location.tag.is_none() || name(entry) == location.tag)
        .cloned()
        .collect();
    let which = |why| {
        let shown = |entry| name(entry).map(|name| crate::tree::show(name.as_bytes()));
        let mut offered: Vec<String> = index.manifests.iter().filter_map(shown).collect();
        offered.dedup();
        if offered.is_empty() {
            offered.push("no named image".into());
        }
        ArchiveError::Which { location: location.to_string(), why, offered }
    };
    let digests: Vec<_> = of_name.iter().map(|entry| entry.descriptor.digest).collect();
    let chosen = match digests.as_slice() {
        [] if location.tag.is_some() => return Err(which("there is no image of this name")),
        [] => return Err(which("there is no image")),
        [one, rest @ ..] if rest.iter().all(|other| other == one) => *one,
        // one name, or none, for several platforms
        _ if of_name.iter().all(|e| e.platform.is_some() && name(e) == name(&of_name[0])) => {
            for_platform(&of_name, location, platform)?.digest
        }
        _ => return Err(which("there are several images")),
    };
    let found = index.manifests.iter().find(|entry| entry.descriptor.digest == chosen);
    found.map(|entry| &entry.descriptor).ok_or_else(|| which("there is no image"))
}

fn for_platform<'a>(
    entries: &'a [IndexEntry],
    location: &Location,
    platform: &Platform,
) -> Result<&'a Descriptor, ArchiveError> {
    let serves = |e: &&IndexEntry| e.platform.as_ref().is_some_and(|p| platform.accepts(p));
    let offered = || entries.iter().filter_map(|e| e.platform.as_ref()).map(ToString::to_string);
    entries.iter().find(serves).map(|entry| &entry.descriptor).ok_or_else(|| {
        ArchiveError::Platform {
            location: location.to_string(),
            platform: platform.clone(),
            offered: offered().collect(),
        }
    })
}
