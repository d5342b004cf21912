//! What is fuzzed: one function for each format that foreign bytes come in.
//!
//! Errors are fine; panics, endless loops and memory without bound are bugs. Where something was
//! read, what the reader promises is asserted. `fuzz_targets/` calls these for cargo-fuzz, and
//! `tests/rules/fuzz_smoke.rs` for a short deterministic run with any toolchain. A new format is a function
//! here, a line in `ALL`, its seeds in `seeds.rs`, and a bin in `Cargo.toml`.
#![allow(dead_code, reason = "each of cargo-fuzz's programs calls one of them")]

use std::collections::HashSet;
use std::io::{Cursor, Read, Write};
use std::path::Path;

/// Takes any bytes; panics where a promise is broken.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const ALL: &[(&str, Target)] = &[
    ("tar_layer", tar_layer),
    ("manifest", manifest),
    ("config", config),
    ("sif", sif),
    ("squashfs", squashfs),
    ("archive", archive),
    ("reference", reference),
];

/// A layer's tar, into a tree. As headers carry a checksum that few changed bytes survive, it is
/// made right first when the input's length is even.
pub fn tar_layer(data: &[u8]) {
    use moorline::layer::{Limits, Merger, TarReader};
    let mut data = data.to_vec();
    if data.len().is_multiple_of(2) {
        for header in data.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    let limits = Limits {
        content_bytes: 1 << 22,
        entries: 10_000,
        header_bytes: 1 << 16,
        ..Limits::default()
    };
    let mut merger = Merger::new(limits, 0);
    // the same layer twice: then there is something to replace and to white out
    for layer in 0..2 {
        if merger.layer(layer, &mut TarReader::new(&data[..], limits), 4096).is_err() {
            return;
        }
    }
    let (tree, contents, _, _) = merger.finish();
    let numbering = tree.number();
    assert!(numbering.len() as usize <= tree.made());
    for (directory, _) in numbering.directories() {
        for (name, entry) in tree.names(*directory).expect("it is a directory").iter() {
            assert!(!name.is_empty() && name.len() <= 255 && !name.contains(&b'/'));
            assert!(&**name != b"." && &**name != b"..");
            assert!(numbering.links(entry.inode) > 0);
            if let moorline::tree::Kind::File(content) = &tree.get(entry.inode).kind {
                assert!(contents.get(*content).size <= limits.content_bytes);
            }
        }
    }
}

/// A manifest or an index.
pub fn manifest(data: &[u8]) {
    use moorline::oci::Document;
    for media_type in [
        None,
        Some("application/vnd.oci.image.manifest.v1+json"),
        Some("application/vnd.oci.image.index.v1+json"),
        Some("application/vnd.docker.distribution.manifest.v2+json"),
    ] {
        match Document::parse(data, media_type) {
            Ok(Document::Manifest(manifest)) => {
                let text = serde_json::to_vec(&manifest).expect("what was read can be written");
                let again = Document::parse(&text, None);
                assert!(matches!(again, Ok(Document::Manifest(same)) if same == manifest));
            }
            Ok(Document::Index(index)) => {
                let _ = index.platforms();
                let _ = index.serving(&moorline::oci::Platform::host());
                let _ = index.why_not(&moorline::oci::Platform::host());
            }
            Err(error) => drop(error.to_string()),
        }
    }
}

/// An image's configuration, and the files of a project that anybody may have cloned.
pub fn config(data: &[u8]) {
    use moorline::config::{Config, JobFile, Level};
    if let Ok(config) = serde_json::from_slice::<moorline::oci::ImageConfig>(data) {
        let _ = config.container();
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file = Path::new("moorline.toml");
    for level in [Level::Project, Level::User] {
        match Config::parse(text, level, file) {
            Ok(config) => drop(config.entries()),
            Err(error) => drop(error.to_string()),
        }
    }
    let _ = JobFile::parse(text, file).map_err(|error| error.to_string());
    let _ = moorline::lock::Lock::parse(text, file).map_err(|error| error.to_string());
}

/// A SIF's header, descriptors and objects.
pub fn sif(data: &[u8]) {
    use moorline::sif::SifReader;
    let Ok(mut sif) = SifReader::open(Cursor::new(data)) else { return };
    let mut ids = HashSet::new();
    for descriptor in sif.descriptors().to_vec() {
        assert!(ids.insert(descriptor.id));
        assert!(descriptor.offset + descriptor.size <= data.len() as u64);
        if let Ok(object) = sif.read(&descriptor) {
            let at = usize::try_from(descriptor.offset).expect("it lies in memory");
            assert_eq!(object, &data[at..at + object.len()]);
        }
    }
    if let Ok(partition) = sif.partition() {
        assert!(partition.offset + partition.size <= data.len() as u64);
    }
    let _ = sif.object("moorline.json").map_err(|error| error.to_string());
}

/// A file system: all names, attributes and bytes.
pub fn squashfs(data: &[u8]) {
    use moorline::squashfs::read::{Decoder, Image, Kind, Limits};
    let limits = Limits { content_bytes: 1 << 22, entries: 10_000, ..Limits::default() };
    let Ok(image) = Image::open(data, 0, data.len() as u64, limits) else { return };
    let Ok(mut decoder) = Decoder::new(&image) else { return };
    let mut paths = HashSet::new();
    for (number, entry) in image.walk().enumerate() {
        let Ok(entry) = entry else { return };
        assert_eq!(entry.name, number as u64);
        assert!(entry.first <= entry.name && entry.inode.mode <= 0o7777);
        let bad =
            |part: &[u8]| part.is_empty() || part == b"." || part == b".." || part.contains(&0);
        assert!(entry.path.is_empty() || !entry.path.split(|b| *b == b'/').any(bad));
        if let Some(end) = entry.path.iter().rposition(|b| *b == b'/') {
            assert!(paths.contains(&entry.path[..end]), "a directory comes before what is in it");
        }
        let _ = image.xattrs(&entry.inode);
        if let Kind::File(file) = &entry.inode.kind
            && entry.first == entry.name
        {
            let mut content = image.content(file, &mut decoder).take(file.size + 1);
            if let Ok(read) = std::io::copy(&mut content, &mut std::io::sink()) {
                assert_eq!(read, file.size);
            }
        }
        assert!(paths.insert(entry.path), "a path comes twice");
    }
}

/// A docker archive's or an OCI archive's members.
pub fn archive(data: &[u8]) {
    use moorline::archive::{Archive, Form, Location};
    use moorline::oci::{Digest, Platform, Sha256Digest};
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(data).expect("a temporary file");
    for form in [Form::DockerArchive, Form::OciArchive] {
        let location = Location { form, path: file.path().to_owned(), tag: None };
        let platform: Platform = "linux/amd64".parse().expect("it is one");
        match Archive::open(&location, &platform) {
            Err(error) => drop(error.to_string()),
            Ok(archive) => {
                assert_eq!(Digest::of(&archive.manifest_bytes), archive.digest);
                for layer in &archive.manifest.layers {
                    let Ok(piece) = archive.layer(layer) else { continue };
                    let Ok(mut bytes) = piece.read() else { continue };
                    let _ = std::io::copy(&mut bytes, &mut std::io::sink());
                }
            }
        }
    }
}

/// What a user types: references, digests, platforms, locations.
pub fn reference(data: &[u8]) {
    use moorline::oci::{Digest, Platform, Reference};
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Reference::parse(text, "registry.example") {
        Ok(reference) => {
            let again = Reference::parse(&reference.to_string(), "other.example");
            assert_eq!(again.as_ref(), Ok(&reference), "{text:?}");
        }
        Err(error) => drop(error.to_string()),
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(platform.to_string().parse().ok(), Some(platform));
    }
    let _ = moorline::archive::Location::parse(text).map(|location| location.to_string());
    let _ = text.parse::<moorline::config::ServerUrl>().map_err(|error| error.to_string());
}
