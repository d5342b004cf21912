//! Commit and project by the annotations of a manifest or index, where the labels are silent.

use moorline::oci::{Digest, Sha256Digest, media_type};
use serde_json::{Value, json};

use crate::gitlab::common::{NEW, OLD, PROJECT, World};

const REVISION: &str = "org.opencontainers.image.revision";
const SOURCE: &str = "org.opencontainers.image.source";

/// An image with these labels and annotations, below an index with others, under a tag.
fn push(world: &World, tag: &str, labels: &Value, manifest: &Value, index: &Value) {
    let images = world.images();
    let config = serde_json::to_vec(&json!({
        "os": "linux", "architecture": "amd64", "config": { "Labels": labels },
        "rootfs": { "type": "layers", "diff_ids": [] },
    }))
    .unwrap();
    let made = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": {
            "mediaType": media_type::OCI_CONFIG,
            "digest": Digest::of(&config).to_string(), "size": config.len(),
        },
        "layers": [], "annotations": manifest,
    }))
    .unwrap();
    images.put_blob(config);
    let size = made.len();
    let digest = images.put_manifest(PROJECT, media_type::OCI_MANIFEST, made);
    let above = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
        "manifests": [{
            "mediaType": media_type::OCI_MANIFEST, "digest": digest.to_string(), "size": size,
            "platform": { "os": "linux", "architecture": "amd64" },
        }],
        "annotations": index,
    }))
    .unwrap();
    let above = images.put_manifest(PROJECT, media_type::OCI_INDEX, above);
    images.tag(PROJECT, tag, above);
}

fn origin(world: &World, tag: &str) -> (Value, String) {
    let what = format!("{PROJECT}:{tag}");
    let answer = world.moorline(&["--json", "resolve", &what], &[]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let value: Value = serde_json::from_str(&answer.out).unwrap();
    (value["origin"].clone(), answer.err)
}

#[test]
fn annotations_count_where_labels_are_silent() {
    let world = World::new();
    let source = format!("http://{}/{PROJECT}", world.host());
    let (none, both) = (json!({}), json!({ REVISION: NEW, SOURCE: source, "odd": 1 }));
    push(&world, "manifest", &none, &both, &none);
    push(&world, "index", &none, &none, &both);
    push(&world, "mixed", &json!({ REVISION: NEW }), &none, &json!({ SOURCE: source }));
    for (tag, commit, project) in [
        ("manifest", "annotation", "annotation"),
        ("index", "annotation", "annotation"),
        ("mixed", "label", "annotation"),
    ] {
        let (found, said) = origin(&world, tag);
        assert_eq!((&found["commit"], &found["project"]), (&json!(NEW), &json!(PROJECT)), "{tag}");
        let evidence = json!({ "commit": commit, "project": project });
        assert_eq!(found["evidence"], evidence, "{tag}");
        assert!(!said.contains("warning"), "{tag}: {said}");
    }
    // a base image's annotation is not the image's own word
    let base = json!({ REVISION: NEW, SOURCE: "https://gitlab.example/base/fedora" });
    push(&world, "base", &none, &none, &base);
    assert_eq!(origin(&world, "base").0, Value::Null);
    // the index is further away than the manifest
    push(&world, "two", &none, &json!({ REVISION: NEW }), &json!({ REVISION: OLD }));
    assert_eq!(origin(&world, "two").0["commit"], NEW);
}

#[test]
fn a_label_counts_before_an_annotation_and_the_contradiction_is_said() {
    let world = World::new();
    let none = json!({});
    push(&world, "odd", &json!({ REVISION: NEW }), &json!({ REVISION: OLD }), &none);
    let (found, said) = origin(&world, "odd");
    assert_eq!(found["commit"], NEW);
    assert_eq!(found["evidence"]["commit"], "label");
    let words = format!("label {REVISION} says {NEW}, its annotation {OLD}");
    assert!(said.contains("warning") && said.contains(&words), "{said}");
    // the short form of one commit is no other one
    push(&world, "short", &json!({ REVISION: NEW }), &json!({ REVISION: NEW[..8] }), &none);
    assert!(!origin(&world, "short").1.contains("warning"));
    // and of what CI built: the annotation is compared with what was asked for
    push(&world, "bbbbbbbb", &none, &json!({ REVISION: OLD }), &none);
    let answer = world.with_api(&["--json", "resolve", "--project", PROJECT, "--pipeline", "20"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let value: Value = serde_json::from_str(&answer.out).unwrap();
    let warning = value["warnings"][0].as_str().unwrap();
    assert!(warning.contains("the image's annotation"), "{warning}");
}
