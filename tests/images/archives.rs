//! Images in files, and `verify`: the demo's image as layout, archive and docker archive gives the
//! bytes that it gives from a registry, and a changed SIF is found.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

use crate::support::{Home, PROJECT, Server, images};
use moorline::demo::image::OciImage;
use moorline::oci::{DiffId, Digest, Sha256Digest};
use moorline::sif::SifReader;
use moorline::sif::hash_tree::Builder;

/// The files of an OCI layout of one image, called v1.
fn layout(image: &OciImage) -> Vec<(String, Vec<u8>)> {
    let blob = |bytes: &[u8]| (format!("blobs/sha256/{}", Digest::of(bytes).hex()), bytes.to_vec());
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": image.media_type,
            "digest": image.manifest_digest,
            "size": image.manifest.len(),
            "annotations": { "org.opencontainers.image.ref.name": "v1" },
        }],
    });
    let mut files = vec![
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), index.to_string().into_bytes()),
        blob(&image.manifest),
        blob(&image.config),
    ];
    files.extend(image.layers.iter().map(|layer| blob(&layer.bytes)));
    files
}

/// What `docker save` would write.
fn docker(image: &OciImage) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![("config.json".to_owned(), image.config.clone())];
    let mut names = Vec::new();
    for layer in &image.layers {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(layer.bytes.as_slice()).read_to_end(&mut plain).unwrap();
        let name = format!("{}/layer.tar", DiffId::of(&plain).hex());
        names.push(name.clone());
        files.push((name, plain));
    }
    let list = serde_json::json!([{
        "Config": "config.json", "RepoTags": ["demo:v1"], "Layers": names,
    }]);
    files.push(("manifest.json".to_owned(), list.to_string().into_bytes()));
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
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    tar.finish().unwrap();
}

#[test]
fn files_give_the_bytes_that_a_registry_gives() {
    let server = Server::with_image();
    let image = &images().0;
    let home = Home::logged_in(&server);
    home.ok(&["convert", &server.name(":v1"), "-o", "registry.sif"]);
    let expected = fs::read(home.path("here/registry.sif")).unwrap();

    // another user's home, so that the store knows nothing
    let home = Home::new(&server);
    let asked = server.running.seen().len();
    let here = home.mkdir("here");
    write(&here.join("layout"), &layout(image));
    tar(&here.join("oci.tar"), &layout(image));
    tar(&here.join("docker.tar"), &docker(image));
    home.ok(&["convert", "oci:layout:v1", "-o", "a.sif"]);
    assert!(fs::read(here.join("a.sif")).unwrap() == expected);
    let again = home.run(&["--json", "convert", "oci-archive:oci.tar"]).exits(0).json();
    assert_eq!((&again["known"], &again["pin"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(again["manifest"], image.manifest_digest.to_string());

    // the layers are stored in another form, so the manifest is another, made from the content
    let first = home.run(&["--json", "convert", "docker-archive:docker.tar:v1"]).exits(0).json();
    assert_ne!(first["manifest"], again["manifest"]);
    let (job, code) = home.job_of(&[], "docker-archive:docker.tar", "cat /etc/moorline-demo");
    assert_eq!((code, home.ok(&["logs", &job]).contains("v1")), (0, true));
    let answer = home.run(&["--json", "audit", "job", &job]).exits(0).json();
    assert_eq!(answer["verdict"], "match", "{answer}");
    let (of_layout, code) = home.job_of(&[], "oci:layout", "true");
    assert_eq!(code, 0);
    // the ledger knows what they were made from
    for (made, job) in [(&first, &job), (&again, &of_layout)] {
        let manifest = made["manifest"].as_str().unwrap();
        let found = home.run(&["--json", "audit", "image", manifest]).exits(0).json();
        let jobs = found["jobs"].as_array().unwrap();
        assert_eq!(jobs.len(), 1, "{found}");
        assert_eq!(
            (&jobs[0]["job"], &jobs[0]["matched"]),
            (&job.as_str().into(), &"manifest".into())
        );
    }
    for (archive, job) in [("docker-archive:docker.tar", &job), ("oci:layout:v1", &of_layout)] {
        let found = home.run(&["--json", "audit", "image", archive]).exits(0).json();
        assert_eq!(found["jobs"][0]["job"], job.as_str(), "{found}");
    }
    home.run(&["audit", "image", "oci:nowhere"]).fails(3, &["nowhere"]);
    // the layers were read where they lie, and are not in the store
    let verified = |from: &[&str]| home.ok(&[&["verify", "a.sif"], from].concat());
    assert!(verified(&[]).starts_with("Unproven: the store lacks sha256:"));
    for from in ["oci:layout:v1", "oci-archive:oci.tar"] {
        assert_eq!(verified(&["--from", from]).trim(), "Match (bytes)");
    }
    let other = verified(&["--from", "docker-archive:docker.tar"]);
    assert!(other.starts_with("Unproven: docker-archive:docker.tar is another image"), "{other}");
    assert_eq!(server.running.seen().len(), asked, "no registry is asked");

    let mut corrupt = layout(image);
    corrupt.last_mut().unwrap().1[20] ^= 1;
    fs::remove_dir_all(home.path("cache")).unwrap();
    write(&here.join("corrupt"), &corrupt);
    home.run(&["convert", "oci:corrupt"]).fails(6, &["oci:corrupt", "expected sha256:", "hint:"]);
    let words = ["oci:corrupt", "expected sha256:", "hint:"];
    home.run(&["verify", "a.sif", "--from", "oci:corrupt"]).fails(6, &words);
}

/// Runs a tool that makes archives.
fn tool(dir: &Path, words: &[&str]) {
    let out = std::process::Command::new(words[0])
        .args(&words[1..])
        .current_dir(dir)
        .env("HOME", dir)
        .output()
        .unwrap();
    assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// What skopeo and umoci make of one image is that image: as layout, as archive, below an index, as docker
/// archive; and each of two images in one file can be named as skopeo names it.
#[test]
fn what_other_tools_write() {
    let there = |name: &str| std::process::Command::new(name).arg("--version").output().is_ok();
    let all = there("skopeo") && there("umoci");
    if !crate::support::have("differential", "what_other_tools_write", all) {
        return;
    }
    let server = Server::with_image();
    let (v1, v2) = images();
    let home = Home::new(&server);
    let here = home.mkdir("here");
    write(&here.join("v1"), &layout(v1));
    write(&here.join("v2"), &layout(v2));
    let skopeo = |from: &str, to: &str| {
        tool(&here, &["skopeo", "--insecure-policy", "copy", "-q", "--all", from, to]);
    };
    let manifest = |what: &str| {
        let made = home.run(&["--json", "convert", what]).exits(0).json();
        made["manifest"].as_str().unwrap().to_owned()
    };
    let expected = v1.manifest_digest.to_string();
    for to in ["oci:copy:t", "oci-archive:copy.tar:t", "oci:copy:docker.io/library/demo:v1"] {
        skopeo("oci:v1:v1", to);
    }
    for what in ["oci:copy:t", "oci-archive:copy.tar", "oci:copy:demo:v1", "oci:copy"] {
        assert_eq!(manifest(what), expected, "{what}");
    }
    // one file with two images of one name: skopeo's own archives cannot have that, docker's can
    skopeo("oci:v2:v1", "oci:copy:other");
    home.run(&["convert", "oci:copy"]).fails(3, &["several images", "other", "hint: name one"]);
    assert_eq!(manifest("oci:copy:@2"), v2.manifest_digest.to_string());
    assert_eq!(
        manifest(&format!("oci:copy@{}", v2.manifest_digest)),
        v2.manifest_digest.to_string()
    );

    skopeo("oci:v1:v1", "docker-archive:one.tar:demo/one:v1");
    skopeo("oci:v2:v1", "docker-archive:two.tar:demo/two:v1");
    let [one, two] = ["one", "two"].map(|name| manifest(&format!("docker-archive:{name}.tar")));
    assert_ne!(one, two);
    for what in [
        "docker-archive:one.tar:demo/one:v1",
        "docker-archive:one.tar:v1",
        "docker-archive:one.tar:@0",
    ] {
        assert_eq!(manifest(what), one, "{what}");
    }

    // umoci's `insert` leaves out the last padding and the end (umoci#436)
    fs::write(here.join("added"), "added by umoci\n").unwrap();
    tool(&here, &["umoci", "insert", "--image", "v1:v1", "added", "/etc/added"]);
    let (job, code) = home.job_of(&[], "oci:v1:v1", "cat /etc/added");
    assert_eq!((code, home.ok(&["logs", &job]).contains("added by umoci")), (0, true));
}

/// containerd's `platforms`, and every "exec format error": what this processor cannot run is told before
/// anything of it is started.
#[test]
fn another_processors_image_is_not_started() {
    let (other, own) = match std::env::consts::ARCH {
        "x86_64" => ("s390x", "amd64"),
        _ => ("s390x", "arm64"),
    };
    let binfmt = Path::new("/proc/sys/fs/binfmt_misc/qemu-s390x");
    if !crate::support::have(
        "no qemu for s390x",
        "another_processors_image_is_not_started",
        !binfmt.exists(),
    ) {
        return;
    }
    let server = Server::with_image();
    let image = &images().0;
    let home = Home::new(&server);
    let here = home.mkdir("here");
    // the same layers, under a configuration that says another processor
    let text = String::from_utf8(image.config.clone()).unwrap();
    let config = text.replace(&format!("\"{own}\""), &format!("\"{other}\"")).into_bytes();
    assert_ne!(config, image.config);
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["config"]["digest"] = Digest::of(&config).to_string().into();
    manifest["config"]["size"] = config.len().into();
    let manifest = manifest.to_string().into_bytes();
    let mut files = layout(image);
    let blob = |bytes: &[u8]| (format!("blobs/sha256/{}", Digest::of(bytes).hex()), bytes.to_vec());
    files.extend([blob(&config), blob(&manifest)]);
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [
        {"digest": Digest::of(&manifest), "size": manifest.len()}]});
    files[1].1 = index.to_string().into_bytes();
    write(&here.join("other"), &files);
    let platform = format!("linux/{other}");
    home.run(&["convert", "oci:other"]).fails(3, &["no image for linux/", &platform]);
    let refused = home.run(&["run", "--platform", &platform, "oci:other", "--", "true"]).exits(214);
    for words in [&platform, "another processor", "binfmt_misc", "ask the engine for other nodes"] {
        assert!(refused.stderr.contains(words), "{words}: {refused}");
    }
}

/// There is no pin that could tell the worker what an archive's image is for: the plan does, also where the
/// index alone knows.
#[test]
fn the_plan_says_what_an_archives_image_is_for() {
    let test = "the_plan_says_what_an_archives_image_is_for";
    if !crate::support::have("the variants are amd64's", test, std::env::consts::ARCH == "x86_64") {
        return;
    }
    let server = Server::with_image();
    let image = &images().0;
    let home = Home::new(&server);
    let here = home.mkdir("here");
    let mut files = layout(image);
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [{
        "digest": Digest::of(&image.manifest), "size": image.manifest.len(),
        "platform": {"os": "linux", "architecture": "amd64", "variant": "v2"}}]});
    files[1].1 = index.to_string().into_bytes();
    write(&here.join("v2"), &files);
    // converted now, and known
    for _ in 0..2 {
        let job = home.ok(&["submit", "--backend", "local", "oci:v2", "--", "true"]);
        let plan = fs::read(home.jobs().join(job.trim()).join("control/plan.json")).unwrap();
        let plan: serde_json::Value = serde_json::from_slice(&plan).unwrap();
        assert_eq!(plan["job"]["platform"]["variant"], "v2", "{plan}");
        home.run(&["wait", job.trim()]);
    }

    // nodes with another processor get a worker of theirs, or nothing
    let text = String::from_utf8(image.config.clone()).unwrap();
    let config = text.replace("\"amd64\"", "\"arm64\"").into_bytes();
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["config"]["digest"] = Digest::of(&config).to_string().into();
    manifest["config"]["size"] = config.len().into();
    let manifest = manifest.to_string().into_bytes();
    let blob = |bytes: &[u8]| (format!("blobs/sha256/{}", Digest::of(bytes).hex()), bytes.to_vec());
    files.extend([blob(&config), blob(&manifest)]);
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [
        {"digest": Digest::of(&manifest), "size": manifest.len()}]});
    files[1].1 = index.to_string().into_bytes();
    write(&here.join("arm"), &files);
    let submit =
        ["submit", "--backend", "slurm", "--platform", "linux/arm64", "oci:arm", "--", "true"];
    let dry = [&submit[..1], &["--dry-run"], &submit[1..]].concat();
    for args in [&dry[..], &submit] {
        home.run(args)
            .fails(12, &["no worker for the nodes' processor (arm64)", "moorline-worker-aarch64"]);
    }
    let jobs = fs::read_dir(home.jobs()).unwrap().count();
    assert_eq!(jobs, 3, "two jobs and bin: nothing of the refused ones stays");
}

/// Of a layer that is known nothing is read; where it is read, every byte of it counts.
#[test]
fn a_known_layer_of_an_archive_is_not_read() {
    let server = Server::with_image();
    let (v1, v2) = images();
    let home = Home::new(&server);
    let here = home.mkdir("here");
    write(&here.join("v1"), &layout(v1));
    write(&here.join("v2"), &layout(v2));
    home.ok(&["convert", "oci:v2", "-o", "cold.sif"]);
    fs::remove_dir_all(home.path("cache")).unwrap();
    home.ok(&["convert", "oci:v1"]);
    assert_eq!(
        fs::read_dir(home.path("cache/blobs/sha256")).unwrap().count(),
        1,
        "the configuration"
    );
    // the layers that v1 has too
    let blobs = |dir: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(here.join(dir).join("blobs/sha256")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let shared: Vec<String> = blobs("v1").intersection(&blobs("v2")).cloned().collect();
    assert!(!shared.is_empty());
    for blob in &shared {
        let path = here.join("v2/blobs/sha256").join(blob);
        let length = fs::metadata(&path).unwrap().len();
        fs::write(&path, vec![0; usize::try_from(length).unwrap()]).unwrap();
    }
    let made = home.run(&["--json", "convert", "oci:v2", "-o", "warm.sif"]).exits(0).json();
    assert_eq!(made["counters"]["layers_inflated"], 1, "{made}");
    assert!(fs::read(here.join("warm.sif")).unwrap() == fs::read(here.join("cold.sif")).unwrap());
    fs::remove_dir_all(home.path("cache")).unwrap();
    home.run(&["convert", "oci:v2"]).fails(6, &["oci:v2", "expected sha256:"]);
    assert_eq!(fs::read_dir(home.path("cache/sifs/sha256")).unwrap().count(), 0);

    // bytes behind the layer's end are not the layer
    let path = fs::read_dir(here.join("v1/blobs/sha256")).unwrap().map(|e| e.unwrap().path());
    let largest = path.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    bytes.push(0);
    fs::write(&largest, bytes).unwrap();
    home.run(&["convert", "oci:v1"]).fails(6, &["oci:v1", "expected sha256:"]);
}

/// Changes the last place where some bytes stand in a file.
/// Changes a SIF as somebody does who also makes the hash tree that fits.
fn patch(file: &Path, old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len());
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.windows(old.len()).rposition(|window| window == old).expect("it stands there");
    bytes[at..at + new.len()].copy_from_slice(new);
    let partition = SifReader::open(Cursor::new(&bytes)).unwrap().partition().unwrap();
    let mut builder = Builder::new(partition.offset);
    builder.update(&bytes[..usize::try_from(partition.offset + partition.size).unwrap()]);
    let built = builder.finish();
    let tree = bytes.len() - built.bytes.len();
    bytes[tree..].copy_from_slice(&built.bytes);
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_sif_is_made_again_and_compared() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    let made = home.run(&["--json", "convert", &image, "-o", "x.sif"]).exits(0).json();
    let sif = home.path("here/x.sif");
    let good = fs::read(&sif).unwrap();
    let say = |args: &[&str], code| {
        let answer = home.run(&[&["verify", "x.sif"], args].concat()).exits(code);
        answer.stdout.trim().to_owned()
    };
    assert_eq!(say(&[], 0), "Match (bytes)");

    // without the store it depends on whether a repository is known
    fs::remove_dir_all(home.path("cache")).unwrap();
    assert!(say(&[], 0).starts_with("Unproven: the store lacks sha256:"), "{}", say(&[], 0));
    let unproven = home.run(&["verify", "x.sif"]);
    assert!(
        unproven.stderr.contains("hint: name a repository that has the image: --from"),
        "{unproven}"
    );
    let repository = server.name("");
    assert_eq!(say(&["--from", &repository], 0), "Match (bytes)");
    fs::remove_dir_all(home.path("cache")).unwrap();
    let (_, code) = home.job_of(&[], &image, "true");
    assert_eq!(code, 0);
    fs::remove_dir_all(home.path("cache")).unwrap();
    assert_eq!(say(&[], 0), "Match (bytes)", "the ledger remembers {PROJECT}");
    home.run(&["verify", "x.sif", "--from", &image]).fails(2, &["--from", "hint:"]);

    // one byte more, or another one: found
    fs::write(&sif, [&good[..], b"x"].concat()).unwrap();
    let mismatch = home.run(&["verify", "x.sif"]).exits(6);
    assert!(mismatch.stdout.starts_with("Mismatch: made again it is sha256:"), "{mismatch}");
    let right = format!("hint: moorline convert {}@sha256:", server.name(""));
    assert!(mismatch.stderr.contains(&right), "{mismatch}");
    fs::write(&sif, &good).unwrap();
    patch(&sif, b"io.moorline.manifest", b"io.moorline.manifesT");
    assert!(say(&[], 6).starts_with("Mismatch"));

    // as made by another compressor: the trees decide
    let version = made["recipe"]["codec_version"].as_str().unwrap();
    let other = version.replace(|c: char| c.is_ascii_digit(), "0");
    let field = |version: &str| format!("\"codec_version\":\"{version}\"").into_bytes();
    fs::write(&sif, &good).unwrap();
    patch(&sif, &field(version), &field(&other));
    let answer = say(&[], 0);
    assert!(answer.starts_with("Match (content): it was made as "), "{answer}");
    // and a changed block in it is a mismatch
    let mut bytes = fs::read(&sif).unwrap();
    let at = 36864 + 4096 * 4;
    for byte in &mut bytes[at..at + 64] {
        *byte ^= 0x55;
    }
    fs::write(&sif, bytes).unwrap();
    assert!(say(&[], 6).starts_with("Mismatch"));

    // what does not say where it is from
    fs::write(&sif, &good).unwrap();
    patch(&sif, b"moorline.json\0", b"somebody.json\0");
    assert!(say(&[], 0).starts_with("Unproven: it does not say what it was made from"));
}

/// A verifier that passes unsigned objects, or leaves header and descriptors out, proves nothing of what
/// runtimes and people read there. The SIF states another compressor, so its bytes decide nothing.
#[test]
fn incident_12_cve_2020_13846_13847_changed_objects_beside_the_tree_are_a_mismatch() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let made = home.run(&["--json", "convert", &server.name(":v1"), "-o", "x.sif"]).exits(0).json();
    let sif = home.path("here/x.sif");
    let version = made["recipe"]["codec_version"].as_str().unwrap();
    let other = version.replace(|c: char| c.is_ascii_digit(), "0");
    let field = |version: &str| format!("\"codec_version\":\"{version}\"").into_bytes();
    patch(&sif, &field(version), &field(&other));
    let good = fs::read(&sif).unwrap();
    let say = |bytes: &[u8]| {
        fs::remove_file(&sif).unwrap();
        fs::write(&sif, bytes).unwrap();
        let answer = home.run(&["verify", "x.sif"]);
        (answer.code, answer.stdout.trim().to_owned())
    };
    let (code, answer) = say(&good);
    assert!(code == 0 && answer.starts_with("Match (content): "), "{answer}");
    let mismatch = |bytes: &[u8], what: &str| {
        let (code, answer) = say(bytes);
        assert!(code == 6 && answer.starts_with("Mismatch: "), "{what}: {code} {answer}");
        answer
    };
    let with = |at: usize, change: u8| {
        let mut bytes = good.clone();
        bytes[at] ^= change;
        bytes
    };
    let flipped = |at| with(at, 1);
    // a number that no other object has
    let changed = |at| with(at, 0x40);

    // a byte in the middle of each object
    let all = SifReader::open(Cursor::new(&good)).unwrap().descriptors().to_vec();
    assert_eq!(all.len(), 7);
    for object in all.iter().filter(|object| object.primary.is_none()) {
        // of what says the recipe a byte that does not
        let range = usize::try_from(object.offset).unwrap()..;
        let size = usize::try_from(object.size).unwrap();
        let at = match object.name.as_str() {
            "moorline.json" => {
                let text = &good[range.clone()][..size];
                text.windows(11).position(|w| w == b"\"reference\"").unwrap() + 15
            }
            _ => size / 2,
        };
        let answer = mismatch(&flipped(range.start + at), &object.name);
        let words = match object.name.as_str() {
            "" => "its definition file is another".to_owned(),
            "oci-manifest.json" => "it names sha256:".to_owned(),
            "moorline-hash-tree" => "its hash tree is not that of its bytes".to_owned(),
            name => format!("its object {name} is another"),
        };
        assert!(answer.contains(&words), "{answer}");
    }
    // what people and runtimes read of it, by name
    for (old, new) in [(&b"\"Cmd\":"[..], &b"\"cmd\":"[..]), (b"\"Env\":", b"\"env\":")] {
        fs::write(&sif, &good).unwrap();
        patch(&sif, old, new);
        let bytes = fs::read(&sif).unwrap();
        mismatch(&bytes, "the configuration");
    }

    // header: the first line, which the kernel starts; arch, times, counts
    for at in [2, 45, 64, 72, 80, 104, 112, 120] {
        mismatch(&flipped(at), &format!("byte {at} of the header"));
    }
    mismatch(&flipped(200), "between header and descriptors");
    // descriptors: type, id, group, link, times, owner, name, and the partition's arch
    let table = 4096;
    for (number, object) in all.iter().enumerate() {
        for at in [5, 9, 13, 41, 49, 57, 65, 190] {
            let what = format!("byte {at} of the descriptor of {}", object.name);
            mismatch(&changed(table + number * 585 + at), &what);
        }
    }
    for at in [4, 33] {
        mismatch(&changed(table + 5 * 585 + at), &format!("{at} of the partition"));
    }
    mismatch(&flipped(table + 2 * 585 + 73), "a name");
    // one more object, which shares no byte with another; and one in a place that nobody reads
    let length = good.len();
    let mut more = [&good[..], b"{\"more\":1}"].concat();
    mismatch(&more, "bytes behind the file system");
    more.copy_within(table..table + 585, table + 7 * 585);
    let descriptor = &mut more[table + 7 * 585..table + 8 * 585];
    descriptor[5] = 8;
    descriptor[17..25].copy_from_slice(&(length as u64).to_le_bytes());
    descriptor[25..33].copy_from_slice(&10_u64.to_le_bytes());
    let answer = mismatch(&more, "one more object");
    assert!(answer.contains("8 objects where 7 belong"), "{answer}");
    mismatch(&flipped(table + 40 * 585 + 100), "an unused descriptor");
    let (code, answer) = say(&good);
    assert!(code == 0 && answer.starts_with("Match (content): "), "{answer}");

    // a recipe that nobody can have used proves nothing, and is no wrong use of this command
    for (old, new) in
        [("\"block_size\":131072", "\"block_size\":000000"), ("\"level\":3", "\"level\":0")]
    {
        let new = new.replace("000000", "     0");
        fs::write(&sif, &good).unwrap();
        patch(&sif, old.as_bytes(), new.as_bytes());
        let bytes = fs::read(&sif).unwrap();
        let (code, answer) = say(&bytes);
        let words = "Unproven: it states a recipe that cannot be";
        assert!(code == 0 && answer.starts_with(words), "{new}: {code} {answer}");
    }
}
