//! Several images, odd neighbours, nested indexes, unknown platforms: files as they are met in practice.

use serde_json::{Value, json};

use super::*;
use crate::oci::{Digest, Fit, Sha256Digest};

/// A layout that grows.
#[derive(Default)]
struct Built {
    files: Vec<(String, Vec<u8>)>,
    entries: Vec<Value>,
}

impl Built {
    fn new() -> Self {
        let marker = br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec();
        let files = vec![("oci-layout".into(), marker), blob(LAYER)];
        Self { files, entries: Vec::new() }
    }

    /// Puts a document; its descriptor.
    fn put(&mut self, media_type: Option<&str>, bytes: &[u8]) -> Value {
        self.files.push(blob(bytes));
        let mut of = json!({"digest": Digest::of(bytes), "size": bytes.len()});
        if let Some(media_type) = media_type {
            of["mediaType"] = media_type.into();
        }
        of
    }

    /// Puts an image that says of itself that it is for a platform; its manifest's descriptor.
    fn image(&mut self, says: &Value, note: &str) -> Value {
        let mut config = json!({
            "created": note,
            "rootfs": {"type": "layers", "diff_ids": [DiffId::of(LAYER)]},
        });
        for (name, value) in says.as_object().unwrap() {
            config[name] = value.clone();
        }
        let bytes = config.to_string().into_bytes();
        let config = self.put(Some(media_type::OCI_CONFIG), &bytes);
        self.manifest(&config)
    }

    fn manifest(&mut self, config: &Value) -> Value {
        let layer: Value = serde_json::from_str(&descriptor(media_type::OCI_LAYER, LAYER)).unwrap();
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
        self.put(Some(media_type::OCI_MANIFEST), manifest.to_string().as_bytes())
    }

    fn index(&mut self, entries: &[Value]) -> Value {
        let index = json!({"schemaVersion": 2, "manifests": entries});
        self.put(Some(media_type::OCI_INDEX), index.to_string().as_bytes())
    }

    fn entry(&mut self, entry: Value) -> &mut Self {
        self.entries.push(entry);
        self
    }

    /// Writes it; opens one image of it as a layout and as an archive of it, which must agree.
    fn open(&self, tag: &str, asked: &str) -> Result<Archive, ArchiveError> {
        let dir = tempfile::tempdir().unwrap();
        let index = json!({"schemaVersion": 2, "manifests": self.entries});
        let mut files = self.files.clone();
        files.push(("index.json".into(), index.to_string().into_bytes()));
        files.dedup_by(|a, b| a.0 == b.0);
        write(&dir.path().join("l"), &files);
        let mut seen = Vec::new();
        files.retain(|(name, _)| {
            let new = !seen.contains(name);
            seen.push(name.clone());
            new
        });
        tar(&dir.path().join("l.tar"), &files);
        let platform: Platform = asked.parse().unwrap();
        let [one, two] = [("oci", "l"), ("oci-archive", "l.tar")].map(|(scheme, name)| {
            let text = format!("{scheme}:{}{tag}", dir.path().join(name).display());
            Archive::open(&Location::parse(&text).unwrap(), &platform)
        });
        match (&one, &two) {
            (Ok(one), Ok(two)) => assert_eq!(one.digest, two.digest),
            (Err(one), Err(two)) => assert_eq!(one.kind(), two.kind(), "{one} {two}"),
            (one, two) => panic!("{one:?} {two:?}"),
        }
        one
    }

    fn finds(&self, tag: &str, asked: &str, expected: &Value) -> Archive {
        let found = self.open(tag, asked).unwrap_or_else(|e| panic!("{tag} {asked}: {e}"));
        assert_eq!(found.digest.to_string(), expected["digest"], "{tag} {asked}");
        found
    }

    fn refuses(&self, tag: &str, asked: &str, kind: Kind, words: &[&str]) -> String {
        let error = self.open(tag, asked).expect_err(tag);
        let text = format!("{error} {}", error.hint().unwrap_or_default());
        assert_eq!(error.kind(), kind, "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
        text
    }
}

fn blob(bytes: &[u8]) -> (String, Vec<u8>) {
    (blob_name(&Digest::of(bytes)), bytes.to_vec())
}

fn amd64() -> Value {
    json!({"os": "linux", "architecture": "amd64"})
}

fn with(of: &Value, name: &str, value: Value) -> Value {
    let mut of = of.clone();
    of[name] = value;
    of
}

fn named(of: &Value, names: &[(&str, &str)]) -> Value {
    let names: std::collections::BTreeMap<_, _> = names.iter().copied().collect();
    with(of, "annotations", json!(names))
}

const REF: &str = "org.opencontainers.image.ref.name";
const CONTAINERD: &str = "io.containerd.image.name";

/// Two images of one name and platform: the first must not be taken silently (the field report that
/// issue 16 calls 14). skopeo names them by `@N`, docker and nerdctl by `io.containerd.image.name`.
#[test]
fn two_images_of_one_name_and_platform() {
    for platform in [None, Some(amd64())] {
        let mut built = Built::new();
        let [one, two] = ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"]
            .map(|created| built.image(&amd64(), created));
        let [mut first, mut second] = [("a", &one), ("b", &two)].map(|(name, of)| {
            let full = format!("docker.io/library/{name}:v1");
            named(of, &[(REF, "v1"), (CONTAINERD, &full)])
        });
        if let Some(platform) = platform {
            first["platform"] = platform.clone();
            second["platform"] = platform;
        }
        built.entry(first).entry(second);
        for tag in ["", ":v1"] {
            let words = ["several images", "docker.io/library/a:v1", "docker.io/library/b:v1"];
            built.refuses(tag, "linux/amd64", Kind::NotFound, &words);
        }
        let digest = |of: &Value| of["digest"].as_str().unwrap().to_owned();
        for (tag, of) in [
            (":a:v1".to_owned(), &one),
            (":docker.io/library/b:v1".to_owned(), &two),
            (":@0".to_owned(), &one),
            (":@1".to_owned(), &two),
            (format!(":{}", digest(&one)), &one),
            (format!("@{}", digest(&two)), &two),
            (format!(":{}", &digest(&two)[..20]), &two),
        ] {
            built.finds(&tag, "linux/amd64", of);
        }
        built.refuses(":@2", "linux/amd64", Kind::NotFound, &["no image of this name"]);
        built.refuses(":sha256:", "linux/amd64", Kind::NotFound, &["no image of this name"]);
    }
    // no name at all, or the same ones: by place and digest
    let mut built = Built::new();
    let one = built.image(&amd64(), "1");
    let two = built.image(&amd64(), "2");
    built.entry(one.clone()).entry(two.clone());
    let text = built.refuses("", "linux/amd64", Kind::NotFound, &["several images", "@0 (sha256:"]);
    assert!(text.contains("@1 (sha256:") && text.contains("PATH:@NUMBER"), "{text}");
    built.finds(":@1", "linux/amd64", &two);
    // the same image twice is one image
    let mut built = Built::new();
    let one = built.image(&amd64(), "1");
    built.entry(named(&one, &[(REF, "v1")])).entry(named(&one, &[(REF, "latest")]));
    built.finds("", "linux/amd64", &one);
    built.finds(":latest", "linux/amd64", &one);
    // one name for several platforms, of which the entries say nothing
    let mut built = Built::new();
    let arm = built.image(&json!({"os": "linux", "architecture": "arm64"}), "1");
    let amd = built.image(&amd64(), "1");
    built.entry(named(&arm, &[(REF, "v1")])).entry(named(&amd, &[(REF, "v1")]));
    built.finds(":v1", "linux/amd64", &amd);
    built.finds(":v1", "linux/arm64", &arm);
    let words = ["no image for linux/s390x", "it has: linux/arm64, linux/amd64"];
    built.refuses(":v1", "linux/s390x", Kind::NotFound, &words);
}

/// podman#25045, skopeo#901, alloy#5378: what stands beside the image that is wanted.
#[test]
fn an_odd_neighbour_spoils_nothing() {
    let nothing = json!({"mediaType": media_type::OCI_MANIFEST, "size": 3,
        "digest": format!("sha256:{}", "0".repeat(64))});
    let sha512 = json!({"mediaType": media_type::OCI_MANIFEST, "size": 3,
        "digest": format!("sha512:{}", "0".repeat(128)),
        "platform": {"os": "linux", "architecture": "arm64"}});
    for odd in [
        Value::Null,
        json!({}),
        sha512.clone(),
        nothing.clone(),
        with(&nothing, "platform", json!({"os": "linux"})),
        with(&nothing, "platform", json!({"architecture": ""})),
        with(&nothing, "platform", json!({"os": "unknown", "architecture": "unknown"})),
        with(&nothing, "annotations", json!({"vnd.docker.reference.type": "attestation-manifest"})),
        with(&nothing, "artifactType", json!("application/vnd.example.sbom")),
        with(&nothing, "annotations", Value::Null),
        with(&nothing, "mediaType", json!("application/vnd.in-toto+json")),
    ] {
        let mut built = Built::new();
        let good = built.image(&amd64(), "1");
        let index = [odd.clone(), with(&good, "platform", amd64())];
        let index = built.index(&index);
        built.entry(named(&index, &[(REF, "v1")]));
        built.finds(":v1", "linux/amd64", &good);
        // beside it in index.json: who names the image is not asked about the rest
        let mut built = Built::new();
        let good = built.image(&amd64(), "1");
        built.entry(odd.clone()).entry(named(&good, &[(REF, "v1")]));
        built.finds(":v1", "linux/amd64", &good);
        built.finds("", "linux/amd64", &good);
    }
    // what was chosen has to be right
    let mut built = Built::new();
    let arm = built.image(&json!({"os": "linux", "architecture": "arm64"}), "1");
    let index = built.index(&[sha512, with(&arm, "platform", amd64())]);
    built.entry(named(&index, &[(REF, "v1")]));
    let words = ["linux/arm64", "cannot be read", "sha512:"];
    built.refuses(":v1", "linux/arm64", Kind::NotFound, &words);
    built.refuses(":v1", "linux/amd64", Kind::Conversion, &["offers it for linux/amd64"]);
}

/// *Unknown* is not *different*: an index that says nothing is asked entry by entry.
#[test]
fn platforms_that_nobody_wrote_down() {
    for unknown in
        [Value::Null, json!({}), json!({"os": "linux"}), json!({"os": "", "architecture": ""})]
    {
        let mut built = Built::new();
        let arm = built.image(&json!({"os": "linux", "architecture": "arm64"}), "1");
        let amd = built.image(&amd64(), "1");
        let entries =
            [with(&arm, "platform", unknown.clone()), with(&amd, "platform", unknown.clone())];
        let index = built.index(&entries);
        built.entry(named(&index, &[(REF, "v1")]));
        built.finds(":v1", "linux/amd64", &amd);
        built.finds(":v1", "linux/arm64", &arm);
        let words = ["no image for linux/s390x; it has: linux/arm64, linux/amd64"];
        built.refuses(":v1", "linux/s390x", Kind::NotFound, &words);
    }
    // nor does the configuration say it: it is what was asked for
    for says in [json!({}), json!({"os": "linux", "architecture": ""}), json!({"os": null})] {
        let mut built = Built::new();
        let image = built.image(&says, "1");
        built.entry(image.clone());
        let found = built.finds("", "linux/amd64", &image);
        assert_eq!(found.platform, platform());
        assert_eq!(found.config.platform, platform());
    }
    let mut built = Built::new();
    let image = built.image(&json!({"architecture": ""}), "1");
    let index = built.index(&[with(&image, "platform", amd64())]);
    built.entry(index);
    assert_eq!(built.finds("", "linux/amd64", &image).config.platform, platform());
    // what is offered can be asked for, and something is always said
    let mut built = Built::new();
    let odd = built.image(&json!({"os": "li nux", "architecture": "?"}), "1");
    built.entry(odd);
    let text = built.refuses("", "linux/amd64", Kind::NotFound, &["no platform that can be asked"]);
    assert!(!text.contains("it has"), "{text}");
}

/// Registry and archive walk alike: indexes inside indexes are followed.
#[test]
fn indexes_inside_indexes() {
    let mut built = Built::new();
    let arm = built.image(&json!({"os": "linux", "architecture": "arm64"}), "1");
    let amd = built.image(&amd64(), "1");
    let inner_arm =
        built.index(&[with(&arm, "platform", json!({"os": "linux", "architecture": "arm64"}))]);
    let inner_amd = built.index(&[with(&amd, "platform", amd64())]);
    let outer = built.index(&[inner_arm.clone(), inner_amd]);
    built.entry(named(&outer, &[(REF, "v1")]));
    built.finds(":v1", "linux/amd64", &amd);
    built.finds(":v1", "linux/arm64", &arm);
    // each is nameable by its digest, wherever it stands
    built.finds(&format!("@{}", inner_arm["digest"].as_str().unwrap()), "linux/arm64", &arm);
    built.finds(&format!("@{}", amd["digest"].as_str().unwrap()), "linux/amd64", &amd);

    let mut deep = built.index(&[with(&amd, "platform", amd64())]);
    for _ in 0..4 {
        deep = built.index(&[deep]);
    }
    let mut too_deep = built;
    too_deep.entries = vec![deep];
    too_deep.refuses("", "linux/amd64", Kind::Conversion, &["indexes stand inside each other"]);
}

/// `amd64/v3` listed before `amd64` is not what `linux/amd64` means.
#[test]
fn the_baseline_wins() {
    let variant = |v: &str| json!({"os": "linux", "architecture": "amd64", "variant": v});
    let mut built = Built::new();
    let three = built.image(&variant("v3"), "3");
    let base = built.image(&amd64(), "1");
    let two = built.image(&variant("v2"), "2");
    let entries = [
        with(&three, "platform", variant("v3")),
        with(&base, "platform", amd64()),
        with(&two, "platform", variant("v2")),
    ];
    let index = built.index(&entries);
    built.entry(named(&index, &[(REF, "v1")]));
    let only = built.index(&entries[..1]);
    built.entry(named(&only, &[(REF, "only")]));
    for (asked, of) in [
        ("linux/amd64", &base),
        ("linux/amd64/v1", &base),
        ("linux/amd64/v2", &two),
        ("linux/amd64/v3", &three),
    ] {
        built.finds(":v1", asked, of);
    }
    // nothing else serves: the worker looks at its processor (execute/processor.rs)
    let found = built.finds(":only", "linux/amd64", &three);
    assert_eq!(found.platform.to_string(), "linux/amd64/v3");
    built.refuses(":v1", "linux/amd64/v4", Kind::NotFound, &["linux/amd64/v3, linux/amd64"]);
    // in index.json itself, too
    for entry in entries {
        built.entry(named(&entry, &[(REF, "top")]));
    }
    built.finds(":top", "linux/amd64", &base);
    built.finds(":top", "linux/amd64/v3", &three);
    assert!(Fit::Whole < Fit::Newer(1));
}

/// A configuration typed `application/octet-stream`, `text/html` or nothing, in old images.
#[test]
fn types_of_configurations() {
    let config = config("linux/amd64");
    for media_type in [
        None,
        Some("application/octet-stream"),
        Some("text/html"),
        Some("application/json"),
        Some("application/vnd.docker.container.image.v1+json"),
    ] {
        let mut built = Built::new();
        let of = built.put(media_type, &config);
        let manifest = built.manifest(&of);
        built.entry(manifest.clone());
        built.finds("", "linux/amd64", &manifest);
    }
    for (media_type, bytes, words) in [
        ("application/vnd.cncf.helm.config.v1+json", &config[..], "not a container image"),
        ("application/vnd.oci.empty.v1+json", b"{}", "not a container image"),
        ("text/html", b"<html>", "its configuration"),
        ("application/octet-stream", b"{}", "its configuration"),
    ] {
        let mut built = Built::new();
        let of = built.put(Some(media_type), bytes);
        let manifest = built.manifest(&of);
        built.entry(manifest);
        built.refuses("", "linux/amd64", Kind::Conversion, &[words]);
    }
}

/// Docker archives: two images of one name, names without a tag, `null` for nil, other compressions.
#[test]
fn docker_archives() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.tar");
    let of = |created: &str, architecture: &str| {
        json!({"created": created, "os": "linux", "architecture": architecture,
            "rootfs": {"type": "layers", "diff_ids": [DiffId::of(LAYER)]}, "history": null,
            "config": {"Env": null, "Labels": null}})
        .to_string()
        .into_bytes()
    };
    let configs = [of("1", "amd64"), of("2", "amd64"), of("3", "arm64")];
    let open = |list: &Value, tag: &str, asked: &str| {
        let mut files = vec![("layer".to_owned(), LAYER.to_vec())];
        for (n, config) in configs.iter().enumerate() {
            files.push((format!("{n}.json"), config.clone()));
        }
        files.push((
            "none.json".into(),
            br#"{"rootfs":{"type":"layers","diff_ids":null}}"#.to_vec(),
        ));
        files.push(("manifest.json".into(), list.to_string().into_bytes()));
        tar(&path, &files);
        let text = format!("docker-archive:{}{tag}", path.display());
        Archive::open(&Location::parse(&text).unwrap(), &asked.parse().unwrap())
    };
    let image = |n: usize, tags: Value| json!({"Config": format!("{n}.json"), "RepoTags": tags, "Layers": ["layer"]});
    let list = json!([
        image(0, json!(["a:v1"])),
        image(1, json!(["a:v1", "b:v1"])),
        image(2, Value::Null)
    ]);
    let id = |n: usize| Digest::of(&configs[n]);
    let is = |tag: &str, asked: &str, n: usize| {
        let found = open(&list, tag, asked).unwrap_or_else(|e| panic!("{tag}: {e}"));
        assert_eq!(Digest::of(&found.config_bytes), id(n), "{tag}");
        found.digest
    };
    let made = is(":@0", "linux/amd64", 0);
    is(":@1", "linux/amd64", 1);
    is(":b:v1", "linux/amd64", 1);
    is(":@2", "linux/arm64", 2);
    is(&format!(":{}", id(1)), "linux/amd64", 1);
    is(&format!("@{}", &id(2).to_string()[..20]), "linux/arm64", 2);
    // the manifest that is made for it, as `convert --json` says it
    is(&format!("@{made}"), "linux/amd64", 0);
    for (tag, asked, words) in [
        ("", "linux/amd64", &["several images", "@0 (sha256:", "b:v1", "@2 (sha256:"][..]),
        (":v1", "linux/amd64", &["several images", "b:v1"]),
        (":a:v1", "linux/amd64", &["several images", "@0 (sha256:"]),
        (":@3", "linux/amd64", &["no image of this name"]),
        (":@2", "linux/amd64", &["no image for linux/amd64; it has: linux/arm64"]),
    ] {
        let error = open(&list, tag, asked).expect_err(tag);
        assert_eq!(error.kind(), Kind::NotFound, "{error}");
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{tag}: {error}");
    }
    // one name for two platforms
    let list = json!([image(2, json!(["a:v1"])), image(0, json!(["a:v1"]))]);
    for (asked, n) in [("linux/amd64", 0), ("linux/arm64", 2)] {
        let found = open(&list, ":v1", asked).unwrap();
        assert_eq!(Digest::of(&found.config_bytes), id(n));
    }
    // an image without layers
    for layers in [Value::Null, json!([])] {
        let list = json!([{"Config": "none.json", "RepoTags": null, "Layers": layers}]);
        let found = open(&list, "", "linux/amd64").unwrap();
        assert!(found.manifest.layers.is_empty() && found.platform == platform());
    }
    let list = json!([{"Config": "none.json"}]);
    assert!(open(&list, "", "linux/amd64").is_ok());
}

/// What `docker load` reads is called by its name.
#[test]
fn layers_of_docker_archives_by_their_bytes() {
    let zstd = zstd::encode_all(LAYER, 1).unwrap();
    for (bytes, expected) in [
        (LAYER.to_vec(), media_type::OCI_LAYER),
        (vec![0x1F, 0x8B, 8, 0], media_type::OCI_LAYER_GZIP),
        (zstd, media_type::OCI_LAYER_ZSTD),
        (b"\xFD7zXZ\0rest".to_vec(), "application/vnd.oci.image.layer.v1.tar+xz"),
        (b"BZh91AY&SYrest".to_vec(), "application/vnd.oci.image.layer.v1.tar+bzip2"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut files = docker("real/layer.tar");
        files[0].1.clone_from(&bytes);
        tar(&dir.path().join("d.tar"), &files);
        let found =
            open(&format!("docker-archive:{}", dir.path().join("d.tar").display())).unwrap();
        assert_eq!(found.manifest.layers[0].media_type, expected);
        assert_eq!(found.manifest.layers[0].digest, Digest::of(&bytes));
    }
    // as a whole: refused by name
    for (bytes, program) in [
        (&b"\x1F\x8B\x08\0"[..], "gzip -d"),
        (b"\x28\xB5\x2F\xFD\0", "zstd -d"),
        (b"\xFD7zXZ\0\0", "xz -d"),
        (b"BZh91AY&SY", "bzip2 -d"),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        let error = open(&format!("docker-archive:{}", file.path().display())).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains(program)), "{error}");
    }
}

/// umoci#436's kind: an archive whose writer was never closed.
#[test]
fn archives_that_were_not_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.tar");
    tar(&path, &docker("real/layer.tar"));
    let whole = fs::read(&path).unwrap();
    let text = format!("docker-archive:{}", path.display());
    let expected = open(&text).unwrap().digest;
    let list = docker("real/layer.tar").pop().unwrap().1.len();
    let end = whole.len() - 1024 - list.next_multiple_of(512) + list;
    for length in [end, end + 1, whole.len() - 1024, whole.len() - 700, whole.len() - 512] {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(open(&text).unwrap().digest, expected, "{length}");
    }
    fs::write(&path, &whole[..end - 1]).unwrap();
    refused(&text, Kind::Conversion, "the archive ends in the middle of it");
}
