//! Indexes as registries have them: odd neighbours, indexes inside indexes, variants, types that say
//! nothing. Layouts and archives are walked by the same code (`archive/tests/neighbours.rs`).

use moorline::failure::{Failure, Kind};
use moorline::oci::{Digest, Sha256Digest, media_type};
use moorline::registry::Wanted;
use moorline::resolve::{ResolveError, drift, resolve};
use moorline::standin::Images;
use serde_json::{Value, json};

use crate::common::{
    Made, PROJECT, amd64, client, good, put, reference, registry, repository, stand_in,
};

fn entry(made: &Made, platform: &Value) -> Value {
    json!({"mediaType": media_type::OCI_MANIFEST, "digest": made.manifest.to_string(),
        "size": made.manifest_bytes.len(), "platform": platform})
}

fn nested(digest: &Digest, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type::OCI_INDEX, "digest": digest.to_string(), "size": bytes.len()})
}

/// Puts an index; its digest and bytes.
fn index(images: &Images, tag: Option<&str>, entries: &[Value]) -> (Digest, Vec<u8>) {
    let bytes =
        json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries})
            .to_string()
            .into_bytes();
    let digest = images.put_manifest(PROJECT, media_type::OCI_INDEX, bytes.clone());
    if let Some(tag) = tag {
        images.tag(PROJECT, tag, digest);
    }
    (digest, bytes)
}

fn linux(architecture: &str) -> Value {
    json!({"os": "linux", "architecture": architecture})
}

/// podman#25045, skopeo#901, alloy#5378.
#[tokio::test]
async fn an_odd_neighbour_spoils_no_index() {
    let server = stand_in().await;
    let images = server.images();
    let good_one = put(images, PROJECT, "amd", "linux/amd64");
    let missing = json!({"mediaType": media_type::OCI_MANIFEST, "size": 3,
        "digest": Digest::of(b"nowhere").to_string()});
    let mut sha512 = missing.clone();
    sha512["digest"] = format!("sha512:{}", "0".repeat(128)).into();
    let client = client(&server, good());
    let odd = reference(server.address(), "group/project:odd");
    for platform in [Value::Null, json!({}), json!({"os": "linux"}), json!({"architecture": ""})] {
        let mut neighbour = missing.clone();
        neighbour["platform"] = platform.clone();
        for neighbour in [neighbour, sha512.clone(), Value::Null, json!({})] {
            for last in [entry(&good_one, &linux("amd64")), entry(&good_one, &platform)] {
                let (top, _) = index(images, Some("odd"), &[neighbour.clone(), last]);
                let found = resolve(&client, &odd, &amd64()).await.unwrap();
                assert_eq!(found.pin.manifest, good_one.manifest);
                assert_eq!(found.pin.index, Some(top));
                assert_eq!(found.pin.platform, amd64());
            }
        }
    }
    // what is meant and cannot be read is told
    sha512["platform"] = linux("arm64");
    index(images, Some("odd"), &[sha512, entry(&good_one, &linux("amd64"))]);
    let error = resolve(&client, &odd, &"linux/arm64".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    for words in ["it has: linux/amd64", "entry 0 for linux/arm64 cannot be read", "sha512:"] {
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(error.hint().unwrap(), "choose one with --platform linux/amd64");
    // a hint offers nothing that cannot be typed
    let strange = entry(&good_one, &json!({"os": "linux", "architecture": "am d64"}));
    let unknown = entry(&good_one, &json!({"os": "unknown", "architecture": "unknown"}));
    index(images, Some("odd"), &[strange, unknown]);
    let error = resolve(&client, &odd, &amd64()).await.unwrap_err();
    assert!(matches!(error, ResolveError::Platform { .. }), "{error}");
    assert!(error.hint().is_none() && !error.to_string().contains("it has"), "{error}");
}

#[tokio::test]
async fn indexes_inside_indexes_are_followed() {
    let server = stand_in().await;
    let images = server.images();
    let amd = put(images, PROJECT, "amd", "linux/amd64");
    let arm = put(images, PROJECT, "arm", "linux/arm64");
    let (one, one_bytes) = index(images, None, &[entry(&arm, &linux("arm64"))]);
    let (two, two_bytes) = index(images, None, &[entry(&amd, &linux("amd64"))]);
    let (top, _) =
        index(images, Some("deep"), &[nested(&one, &one_bytes), nested(&two, &two_bytes)]);
    let client = client(&server, good());
    let deep = reference(server.address(), "group/project:deep");
    for (asked, made) in [("linux/amd64", &amd), ("linux/arm64", &arm)] {
        let found = resolve(&client, &deep, &asked.parse().unwrap()).await.unwrap();
        assert_eq!((found.pin.index, found.pin.manifest), (Some(top), made.manifest));
        assert_eq!(found.tag_points_here, Some(true));
        // the tag still holds it, through both indexes
        assert_eq!(drift::drift(&client, &found.pin).await.unwrap(), []);
        let both = format!("group/project:deep@{}", made.manifest);
        let found =
            resolve(&client, &reference(server.address(), &both), &asked.parse().unwrap()).await;
        assert_eq!(found.unwrap().tag_points_here, Some(true));
    }
    let error = resolve(&client, &deep, &"linux/s390x".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().ends_with("it has: linux/arm64, linux/amd64"), "{error}");
    let mut inner = nested(&two, &two_bytes);
    for _ in 0..4 {
        let (digest, bytes) = index(images, Some("deep"), &[inner]);
        inner = nested(&digest, &bytes);
    }
    let error = resolve(&client, &deep, &amd64()).await.unwrap_err();
    assert!(error.to_string().contains("indexes stand inside each other"), "{error}");
}

#[tokio::test]
async fn the_baseline_wins_unless_a_variant_is_asked_for() {
    let server = stand_in().await;
    let images = server.images();
    let base = put(images, PROJECT, "base", "linux/amd64");
    let three = put(images, PROJECT, "three", "linux/amd64");
    let variant = json!({"os": "linux", "architecture": "amd64", "variant": "v3"});
    index(images, Some("v"), &[entry(&three, &variant), entry(&base, &linux("amd64"))]);
    let client = client(&server, good());
    let named = reference(server.address(), "group/project:v");
    for (asked, made) in
        [("linux/amd64", &base), ("linux/amd64/v1", &base), ("linux/amd64/v3", &three)]
    {
        let found = resolve(&client, &named, &asked.parse().unwrap()).await.unwrap();
        assert_eq!(found.pin.manifest, made.manifest, "{asked}");
    }
    // the worker looks at its processor
    let found = resolve(&client, &named, &"linux/amd64/v3".parse().unwrap()).await.unwrap();
    assert_eq!(found.pin.platform.to_string(), "linux/amd64/v3");
    let error = resolve(&client, &named, &"linux/amd64/v2".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("it has: linux/amd64/v3, linux/amd64"), "{error}");
}

/// Old registries and builders: a configuration typed `application/octet-stream`, `text/html` or not
/// at all, and `null` for what is nil.
#[tokio::test]
async fn types_that_say_nothing() {
    let server = stand_in().await;
    let images = server.images();
    let client = client(&server, good());
    let name = reference(server.address(), "group/project:old");
    let config = json!({"os": "linux", "architecture": "amd64", "history": null,
        "config": {"Env": null, "Cmd": "/run", "Labels": {"a": null}},
        "rootfs": {"type": "layers", "diff_ids": null}})
    .to_string();
    let config_digest = images.put_blob(config.clone());
    for media_type in
        [None, Some("application/octet-stream"), Some("text/html"), Some("text/plain")]
    {
        let mut of = json!({"digest": config_digest.to_string(), "size": config.len()});
        if let Some(media_type) = media_type {
            of["mediaType"] = media_type.into();
        }
        let manifest =
            json!({"schemaVersion": 2, "config": of, "layers": null, "annotations": null});
        let digest =
            images.put_manifest(PROJECT, media_type::DOCKER_MANIFEST, manifest.to_string());
        images.tag(PROJECT, "old", digest);
        let found = resolve(&client, &name, &amd64()).await.unwrap();
        assert_eq!((found.pin.manifest, found.size), (digest, config.len() as u64));
    }
    // the bytes are no configuration, whatever it is called
    let page = b"<html>".to_vec();
    let digest = images.put_blob(page.clone());
    let of = json!({"mediaType": "text/html", "digest": digest.to_string(), "size": page.len()});
    let manifest = json!({"schemaVersion": 2, "config": of, "layers": []}).to_string();
    let digest = images.put_manifest(PROJECT, media_type::OCI_MANIFEST, manifest);
    images.tag(PROJECT, "old", digest);
    let error = resolve(&client, &name, &amd64()).await.unwrap_err();
    assert!(error.to_string().contains("it is not an image configuration"), "{error}");
    assert!(!error.to_string().contains("manifest is malformed"), "{error}");
    let wanted = Wanted::Digest(digest);
    let place = (registry(server.address()), repository(PROJECT));
    assert!(client.manifest(&place.0, &place.1, &wanted).await.is_ok());
}
