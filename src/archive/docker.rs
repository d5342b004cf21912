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
//! the digest of its bytes as `tar` or, as they begin, `tar+gzip`, `tar+zstd`, `tar+xz`, `tar+bzip2`:
//! what `docker load` reads.
//!
//! An image is named by `RepoTags`, by the digest of its configuration (docker's image id) or of the
//! manifest that is made here, or by its place.
//!
//! Source: docker image specification 1.2, "Combined Image JSON + Filesystem Changeset Format".

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;

use super::choice::{self, Choice};
use super::members::Members;
use super::{Archive, ArchiveError, Files, Location, MAX_CONFIG, MAX_MANIFEST, whole};
use crate::layer::Compression;
use crate::oci::{Descriptor, Digest, Fit, ImageConfig, Manifest, Platform, Sha256Digest};
use crate::oci::{media_type, walk};

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    /// Go writes the list of an image without layers as `null`.
    #[serde(default)]
    layers: Option<Vec<String>>,
}

impl Listed {
    fn tags(&self) -> impl Iterator<Item = &str> {
        self.repo_tags.iter().flatten().map(String::as_str)
    }

    fn layers(&self) -> &[String] {
        self.layers.as_deref().unwrap_or_default()
    }

    fn is_same(&self, other: &Self) -> bool {
        self.config == other.config && self.layers() == other.layers()
    }
}

/// An image that may be meant: its place, what is listed, its configuration.
struct Image<'a> {
    at: usize,
    listed: &'a Listed,
    config_bytes: Vec<u8>,
    config: ImageConfig,
}

impl Image<'_> {
    fn id(&self) -> Digest {
        Digest::of(&self.config_bytes)
    }
}

pub(super) fn open(
    members: Members,
    location: &Location,
    platform: &Platform,
) -> Result<Archive, ArchiveError> {
    let path = members.path().to_owned();
    let bytes = whole(members.file("manifest.json")?, &path, "manifest.json", MAX_MANIFEST)?;
    let listed: Vec<Listed> = serde_json::from_slice(&bytes)
        .map_err(|e| ArchiveError::malformed(&path, format!("manifest.json: {e}")))?;
    let image = select(&members, &listed, location, platform)?;
    let (manifest, names) = manifest(&members, &image)?;
    let manifest_bytes = serde_json::to_vec(&manifest)
        .map_err(|e| ArchiveError::malformed(&path, format!("its manifest: {e}")))?;
    Ok(Archive {
        digest: Digest::of(&manifest_bytes),
        manifest_bytes,
        manifest,
        platform: image.config.platform.or(platform),
        config_bytes: image.config_bytes,
        config: image.config,
        files: Files::Docker(members, names),
    })
}

/// The manifest of an image, and the members that hold its layers.
fn manifest(
    members: &Members,
    image: &Image<'_>,
) -> Result<(Manifest, Vec<(Digest, String)>), ArchiveError> {
    let path = members.path();
    let (layers, diff_ids) = (image.listed.layers(), &image.config.rootfs.diff_ids);
    if layers.len() != diff_ids.len() {
        let why = format!(
            "manifest.json names {} layers, the configuration {}",
            layers.len(),
            diff_ids.len()
        );
        return Err(ArchiveError::malformed(path, why));
    }
    let (mut descriptors, mut names) = (Vec::new(), Vec::new());
    for name in layers {
        let layer = describe(members.file(name)?)
            .map_err(|source| ArchiveError::Io { path: path.to_owned(), source })?;
        names.push((layer.digest, name.clone()));
        descriptors.push(layer);
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.into()),
        config: Descriptor {
            media_type: media_type::OCI_CONFIG.into(),
            digest: image.id(),
            size: image.config_bytes.len() as u64,
            annotations: BTreeMap::new(),
        },
        layers: descriptors,
        annotations: BTreeMap::new(),
    };
    Ok((manifest, names))
}

/// The image that was named, or the only one, or the one for the platform.
fn select<'a>(
    members: &Members,
    listed: &'a [Listed],
    location: &Location,
    platform: &Platform,
) -> Result<Image<'a>, ArchiveError> {
    let choice = Choice::of(location);
    let all: Vec<(usize, &Listed)> = listed.iter().enumerate().collect();
    let of = |means: &dyn Fn(&Listed) -> bool| -> Vec<(usize, &'a Listed)> {
        all.iter().filter(|(_, image)| means(image)).copied().collect()
    };
    let mut named = match &choice {
        // a digest is looked for in their configurations
        Choice::Any | Choice::Digest(_) => all.clone(),
        Choice::At(at) => all.iter().filter(|(n, _)| n == at).copied().collect(),
        Choice::Name(wanted) => {
            let whole = of(&|image| image.tags().any(|tag| wanted.is_whole(tag)));
            if whole.is_empty() {
                of(&|image| image.tags().any(|tag| wanted.is_tag_of(tag)))
            } else {
                whole
            }
        }
    };
    let mut seen: Vec<&Listed> = Vec::new();
    // one image may have several names
    named.retain(|(_, image)| {
        let new = !seen.iter().any(|other| other.is_same(image));
        seen.push(image);
        new
    });
    let surely = named.len() == 1;
    let (mut images, mut odd) = (Vec::new(), Vec::new());
    for (at, listed) in named {
        match read(members, at, listed) {
            Ok(image) => images.push(image),
            Err(error) if surely => return Err(error),
            // a neighbour, as long as another one is meant
            Err(error) => odd.push((at, listed, error)),
        }
    }
    if let Choice::Digest(wanted) = &choice {
        let whole = |image: &Image<'_>| {
            let made = manifest(members, image).ok();
            let bytes = made.and_then(|(manifest, _)| serde_json::to_vec(&manifest).ok());
            bytes.is_some_and(|bytes| wanted.is(&Digest::of(&bytes)))
        };
        let by_id = images.iter().any(|image| wanted.is(&image.id()));
        images.retain(|image| if by_id { wanted.is(&image.id()) } else { whole(image) });
        odd.clear();
    } else if let Some((_, _, error)) = odd.pop() {
        return Err(error);
    }
    let which = |why: &str, images: &[Image<'_>]| {
        let offered = offered(members, listed, images);
        ArchiveError::Which { location: location.to_string(), why: why.into(), offered }
    };
    if images.is_empty() {
        let called = location.tag.is_some();
        let why = if called { "there is no image of this name" } else { "there is no image" };
        return Err(which(why, &[]));
    }
    let tags = |image: &Image<'_>| image.listed.tags().map(str::to_owned).collect::<Vec<_>>();
    let differ = |image: &Image<'_>| tags(image) != tags(&images[0]);
    if location.tag.is_none() && images.iter().any(differ) {
        return Err(which("there are several images", &images));
    }
    let offered: Vec<Platform> = images.iter().map(|image| image.config.platform.clone()).collect();
    let best = offered.iter().map(|of| platform.fit(of)).min().filter(|fit| *fit < Fit::No);
    images.retain(|image| Some(platform.fit(&image.config.platform)) == best);
    if images.len() > 1 {
        return Err(which("there are several images", &images));
    }
    images.pop().ok_or_else(|| ArchiveError::Platform {
        location: location.to_string(),
        platform: platform.clone(),
        instead: walk::instead(&offered, &[]),
    })
}

fn read<'a>(members: &Members, at: usize, listed: &'a Listed) -> Result<Image<'a>, ArchiveError> {
    let path = members.path();
    let config_bytes = whole(members.file(&listed.config)?, path, &listed.config, MAX_CONFIG)?;
    let config = serde_json::from_slice(&config_bytes)
        .map_err(|e| ArchiveError::malformed(path, format!("its configuration: {e}")))?;
    Ok(Image { at, listed, config_bytes, config })
}

/// How each of some images can be named, or of all: by a tag that no other has.
fn offered(members: &Members, listed: &[Listed], of: &[Image<'_>]) -> Vec<String> {
    let all: Vec<Image<'_>>;
    let of = if of.is_empty() {
        let every = listed.iter().enumerate();
        all = every.filter_map(|(at, image)| read(members, at, image).ok()).collect();
        &all
    } else {
        of
    };
    let mut offered: Vec<String> = Vec::new();
    for image in of {
        let own = |tag: &&str| {
            listed
                .iter()
                .all(|other| other.is_same(image.listed) || other.tags().all(|t| t != *tag))
        };
        let tags: Vec<&str> = image.listed.tags().collect();
        let shown = match tags.iter().copied().find(own) {
            Some(tag) => crate::tree::show(tag.as_bytes()),
            None => choice::unnamed(image.at, &image.id(), &tags),
        };
        if !offered.contains(&shown) {
            offered.push(shown);
        }
    }
    offered
}

/// Hashes a layer and looks how it is compressed.
fn describe(mut layer: impl Read) -> std::io::Result<Descriptor> {
    let start = Compression::start(&mut layer)?;
    let sum = crate::files::sha256(&mut start[..].chain(layer))?;
    Ok(Descriptor {
        media_type: Compression::of(&start).media_type().into(),
        digest: Digest::from_bytes(sum.sha256),
        size: sum.length,
        annotations: BTreeMap::new(),
    })
}
