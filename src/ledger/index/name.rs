//! The names by which an image is found: its digests, and what was typed for it.
//!
//! ```text
//! Digest    sha256 of manifest, index, configuration, SIF, or what a worker measured
//! Repository   registry/repository
//! Tag          registry/repository:tag     as typed; no tag means latest
//! Pinned       registry/repository@sha256: of manifest or index
//! ```

use crate::oci::{Digest, Reference, Registry, Repository, Sha256Digest, Tag};

/// One name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImageName {
    /// A digest, of whatever.
    Digest([u8; 32]),
    /// All images of a repository that was named when they were asked for.
    Repository(Registry, Repository),
    /// Those that were asked for by this tag.
    Tag(Registry, Repository, String),
    /// Those with this manifest or index.
    Pinned(Registry, Repository, Digest),
}

impl ImageName {
    /// The name as bytes; different names have different ones.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            // no text begins with a zero
            Self::Digest(bytes) => [&[0], &bytes[..]].concat(),
            Self::Repository(registry, repository) => {
                format!("{registry}/{repository}").into_bytes()
            }
            Self::Tag(registry, repository, tag) => {
                format!("{registry}/{repository}:{tag}").into_bytes()
            }
            Self::Pinned(registry, repository, digest) => {
                format!("{registry}/{repository}@{digest}").into_bytes()
            }
        }
    }
}

/// The digest that a name is, in the form of [`ImageName::bytes`].
pub(super) fn digest_in(name: &[u8]) -> Option<[u8; 32]> {
    name.strip_prefix(&[0])?.try_into().ok()
}

/// An image with all its names, and a key of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ImageKey {
    /// The same for the same names.
    pub key: [u8; 16],
    /// [`ImageName::bytes`].
    pub names: Vec<Vec<u8>>,
    /// The SIF, when it is one.
    pub sif: Option<[u8; 32]>,
}

impl ImageKey {
    /// What a worker measured and nobody asked for.
    pub(super) fn measured(digest: [u8; 32]) -> Self {
        let name = ImageName::Digest(digest).bytes();
        Self { key: short_hash(&[b"measured", &name]), names: vec![name], sif: None }
    }
}

/// The names as a record spells them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Naming<'a> {
    pub manifest: Option<&'a str>,
    pub index: Option<&'a str>,
    pub config: Option<&'a str>,
    pub sif: Option<&'a str>,
    pub asked: Option<&'a str>,
}

impl Naming<'_> {
    /// The same for the same names.
    pub(super) fn key(&self) -> [u8; 16] {
        let Self { manifest, index, config, sif, asked } = *self;
        short_hash(&[manifest, index, config, sif, asked].map(|n| n.unwrap_or_default().as_bytes()))
    }

    /// All names; `None` when one of them does not read.
    pub(super) fn image(&self) -> Option<ImageKey> {
        let mut names = Vec::new();
        let sif = self.sif.and_then(|sif| Some(*sif.parse::<Digest>().ok()?.bytes()));
        for text in [self.manifest, self.index, self.config, self.sif].into_iter().flatten() {
            names.push(ImageName::Digest(*text.parse::<Digest>().ok()?.bytes()));
        }
        if let Some(asked) = self.asked {
            let asked: Reference = asked.parse().ok()?;
            let place = || (asked.registry.clone(), asked.repository.clone());
            let (registry, repository) = place();
            names.push(ImageName::Repository(registry, repository));
            if asked.tag.is_some() || asked.digest.is_none() {
                let (registry, repository) = place();
                let tag = asked.tag.as_ref().map_or("latest", Tag::as_str).to_owned();
                names.push(ImageName::Tag(registry, repository, tag));
            }
            for digest in [self.manifest, self.index].into_iter().flatten() {
                let (registry, repository) = place();
                names.push(ImageName::Pinned(registry, repository, digest.parse().ok()?));
            }
        }
        let mut names: Vec<Vec<u8>> = names.iter().map(ImageName::bytes).collect();
        names.sort_unstable();
        names.dedup();
        Some(ImageKey { key: self.key(), names, sif })
    }
}

fn short_hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut short = [0; 16];
    hasher.finalize_xof().fill(&mut short);
    short
}
