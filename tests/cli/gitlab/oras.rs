//! `oras://`: SIFs that lie in a registry as OCI artifacts.

use moorline::oci::{Digest, Sha256Digest, media_type};
use moorline::resolve::artifact::{SIF_CONFIG, SIF_LAYER};
use serde_json::{Value, json};

use crate::gitlab::common::{NEW, OLD, PROJECT, World};

/// Puts a file into the registry as `singularity push oras://` does.
fn put(world: &World, tag: &str, config: &str, layer: &str, files: &[&[u8]]) -> Digest {
    let images = world.images();
    let descriptor = |media_type: &str, bytes: &[u8]| {
        let digest = images.put_blob(bytes.to_vec()).to_string();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    };
    let manifest = json!({
        "schemaVersion": 2,
        "config": descriptor(config, b"{}"),
        "layers": files.iter().map(|file| descriptor(layer, file)).collect::<Vec<_>>(),
    });
    let bytes = serde_json::to_vec(&manifest).unwrap();
    let digest = images.put_manifest(PROJECT, media_type::OCI_MANIFEST, bytes);
    images.tag(PROJECT, tag, digest);
    digest
}

/// A SIF of a small image.
fn sif(world: &World) -> Vec<u8> {
    world.push("", OLD, &["v1"]);
    let from = format!("{}/{PROJECT}:v1", world.host());
    let answer = world.moorline(&["convert", &from, "-o", "x.sif"], &[]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    std::fs::read(world.project_dir().join("x.sif")).unwrap()
}

#[test]
fn a_stored_sif_is_pinned_fetched_and_used() {
    let world = World::new();
    let bytes = sif(&world);
    let manifest = put(&world, "sif", SIF_CONFIG, SIF_LAYER, &[&bytes]);
    let what = format!("oras://{}/{PROJECT}:sif", world.host());
    let resolved = world.moorline(&["resolve", &what], &[]);
    let expected = format!("oras://gitlab.example/{PROJECT}@{manifest}\n");
    assert_eq!((resolved.code, &resolved.out), (0, &expected), "{}", resolved.err);
    let json = world.moorline(&["--json", "resolve", &what], &[]);
    let value: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(value["sif"], Digest::of(&bytes).to_string());
    assert_eq!(value["reference"], expected.trim_end());
    // what was printed can be used again, also when the tag moved
    put(&world, "sif", SIF_CONFIG, SIF_LAYER, &[b"another"]);
    let pinned = expected.trim_end().replace("gitlab.example", &world.host());
    let submit = |what: &str| world.moorline(&["submit", "--dry-run", what, "--", "true"], &[]);
    let answer = submit(&pinned);
    assert_eq!(answer.code, 0, "{}", answer.err);
    answer.says(&[&manifest.to_string(), &Digest::of(&bytes).to_string()]);
    // fetched once
    let seen = world.seen().len();
    assert_eq!(submit(&pinned).code, 0);
    let blob = Digest::of(&bytes).to_string();
    assert!(world.seen()[seen..].iter().all(|s| !s.target.contains(&blob)));
    world.marks_what_it_runs(&pinned, &blob);
    let arm = ["submit", "--dry-run", "--platform", "linux/arm64", &pinned, "--", "true"];
    world.moorline(&arm, &[]).fails(2, &["it is for amd64, and linux/arm64 is wanted"]);
}

#[test]
fn a_stored_sif_can_be_named_and_locked() {
    let world = World::new();
    let bytes = sif(&world);
    let manifest = put(&world, "sif", SIF_CONFIG, SIF_LAYER, &[&bytes]);
    let toml = |tag: &str| {
        format!(
            "[images]\nmain = \"{PROJECT}:v1\"\ntool = \"oras://{}/{PROJECT}:{tag}\"\n",
            world.host()
        )
    };
    world.write("project/moorline.toml", &toml("sif"));
    let expected = format!("oras://gitlab.example/{PROJECT}@{manifest}");
    let resolved = world.moorline(&["resolve", "tool"], &[]);
    assert_eq!(
        (resolved.code, resolved.out.trim_end()),
        (0, expected.as_str()),
        "{}",
        resolved.err
    );
    let locked = world.moorline(&["lock"], &[]);
    assert_eq!(locked.code, 0, "{}", locked.err);
    locked.says(&[&format!("locked tool {expected}"), "2 pins, 2 new"]);
    let text = world.read("project/moorline.lock");
    for line in [
        "schema = 3".to_owned(),
        format!("manifest = \"{manifest}\""),
        format!("sif = \"{}\"", Digest::of(&bytes)),
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in {text}");
    }
    world.moorline(&["lock"], &[]).says(&["2 pins, 0 new"]);
    assert_eq!(world.read("project/moorline.lock"), text);
    assert_eq!(world.moorline(&["lock", "--check", "--remote"], &[]).code, 0);
    // the tag moves: it is told, and the lock decides
    put(&world, "sif", SIF_CONFIG, SIF_LAYER, &[b"another"]);
    let check = world.moorline(&["lock", "--check", "--remote"], &[]);
    assert_eq!(check.code, 6, "{}", check.err);
    assert!(check.out.contains("tool (linux/amd64): tag sif moved"), "{}", check.out);
    let dry =
        |what: &str| world.moorline(&["submit", "--dry-run", "--locked", what, "--", "true"], &[]);
    let answer = dry("tool");
    assert_eq!(answer.code, 0, "{}", answer.err);
    answer.says(&[&manifest.to_string(), &Digest::of(&bytes).to_string()]);
    let place = format!("oras://{}/{PROJECT}", world.host());
    assert_eq!(dry(&format!("{place}@{manifest}")).code, 0);
    assert_eq!(dry(&format!("{place}:sif")).code, 0);
    dry(&format!("{place}:other")).fails(11, &["has no pin of oras://"]);
    // an image of the lock is not a SIF, and the other way round
    dry(&format!("oras://{}/{PROJECT}:v1", world.host())).fails(11, &["has no pin of oras://"]);
    dry(&format!("{}/{PROJECT}:sif", world.host())).fails(11, &["has no pin of"]);
    world.write("project/moorline.toml", &toml("other"));
    world.moorline(&["lock", "--check"], &[]).fails(6, &[]);
    dry("tool").fails(11, &["tool (oras://"]);
    // another kind of file from a project's configuration is not taken
    for (bad, code, words) in [
        ("oci:dir", 2, "not in a registry"),
        ("shub://a b", 12, "images.tool"),
        ("./x.sif", 12, "images.tool"),
    ] {
        world.write("project/moorline.toml", &format!("[images]\ntool = \"{bad}\"\n"));
        world.moorline(&["lock"], &[]).fails(code, &[words]);
    }
}

#[test]
fn what_is_no_sif_is_refused() {
    let world = World::new();
    let bytes = sif(&world);
    world.push("", NEW, &["image"]);
    put(&world, "sif", SIF_CONFIG, SIF_LAYER, &[&bytes]);
    put(&world, "nonsense", SIF_CONFIG, SIF_LAYER, &[b"nonsense"]);
    put(&world, "two", SIF_CONFIG, SIF_LAYER, &[&bytes, b"x"]);
    put(&world, "other", SIF_CONFIG, "text/plain", &[&bytes]);
    let place = |tag: &str| format!("{}/{PROJECT}:{tag}", world.host());
    let oras = |tag: &str| format!("oras://{}", place(tag));
    for (tag, words) in [
        ("image", "its configuration is of the type"),
        ("two", "it has 2 files"),
        ("other", "its file is of the type \"text/plain\""),
    ] {
        world.moorline(&["resolve", &oras(tag)], &[]).fails(2, &["not a SIF in a registry", words]);
    }
    world.moorline(&["resolve", &oras("gone")], &[]).fails(3, &["tag gone does not exist"]);
    let run = |what: &str| world.moorline(&["submit", "--dry-run", what, "--", "true"], &[]);
    run(&oras("nonsense")).fails(2, &["is not a SIF that can be used here"]);
    // an artifact is never taken for an image
    world
        .moorline(&["resolve", &place("sif")], &[])
        .fails(7, &["not a container image", "write oras://"]);
    world.moorline(&["convert", &oras("sif")], &[]).fails(2, &["this is a SIF"]);
    let locked = ["submit", "--dry-run", "--locked", &oras("sif"), "--", "true"];
    world.moorline(&locked, &[]).fails(3, &["there is no moorline.lock"]);
    for file in ["oci:dir", "oci-archive:x.tar", "docker-archive:x.tar"] {
        world.moorline(&["resolve", file], &[]).fails(2, &["this image is not in a registry"]);
    }
}
