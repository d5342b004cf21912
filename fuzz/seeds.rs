//! What the targets start from: small good inputs, made by our own writers.

#[allow(dead_code, reason = "the seeds use a part of it")]
#[path = "../tests/images/squashfs_reader/made.rs"]
mod made;

use std::io::{Cursor, Write};

use made::Made;
use moorline::pin::Codec;
use moorline::sif::{Arch, DataType, Identity, SifWriter};
use tar::EntryType as Type;

/// The seeds of a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "tar_layer" => vec![tar(tar::Header::new_gnu()), tar(tar::Header::new_ustar()), pax()],
        "manifest" => texts(MANIFESTS),
        "config" => {
            let mut all = texts(CONFIGS);
            // no parser may need a stack as deep as its input
            all.push(b"[".repeat(5000));
            all.push([&b"a = "[..], &b"[".repeat(5000)].concat());
            all.push([&b"a"[..], &b".a".repeat(5000), b" = 1"].concat());
            all.push(b"{\"a\":".repeat(5000));
            all
        }
        "sif" => vec![sif(&[0x5A; 300]), sif(&small().write(Codec::Zstd, 4096))],
        "squashfs" => {
            let small = small();
            let mut all = vec![small.flat().bytes];
            for codec in [Codec::Zstd, Codec::Gzip, Codec::Lz4] {
                all.push(small.write(codec, 4096));
            }
            let mut many = Made::new();
            for n in 0..250 {
                many = many.file(&format!("d{}/{n}", n % 3), b"x");
            }
            all.push(many.flat().bytes);
            all
        }
        "archive" => vec![docker_archive()],
        "reference" => texts(REFERENCES),
        other => panic!("no seeds for {other}"),
    }
}

fn texts(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn small() -> Made {
    Made::new()
        .file("a/file", &b"some text ".repeat(900))
        .file("a/small", b"tail")
        .symlink("link", "a/file")
        .dir("empty")
        .fifo("pipe")
        .link("hard", "a/small")
        .xattr("a/file", "user.one", b"value")
}

fn tar(mut header: tar::Header) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind, data: &[u8]| {
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        header.set_mode(0o755);
        header.set_mtime(1);
        out.append_data(&mut header, path, data).unwrap();
    };
    add("d/", Type::Directory, b"");
    add("d/file", Type::Regular, b"content");
    add("d/.wh.gone", Type::Regular, b"");
    add("e/.wh..wh..opq", Type::Regular, b"");
    add("pipe", Type::Fifo, b"");
    let mut link = header.clone();
    for (kind, name, to) in [(Type::Link, "hard", "d/file"), (Type::Symlink, "soft", "../x")] {
        link.set_entry_type(kind);
        link.set_size(0);
        out.append_link(&mut link, name, to).unwrap();
    }
    out.into_inner().unwrap()
}

fn pax() -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    for records in [
        &[("path", &b"long/name"[..]), ("mtime", b"1.5"), ("SCHILY.xattr.user.a", b"1\n2")][..],
        &[("size", b"5"), ("uid", b"70000"), ("linkpath", b"x")],
        &[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"sparse"),
            ("GNU.sparse.realsize", b"4096"),
        ],
    ] {
        out.append_pax_extensions(records.iter().copied()).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        let body = if records.len() == 4 {
            let mut map = b"1\n0\n5\n".to_vec();
            map.resize(512, 0);
            [&map[..], b"bytes"].concat()
        } else {
            b"bytes".to_vec()
        };
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        out.append_data(&mut header, "short", &body[..]).unwrap();
    }
    out.into_inner().unwrap()
}

fn sif(partition: &[u8]) -> Vec<u8> {
    let arch = Arch::of(&"linux/amd64".parse().unwrap()).unwrap();
    let mut out = Cursor::new(Vec::new());
    let mut sif = SifWriter::begin(&mut out, Identity { uuid: [7; 16], time: 1, arch }).unwrap();
    sif.object(DataType::Definition, "", b"bootstrap: docker\n").unwrap();
    sif.object(DataType::Json, "moorline.json", b"{}").unwrap();
    let _ = sif.partition().unwrap();
    sif.inner().write_all(partition).unwrap();
    sif.finish(partition.len() as u64).unwrap();
    out.into_inner()
}

fn docker_archive() -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    let config = CONFIGS[0];
    for (name, data) in [
        ("c.json", config),
        ("l.tar", "layer"),
        ("manifest.json", r#"[{"Config":"c.json","RepoTags":["a:b"],"Layers":["l.tar"]}]"#),
        ("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json", MANIFESTS[1]),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        out.append_data(&mut header, name, data.as_bytes()).unwrap();
    }
    out.into_inner().unwrap()
}

const MANIFESTS: &[&str] = &[
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":32,"annotations":{"a":"b"}}]}"#,
    r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":7,"platform":{"architecture":"amd64","os":"linux","variant":"v1"}}]}"#,
];

const CONFIGS: &[&str] = &[
    r#"{"created":"2024-02-03T04:05:06Z","architecture":"amd64","os":"linux","config":{"Env":["A=b"],"Entrypoint":["/x"],"Cmd":["y"],"WorkingDir":"/","User":"1:2","Labels":{"a":"b"}},"rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},"history":[{"created_by":"x","empty_layer":true}]}"#,
    "registry = \"registry.example\"\ninsecure_registries = [\"127.0.0.1:5000\"]\n[submit]\nbackend = \"slurm\"\n",
    "image = \"group/project:v1\"\ncommand = [\"echo\", \"x\"]\nmount = [\"/data:ro\"]\nenv = { A = \"b\" }\ncpus = 2\nmemory = \"8G\"\n",
    "schema = 1\n[[image]]\nname = \"a\"\nasked = \"registry.example/group/project:v1\"\nplatform = \"linux/amd64\"\nmanifest = \"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\nconfig = \"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\nresolved_at = \"2026-01-02T03:04:05Z\"\n",
];

const REFERENCES: &[&str] = &[
    "group/project:v1",
    "registry.example:5000/group/sub/project@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "registry.example/group/project:v1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "linux/arm64/v8",
    "docker-archive:/tmp/x.tar:tag",
    "https://gitlab.example:8443/path",
    "[::1]:5000/a/b",
];
