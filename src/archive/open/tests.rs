//! One image as layout, archive and docker archive; and what is refused.

mod neighbours;

use std::fs;
use std::io::Read;
use std::path::Path;

use super::*;
use crate::failure::{Failure, Kind};
use crate::oci::{DiffId, Digest, Sha256Digest, media_type};

const LAYER: &[u8] = &[0; 1024];

fn platform() -> Platform {
    "linux/amd64".parse().unwrap()
}

fn config(platform: &str) -> Vec<u8> {
    let architecture = platform.strip_prefix("linux/").unwrap();
    let diff_id = DiffId::of(LAYER);
    format!(
        r#"{{"os":"linux","architecture":"{architecture}","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#
    )
    .into_bytes()
}

fn descriptor(media_type: &str, bytes: &[u8]) -> String {
    let (digest, size) = (Digest::of(bytes), bytes.len());
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

fn manifest(config: &[u8]) -> Vec<u8> {
    let (config, layer) =
        (descriptor(media_type::OCI_CONFIG, config), descriptor(media_type::OCI_LAYER, LAYER));
    let own = media_type::OCI_MANIFEST;
    format!(r#"{{"schemaVersion":2,"mediaType":"{own}","config":{config},"layers":[{layer}]}}"#)
        .into_bytes()
}

/// The files of a layout with these images: tag, platform.
fn layout(images: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())];
    let mut entries = Vec::new();
    for (tag, platform) in images {
        let config = config(platform);
        let manifest = manifest(&config);
        let entry = descriptor(media_type::OCI_MANIFEST, &manifest);
        let name = format!(r#""annotations":{{"org.opencontainers.image.ref.name":"{tag}"}}"#);
        entries.push(entry.replacen('{', &format!("{{{name},"), 1));
        for blob in [config, manifest, LAYER.to_vec()] {
            let name = blob_name(&Digest::of(&blob));
            files.retain(|(old, _)| *old != name);
            files.push((name, blob));
        }
    }
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
    files.push(("index.json".into(), index.into_bytes()));
    files
}

fn write(root: &Path, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), bytes).unwrap();
    }
}

fn tar(path: &Path, files: &[(String, Vec<u8>)]) {
    let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        if let Some(target) = bytes.strip_prefix(b"-> ") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            let target = std::str::from_utf8(target).unwrap();
            tar.append_link(&mut header, name, target).unwrap();
        } else {
            tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
        }
    }
    tar.finish().unwrap();
}

fn docker(layer: &str) -> Vec<(String, Vec<u8>)> {
    let list =
        format!(r#"[{{"Config":"c.json","RepoTags":["group/analysis:v1"],"Layers":["{layer}"]}}]"#);
    vec![
        ("real/layer.tar".into(), LAYER.to_vec()),
        ("link/layer.tar".into(), b"-> ../real/layer.tar".to_vec()),
        ("out/layer.tar".into(), b"-> ../../etc/passwd".to_vec()),
        ("round/layer.tar".into(), b"-> layer.tar".to_vec()),
        ("c.json".into(), config("linux/amd64")),
        ("manifest.json".into(), list.into_bytes()),
    ]
}

fn open(text: &str) -> Result<Archive, ArchiveError> {
    Archive::open(&Location::parse(text).unwrap(), &platform())
}

fn refused(text: &str, kind: Kind, words: &str) {
    let error = open(text).expect_err(text);
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{words}: {error}");
}

fn read(archive: &Archive) -> Vec<u8> {
    let mut bytes = Vec::new();
    let layer = &archive.manifest.layers[0];
    archive.layer(layer).unwrap().read().unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn locations() {
    let parsed = Location::parse("oci-archive:a/b.tar:v1").unwrap();
    assert_eq!((parsed.form, parsed.tag.as_deref()), (Form::OciArchive, Some("v1")));
    assert_eq!(parsed.to_string(), "oci-archive:a/b.tar:v1");
    let tagged = Location::parse("docker-archive:x.tar:group/analysis:v1").unwrap();
    assert_eq!(tagged.tag.as_deref(), Some("group/analysis:v1"));
    assert_eq!(Location::parse("oci:dir").unwrap().tag, None);
    for other in ["oci:", "oci-archive::v1", "docker://a/b", "group/project:v1"] {
        assert_eq!(Location::parse(other), None, "{other}");
    }
}

#[test]
fn one_image_has_one_digest_in_all_forms() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let files = layout(&[("v1", "linux/amd64")]);
    write(&dir.path().join("layout"), &files);
    tar(&dir.path().join("oci.tar"), &files);
    tar(&dir.path().join("docker.tar"), &docker("real/layer.tar"));
    tar(&dir.path().join("linked.tar"), &docker("link/layer.tar"));
    let expected = Digest::of(&manifest(&config("linux/amd64")));
    for text in [
        format!("oci:{}", path("layout")),
        format!("oci:{}:v1", path("layout")),
        format!("oci-archive:{}:v1", path("oci.tar")),
        format!("docker-archive:{}", path("docker.tar")),
        format!("docker-archive:{}:v1", path("docker.tar")),
        format!("docker-archive:{}:group/analysis:v1", path("linked.tar")),
    ] {
        let archive = open(&text).unwrap();
        assert_eq!(archive.digest, expected, "{text}");
        assert_eq!(read(&archive), LAYER, "{text}");
    }
}

#[test]
fn several_images_must_be_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &layout(&[("v1", "linux/amd64"), ("v2", "linux/arm64")]));
    let root = dir.path().display();
    assert!(open(&format!("oci:{root}:v1")).is_ok());
    refused(&format!("oci:{root}"), Kind::NotFound, "several images; it has: v1, v2");
    refused(&format!("oci:{root}:v3"), Kind::NotFound, "no image of this name; it has: v1, v2");
    refused(&format!("oci:{root}:v2"), Kind::NotFound, "no image for linux/amd64");
}

#[test]
fn what_is_wrong_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let shown = |name: &str| path(name).display().to_string();
    refused(&format!("oci:{}", shown("nothing")), Kind::NotFound, "No such file");
    let good = layout(&[("v1", "linux/amd64")]);
    for (at, (name, _)) in good.iter().enumerate() {
        let mut bad = good.clone();
        bad[at].1 = b"{}".to_vec();
        let root = path(&format!("bad-{at}"));
        write(&root, &bad);
        let result = open(&format!("oci:{}", root.display()));
        if *name == blob_name(&Digest::of(LAYER)) {
            // whoever stores a layer verifies it
            assert_eq!(read(&result.unwrap()), b"{}");
        } else {
            let expected =
                if name.starts_with("blobs") { Kind::Integrity } else { Kind::Conversion };
            assert_eq!(result.unwrap_err().kind(), expected, "{name}");
        }
        fs::remove_file(root.join(name)).unwrap();
        fs::create_dir(root.join(name)).unwrap();
        if !name.starts_with("blobs") {
            refused(&format!("oci:{}", root.display()), Kind::Usage, "not a regular file");
        }
    }
    let archive = |name: &str, files: &[(String, Vec<u8>)]| {
        tar(&path(name), files);
        format!("docker-archive:{}", shown(name))
    };
    for (layer, words) in [
        ("out/layer.tar", "leads out of the archive"),
        ("round/layer.tar", "through more than 8 links"),
        ("../../etc/passwd", "it has no ../../etc/passwd"),
        ("/etc/passwd", "it has no /etc/passwd"),
    ] {
        refused(&archive("hostile.tar", &docker(layer)), Kind::Conversion, words);
    }
    let mut twice = docker("real/layer.tar");
    twice.push(twice[0].clone());
    refused(&archive("twice.tar", &twice), Kind::Conversion, "is in it twice");
    refused(&archive("empty.tar", &[]), Kind::Conversion, "it has no manifest.json");
    fs::write(path("x.tar.gz"), [0x1F, 0x8B, 8, 0]).unwrap();
    let gz = format!("oci-archive:{}", shown("x.tar.gz"));
    refused(&gz, Kind::Conversion, "compressed as a whole");
    fs::write(path("text"), "no tar at all ".repeat(100)).unwrap();
    refused(&format!("oci-archive:{}", shown("text")), Kind::Conversion, "malformed");
}

/// What `tar --sparse` makes of a layer whose last half is zeros.
fn sparse_layer() -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_mode(0o644);
    header.set_path("real/layer.tar").unwrap();
    header.set_size(512);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.sparse[0].offset = *b"00000000000\0";
    gnu.sparse[0].numbytes = *b"00000001000\0";
    gnu.realsize = *b"00000002000\0";
    header.set_cksum();
    header
}

#[test]
fn a_sparse_layer_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse.tar");
    let whole = docker("real/layer.tar").split_off(1);
    tar(&path, &whole);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, [sparse_layer().as_bytes(), &LAYER[..512], &bytes].concat()).unwrap();
    let text = format!("docker-archive:{}", path.display());
    refused(&text, Kind::Conversion, "real/layer.tar is a sparse file; pack it without");
}
