//! Drift, against Debian's docker-registry: its storage is changed as GitLab's cleanup and garbage
//! collection change theirs.

use std::fs;
use std::path::PathBuf;

use moorline::oci::Sha256Digest;
use moorline::pin::Pin;
use moorline::registry::{Client, Limits, Options};
use moorline::resolve::drift::{Drift, drift, drift_many};
use moorline::resolve::resolve;

use crate::common::*;
use crate::server::{Server, available, start};

/// `_manifests` of a repository.
fn manifests(server: &Server, repository: &str) -> PathBuf {
    let below = "data/docker/registry/v2/repositories";
    server.folder.path().join(below).join(repository).join("_manifests")
}

#[tokio::test(flavor = "multi_thread")]
async fn cleanup_and_garbage_collection_are_seen() {
    if !available("drift::cleanup_and_garbage_collection_are_seen") {
        return;
    }
    let server = start(300, false).await;
    let _layout = server.filled().await;
    let client = server.client(server.reader());
    let sub = format!("{PROJECT}/sub/img");
    let pin = async |rest: String| -> Pin {
        resolve(&client, &reference(server.address, &rest), &amd64()).await.unwrap().pin
    };
    let single = pin(format!("{PROJECT}:v1")).await;
    let multi = pin(format!("{sub}:multi")).await;
    let pins = [single.clone(), multi.clone()];
    for answer in drift_many(&client, &pins).await {
        assert_eq!(answer.unwrap(), []);
    }
    // a cleanup policy takes the tag; the manifest is still there
    fs::remove_dir_all(manifests(&server, PROJECT).join("tags/v1")).unwrap();
    let digest = single.manifest;
    let gone = Drift::TagGone { tag: "v1".into() };
    assert_eq!(drift(&client, &single).await.unwrap(), [gone.clone(), Drift::Untagged { digest }]);
    // then the garbage collection takes the manifest
    let revision = |name: &str| PathBuf::from("revisions/sha256").join(name);
    fs::remove_dir_all(manifests(&server, PROJECT).join(revision(&digest.hex()))).unwrap();
    assert_eq!(drift(&client, &single).await.unwrap(), [gone, Drift::DigestGone { digest }]);
    // and, offline, the child of an index whose tag is still there
    let (index, digest) = (multi.index.unwrap(), multi.manifest);
    fs::remove_dir_all(manifests(&server, &sub).join(revision(&digest.hex()))).unwrap();
    assert_eq!(drift(&client, &multi).await.unwrap(), [Drift::IndexChildMissing { index, digest }]);
}

/// More tags than are looked at: a note, and no finding.
#[tokio::test]
async fn what_was_not_found_out_is_no_finding() {
    let server = stand_in().await;
    let made = put(server.images(), PROJECT, "one", "linux/amd64");
    let other = put(server.images(), PROJECT, "two", "linux/amd64");
    server.images().tag(PROJECT, "v1", made.manifest);
    let limits = Limits { tags: 3, ..Limits::default() };
    let started_here = vec![registry(server.address())];
    let client = Client::new(Options { started_here, limits, ..offering(good()) }).unwrap();
    let v1 = reference(server.address(), "group/project:v1");
    let pin = resolve(&client, &v1, &amd64()).await.unwrap().pin;
    for tag in ["v1", "v2", "v3", "v4"] {
        server.images().tag(PROJECT, tag, other.manifest);
    }
    let moved = Drift::TagMoved { tag: "v1".into(), now: other.manifest };
    let note = Drift::TooManyTags { limit: 3 };
    assert!(moved.is_finding() && !note.is_finding());
    assert_eq!(drift(&client, &pin).await.unwrap(), [moved, note]);
}
