//! An OCI image layout: a directory, or a tar of one.
//!
//! ```text
//! oci-layout           {"imageLayoutVersion":"1.0.0"}
//! index.json           an index; its annotations give the names of entries
//! blobs/sha256/HEX     indexes, manifests, configurations, layers
//! ```
//!
//! An entry is named by `org.opencontainers.image.ref.name`, by `io.containerd.image.name` (docker and
//! nerdctl write it), by its digest or by its place (`@1`, from 0). Indexes are walked as a registry's
//! are (`oci/walk.rs`).
//!
//! Source: OCI image specification 1.1, `image-layout.md`; containerd `images/annotations.go`;
//! containers/image `oci/layout` for `@N`.

use std::io;

use futures_util::FutureExt;
use serde::Deserialize;

use super::choice::Choice;
use super::{Archive, ArchiveError, Files, Location, MAX_CONFIG, MAX_MANIFEST};
use crate::oci::walk::{self, Chosen, Documents, Held, WalkError};
use crate::oci::{Descriptor, Document, ImageConfig, Index, IndexEntry, Platform};
use crate::tree::show;

/// The name of an entry of `index.json`.
const NAME: &str = "org.opencontainers.image.ref.name";
/// The same where containerd wrote it: with registry and repository.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Indexes that are read for a digest that `index.json` itself does not have.
const MAX_INDEXES: usize = 64;

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
        let version = show(marker.image_layout_version.as_bytes());
        return Err(malformed(format!("its layout version is {version}, only 1 is read")));
    }
    let index: Index = serde_json::from_slice(&files.read("index.json", MAX_MANIFEST)?)
        .map_err(|e| malformed(format!("index.json: {e}")))?;
    let chosen = select(&files, &index, location, platform)?;
    let Chosen { digest, manifest_bytes, manifest, config_bytes, config, platform, .. } = chosen;
    Ok(Archive { digest, manifest_bytes, manifest, config_bytes, config, platform, files })
}

/// The documents of a layout.
struct Blobs<'a>(&'a Files);

impl Documents for Blobs<'_> {
    type Error = ArchiveError;

    async fn document(&mut self, of: &Descriptor) -> Result<(Vec<u8>, Document), ArchiveError> {
        let bytes = self.0.blob(&of.digest, MAX_MANIFEST)?;
        let document = Document::parse(&bytes, Some(&of.media_type))
            .map_err(|e| ArchiveError::malformed(&self.0.path(), format!("{}: {e}", of.digest)))?;
        Ok((bytes, document))
    }

    async fn config(&mut self, of: &Descriptor) -> Result<(Vec<u8>, ImageConfig), ArchiveError> {
        let bytes = self.0.blob(&of.digest, MAX_CONFIG)?;
        let config = serde_json::from_slice(&bytes).map_err(|e| {
            ArchiveError::malformed(&self.0.path(), format!("its configuration: {e}"))
        })?;
        Ok((bytes, config))
    }

    fn is_its_own(error: &ArchiveError) -> bool {
        match error {
            ArchiveError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => true,
        }
    }
}

/// The image that was named, or the only one, or the one for the platform.
fn select(
    files: &Files,
    index: &Index,
    location: &Location,
    platform: &Platform,
) -> Result<Chosen, ArchiveError> {
    let choice = Choice::of(location);
    let inner;
    let mut named = of_choice(index, &choice);
    if let Choice::Digest(digest) = &choice
        && named.is_empty()
    {
        inner = inside(files, index, digest)?;
        named = inner.iter().collect();
    }
    let mut seen = Vec::new();
    // one image may have several names
    named.retain(|entry| {
        let new = !seen.contains(&entry.descriptor.digest);
        seen.push(entry.descriptor.digest);
        new
    });
    let which = |why: &str, of: &[&IndexEntry]| {
        let mut why = why.to_owned();
        if let Some(odd) = index.odd.first().filter(|_| of.is_empty()) {
            let said = show(odd.why.as_bytes());
            why = format!("{why} (entry {} of index.json cannot be read: {said})", odd.position);
        }
        let (location, offered) = (location.to_string(), offered(index, of));
        ArchiveError::Which { location, why, offered }
    };
    let path = files.path();
    let failed = |error| walked(error, location, platform, &path);
    if named.is_empty() {
        let called = location.tag.is_some();
        let why = if called { "there is no image of this name" } else { "there is no image" };
        return Err(which(why, &[]));
    }

    let (mut images, mut offered, mut passed) = (Vec::new(), Vec::new(), Vec::new());
    // what was named is taken at its word; who names nothing means no artifact beside the images
    let surely = named.len() == 1 || location.tag.is_some();
    for entry in &named {
        let mut blobs = Blobs(files);
        // files are read at once: nothing is ever waited for
        let held = match walk::look(&mut blobs, entry, platform, surely).now_or_never() {
            Some(Err(WalkError::NotAnImage(why))) if named.len() > 1 => {
                passed.push(format!("{} is not a container image: {why}", entry.descriptor.digest));
                continue;
            }
            Some(held) => held.map_err(failed)?,
            None => return Err(failed(WalkError::Contradiction("it cannot be read".into()))),
        };
        let Held { found, offered: more, passed: why } = held;
        if found.is_some() || !more.is_empty() {
            images.push((*entry, found));
        }
        offered.extend(more);
        passed.extend(why);
    }
    let of = |images: &[(&IndexEntry, Option<Chosen>)]| -> Vec<String> {
        let entries: Vec<&IndexEntry> = images.iter().map(|(entry, _)| *entry).collect();
        self::offered(index, &entries)
    };
    let several = |images: &[(&IndexEntry, Option<Chosen>)]| ArchiveError::Which {
        location: location.to_string(),
        why: "there are several images".into(),
        offered: of(images),
    };
    let differ = |(entry, _): &(&IndexEntry, _)| names(entry) != names(images[0].0);
    if location.tag.is_none() && images.iter().any(differ) {
        return Err(several(&images));
    }
    images.retain(|(_, found)| found.is_some());
    let best = images.iter().filter_map(|(_, found)| Some(found.as_ref()?.fit)).min();
    images.retain(|(_, found)| found.as_ref().map(|found| found.fit) == best);
    let digest = |at: usize| images[at].1.as_ref().map(|found| found.digest);
    if (1..images.len()).any(|at| digest(at) != digest(0)) {
        return Err(several(&images));
    }
    let found = images.into_iter().next().and_then(|(_, found)| found);
    found.ok_or_else(|| failed(WalkError::Platform { offered, passed }))
}

/// What an entry is called.
fn names(entry: &IndexEntry) -> Vec<&str> {
    let annotations = &entry.descriptor.annotations;
    let names = [NAME, CONTAINERD_NAME].iter().filter_map(|name| annotations.get(*name));
    names.map(String::as_str).filter(|name| !name.is_empty()).collect()
}

/// The entries that a choice means. A name that is written out wins over one that is abridged.
fn of_choice<'a>(index: &'a Index, choice: &Choice) -> Vec<&'a IndexEntry> {
    let of = |means: &dyn Fn(&IndexEntry) -> bool| -> Vec<&IndexEntry> {
        index.manifests.iter().filter(|entry| means(entry)).collect()
    };
    match choice {
        Choice::Any => of(&|_| true),
        Choice::At(at) => of(&|entry| entry.position == *at),
        Choice::Digest(digest) => of(&|entry| digest.is(&entry.descriptor.digest)),
        Choice::Name(wanted) => {
            let annotated = |entry: &IndexEntry| {
                entry.descriptor.annotations.get(NAME).is_some_and(|name| name == wanted)
            };
            let called = |entry: &IndexEntry| names(entry).iter().any(|n| wanted.is_whole(n));
            let tagged = |entry: &IndexEntry| names(entry).iter().any(|n| wanted.is_tag_of(n));
            let tiers: [&dyn Fn(&IndexEntry) -> bool; 3] = [&annotated, &called, &tagged];
            tiers.into_iter().map(of).find(|found| !found.is_empty()).unwrap_or_default()
        }
    }
}

/// How each of some entries can be named, or of all: by its name where no other image has it.
fn offered(index: &Index, of: &[&IndexEntry]) -> Vec<String> {
    let all: Vec<&IndexEntry> = index.manifests.iter().collect();
    let mut offered: Vec<String> = Vec::new();
    for entry in if of.is_empty() { &all[..] } else { of } {
        let digest = entry.descriptor.digest;
        let own = |name: &&str| {
            all.iter().all(|e| e.descriptor.digest == digest || !names(e).contains(name))
        };
        let shown = match names(entry).into_iter().find(own) {
            Some(name) => show(name.as_bytes()),
            None => super::choice::unnamed(entry.position, &digest, &names(entry)),
        };
        if !offered.contains(&shown) {
            offered.push(shown);
        }
    }
    offered
}

/// The entries of a digest in the indexes below `index.json`.
fn inside(
    files: &Files,
    index: &Index,
    wanted: &super::choice::DigestStart,
) -> Result<Vec<IndexEntry>, ArchiveError> {
    let (mut found, mut todo, mut read) = (Vec::new(), index.manifests.clone(), Vec::new());
    while let Some(entry) = todo.pop() {
        let of = &entry.descriptor;
        if !crate::oci::media_type::is_index(&of.media_type) || read.contains(&of.digest) {
            continue;
        }
        read.push(of.digest);
        if read.len() > MAX_INDEXES {
            let why = format!("more than {MAX_INDEXES} indexes stand in it");
            return Err(ArchiveError::malformed(&files.path(), why));
        }
        // what cannot be read has nothing of this digest
        let document = Blobs(files).document(of).now_or_never();
        if let Some(Ok((_, Document::Index(inner)))) = document {
            found.extend(
                inner.manifests.iter().filter(|e| wanted.is(&e.descriptor.digest)).cloned(),
            );
            todo.extend(inner.manifests);
        }
    }
    Ok(found)
}

/// What a walk's end means here.
fn walked(
    error: WalkError<ArchiveError>,
    location: &Location,
    platform: &Platform,
    path: &std::path::Path,
) -> ArchiveError {
    match error {
        WalkError::Read(error) => error,
        WalkError::Platform { offered, passed } => ArchiveError::Platform {
            location: location.to_string(),
            platform: platform.clone(),
            instead: walk::instead(&offered, &passed),
        },
        WalkError::NotAnImage(why) => {
            ArchiveError::NotAnImage { location: location.to_string(), why }
        }
        WalkError::Contradiction(why) => ArchiveError::malformed(path, why),
    }
}
