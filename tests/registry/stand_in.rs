//! The ordinary life: deploy tokens, tags that move, indexes, errors that a user can act on.

use moorline::failure::{Failure, Kind};
use moorline::oci::{Digest, Sha256Digest, media_type};
use moorline::registry::{Client, Grant, Options, RegistryError, Wanted};
use moorline::resolve::{ResolveError, resolve, resolve_many};
use moorline::standin::{Config, Running, Scope, StandIn, Visibility};

use crate::common::*;

fn asked(running: &Running, path: &str) -> usize {
    running.seen().iter().filter(|seen| seen.target.starts_with(path)).count()
}

#[tokio::test]
async fn a_tag_resolves_to_its_pin_and_the_pin_gives_the_documents() {
    let server = stand_in().await;
    let made = put(server.images(), PROJECT, "one", "linux/amd64");
    server.images().tag(PROJECT, "v1", made.manifest);
    let client = client(&server, good());
    let asked_for = reference(server.address(), "group/project:v1");
    let resolved = resolve(&client, &asked_for, &amd64()).await.unwrap();
    assert_eq!(
        resolved.pin.reference().to_string(),
        format!("{}/group/project@{}", server.address(), made.manifest)
    );
    assert_eq!(Digest::from(resolved.pin.config), made.config);
    assert_eq!((resolved.pin.index, resolved.tag_points_here), (None, Some(true)));
    assert_eq!(resolved.labels["org.opencontainers.image.revision"], "0123abcd");
    assert_eq!(resolved.created.as_deref(), Some("2026-01-02T03:04:05Z"));
    let documents = client.image(&resolved.pin).await.unwrap();
    assert_eq!(documents.manifest_bytes, made.manifest_bytes);
    assert_eq!(Digest::of(&documents.config_bytes), made.config);
    let size: u64 = documents.config_bytes.len() as u64 + made.layer_bytes.len() as u64;
    assert_eq!(resolved.size, size);
    let mut layer = Vec::new();
    let (registry, repository) = (&resolved.pin.registry, &resolved.pin.repository);
    client.blob(registry, repository, &documents.manifest.layers[0], &mut layer).await.unwrap();
    assert_eq!((layer, documents.manifest.layers[0].digest), (made.layer_bytes, made.layer));
    assert_eq!(asked(&server, "/jwt/auth"), 1, "{:?}", server.seen());
    server.shutdown().await;
}

#[tokio::test]
async fn a_moved_tag_leaves_the_digest_alone_and_is_told() {
    let server = stand_in().await;
    let old = put(server.images(), PROJECT, "old", "linux/amd64");
    let new = put(server.images(), PROJECT, "new", "linux/amd64");
    let client = client(&server, good());
    let both = format!("group/project:v1@{}", old.manifest);
    let both = reference(server.address(), &both);
    for (tagged, points_here) in [(Some(&old), true), (Some(&new), false), (None, false)] {
        match tagged {
            Some(made) => server.images().tag(PROJECT, "v1", made.manifest),
            None => server.images().untag(PROJECT, "v1"),
        }
        let resolved = resolve(&client, &both, &amd64()).await.unwrap();
        assert_eq!(resolved.pin.manifest, old.manifest);
        assert_eq!(resolved.tag_points_here, Some(points_here));
    }
    let only_digest = reference(server.address(), &format!("group/project@{}", old.manifest));
    let resolved = resolve(&client, &only_digest, &amd64()).await.unwrap();
    assert_eq!(resolved.tag_points_here, None);
}

#[tokio::test]
async fn an_index_gives_the_platforms_manifest_and_keeps_both_digests() {
    let server = stand_in().await;
    let images = server.images();
    let amd = put(images, PROJECT, "amd", "linux/amd64");
    let arm = put(images, PROJECT, "arm", "linux/arm64");
    let bytes = index(&[
        (&amd.manifest, amd.manifest_bytes.len(), "linux/amd64"),
        (&arm.manifest, arm.manifest_bytes.len(), "linux/arm64"),
    ]);
    let digest = images.put_manifest(PROJECT, media_type::OCI_INDEX, bytes);
    images.tag(PROJECT, "latest", digest);
    let client = client(&server, good());
    // no tag typed: latest is filled in
    let named = reference(server.address(), "group/project");
    let arm64 = "linux/arm64".parse().unwrap();
    let resolved = resolve(&client, &named, &arm64).await.unwrap();
    assert_eq!((resolved.pin.index, resolved.pin.manifest), (Some(digest), arm.manifest));
    assert_eq!(resolved.pin.asked.tag.as_ref().unwrap().as_str(), "latest");
    // the platform's digest with the index' tag: the tag still leads here
    let both = format!("group/project:latest@{}", arm.manifest);
    let resolved = resolve(&client, &reference(server.address(), &both), &arm64).await.unwrap();
    assert_eq!((resolved.pin.index, resolved.tag_points_here), (None, Some(true)));
    // what is not offered
    let riscv = "linux/riscv64".parse().unwrap();
    let error = resolve(&client, &named, &riscv).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().ends_with("it has: linux/amd64, linux/arm64"), "{error}");
    let digest_of_arm = reference(server.address(), &format!("group/project@{}", arm.manifest));
    let error = resolve(&client, &digest_of_arm, &amd64()).await.unwrap_err();
    assert!(matches!(error, ResolveError::Platform { .. }), "{error}");
}

#[tokio::test]
async fn an_index_that_contradicts_its_images_is_refused() {
    let server = stand_in().await;
    let images = server.images();
    let amd = put(images, PROJECT, "amd", "linux/amd64");
    let client = client(&server, good());
    let size = amd.manifest_bytes.len();
    for (entry, why) in [
        ((&amd.manifest, size, "linux/arm64"), "its configuration says linux/amd64"),
        ((&amd.manifest, size + 1, "linux/arm64"), "the index says"),
    ] {
        let digest = images.put_manifest(PROJECT, media_type::OCI_INDEX, index(&[entry]));
        images.tag(PROJECT, "odd", digest);
        let odd = reference(server.address(), "group/project:odd");
        let error = resolve(&client, &odd, &"linux/arm64".parse().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity);
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[tokio::test]
async fn many_references_come_in_order_with_one_token_for_a_project() {
    let server = stand_in().await;
    let images = server.images();
    let names: Vec<String> = (0..12).map(|i| format!("{PROJECT}/image{i}")).collect();
    let mut wanted = Vec::new();
    let mut expected = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let made = put(images, name, &format!("image {i}"), "linux/amd64");
        images.tag(name, "v1", made.manifest);
        wanted.push((reference(server.address(), &format!("{name}:v1")), amd64()));
        expected.push(Some(made.manifest));
    }
    wanted.insert(3, (reference(server.address(), &format!("{PROJECT}/image0:gone")), amd64()));
    expected.insert(3, None);
    wanted.push(wanted[0].clone());
    expected.push(expected[0]);
    let client = client(&server, good());
    let answers = resolve_many(&client, &wanted).await;
    let got: Vec<_> =
        answers.iter().map(|a| a.as_ref().ok().map(|resolved| resolved.pin.manifest)).collect();
    assert_eq!(got, expected);
    assert_eq!(asked(&server, "/jwt/auth"), 1, "one token for the project");
    let first = format!("/v2/{PROJECT}/image0/manifests/v1");
    let authorized = server.seen().iter().filter(|s| s.target == first && s.status == 200).count();
    assert_eq!(authorized, 1, "a repeated reference is asked once");
}

#[tokio::test]
async fn parallel_layers_share_one_token_request() {
    let server = stand_in().await;
    let made = put(server.images(), PROJECT, "one", "linux/amd64");
    let client = client(&server, good());
    let (registry, repository) = (registry(server.address()), repository(PROJECT));
    let layer = moorline::oci::Descriptor {
        media_type: media_type::OCI_LAYER.into(),
        digest: made.layer,
        size: made.layer_bytes.len() as u64,
        annotations: std::collections::BTreeMap::new(),
    };
    let pulls = (0..16).map(|_| async {
        let mut sink = Vec::new();
        client.blob(&registry, &repository, &layer, &mut sink).await.map(|()| sink)
    });
    for pulled in futures_util::future::join_all(pulls).await {
        assert_eq!(pulled.unwrap(), made.layer_bytes);
    }
    assert_eq!(asked(&server, "/jwt/auth"), 1);
}

#[tokio::test]
async fn an_expired_token_is_renewed_once_in_the_middle_of_a_pull() {
    let server = stand_in().await;
    let made = put(server.images(), PROJECT, "one", "linux/amd64");
    server.images().tag(PROJECT, "v1", made.manifest);
    let client = client(&server, good());
    let v1 = reference(server.address(), "group/project:v1");
    let pin = resolve(&client, &v1, &amd64()).await.unwrap().pin;
    for round in 1..=3 {
        server.expire_tokens();
        client.image(&pin).await.unwrap();
        assert_eq!(asked(&server, "/jwt/auth"), 1 + round);
    }
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_without_a_401() {
    // a token that lives 0 seconds is worn at once: each request asks for a new one first
    let config = Config { token_lifetime: std::time::Duration::ZERO, ..config() };
    let server = StandIn::start(config).await.unwrap();
    let made = put(server.images(), PROJECT, "one", "linux/amd64");
    server.images().tag(PROJECT, "v1", made.manifest);
    let client = client(&server, good());
    let v1 = reference(server.address(), "group/project:v1");
    let pin = resolve(&client, &v1, &amd64()).await.unwrap().pin;
    client.image(&pin).await.unwrap();
    let seen = server.seen();
    // manifest, configuration, and once more whether it is still there
    assert_eq!(asked(&server, "/jwt/auth"), 3, "{seen:?}");
    let refused = seen.iter().filter(|seen| seen.authorized && seen.status == 401).count();
    assert_eq!(refused, 0, "{seen:?}");
}

#[tokio::test]
async fn errors_say_what_where_and_what_to_try() {
    let server = stand_in().await;
    let made = put(server.images(), PROJECT, "one", "linux/amd64");
    put(server.images(), "other/closed", "two", "linux/amd64");
    server.images().tag(PROJECT, "v1", made.manifest);
    let nowhere = Digest::of(b"nowhere");
    let code_only = || vec![candidate("code-only", "gldt-code", &[])];
    let wrong = || vec![candidate(USER, "gldt-wrong", &[])];
    for (offered, rest, kind, words) in [
        (
            good(),
            "group/project:gone".to_owned(),
            Kind::NotFound,
            vec!["tag gone does not exist", "MANIFEST_UNKNOWN"],
        ),
        (
            good(),
            format!("group/project@{nowhere}"),
            Kind::NotFound,
            vec!["does not exist", "docker inspect"],
        ),
        (
            good(),
            "other/closed:v1".into(),
            Kind::NotFound,
            vec!["does not exist, or may not be read", "moorline login"],
        ),
        (
            good(),
            "no/such/project:v1".into(),
            Kind::NotFound,
            vec!["does not exist, or may not be read"],
        ),
        (vec![], "group/project:v1".into(), Kind::NotFound, vec!["anonymous", "moorline login"]),
        (
            wrong(),
            "group/project:v1".into(),
            Kind::Denied,
            vec!["refused user", "UNAUTHORIZED", "exactly"],
        ),
        (
            code_only(),
            "group/project:v1".into(),
            Kind::Denied,
            vec!["no registry scope", "DENIED", "read_registry"],
        ),
    ] {
        let client = client(&server, offered);
        let asked_for = reference(server.address(), &rest);
        let error = resolve(&client, &asked_for, &amd64()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = format!("{error}\nhint: {}", error.hint().unwrap_or_default());
        assert!(text.contains(&asked_for.to_string()), "{text}");
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
        assert!(!text.contains("gldt-"), "{text}");
    }
}

#[tokio::test]
async fn hosts_that_are_not_there() {
    let client = Client::new(Options { patience: patience(), ..Options::default() }).unwrap();
    let unknown = reference("registry.invalid", "a/b:v1");
    let error = resolve(&client, &unknown, &amd64()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Network);
    assert!(error.to_string().contains("unknown host registry.invalid"), "{error}");
    // a port that was free a moment ago
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = resolve(&client, &reference(address, "a/b:v1"), &amd64()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Network);
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_public_project_needs_no_credential() {
    let server = stand_in().await;
    let made = put(server.images(), "group/open", "one", "linux/amd64");
    server.images().tag("group/open", "v1", made.manifest);
    // a plain client: nothing is listed, nothing was declared as ours
    let client = Client::new(offering(vec![])).unwrap();
    let open = reference(server.address(), "group/open:v1");
    assert_eq!(resolve(&client, &open, &amd64()).await.unwrap().pin.manifest, made.manifest);
}

#[tokio::test]
async fn plain_http_on_loopback_gets_no_credential_without_the_flag() {
    let server = stand_in().await;
    let made = put(server.images(), PROJECT, "one", "linux/amd64");
    server.images().tag(PROJECT, "v1", made.manifest);
    let v1 = reference(server.address(), "group/project:v1");
    let error = resolve(&Client::new(offering(good())).unwrap(), &v1, &amd64()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.hint().unwrap().contains("--insecure-registry"), "{error}");
    assert!(server.seen().iter().all(|seen| !seen.authorized), "{:?}", server.seen());
    let insecure = vec![server.address().to_string().parse().unwrap()];
    let flagged = Client::new(Options { insecure, ..offering(good()) }).unwrap();
    assert_eq!(resolve(&flagged, &v1, &amd64()).await.unwrap().pin.manifest, made.manifest);
}

#[tokio::test]
async fn not_granted_moves_on_and_refused_stops() {
    let mut config = config();
    config.deploy_tokens.push(token("closed", "gldt-c", &[Scope::ReadRegistry], "other/closed"));
    let server = StandIn::start(config).await.unwrap();
    let made = put(server.images(), "other/closed", "one", "linux/amd64");
    server.images().tag("other/closed", "v1", made.manifest);
    let v1 = reference(server.address(), "other/closed:v1");
    let right = candidate("closed", "gldt-c", &[]);
    let known = candidate(USER, SECRET, &[]);
    let without_scope = candidate("code-only", "gldt-code", &[]);
    let moved = client(&server, vec![known, without_scope, right.clone()]);
    assert_eq!(resolve(&moved, &v1, &amd64()).await.unwrap().pin.manifest, made.manifest);
    let stopped = client(&server, vec![candidate(USER, "wrong", &[]), right]);
    let error = resolve(&stopped, &v1, &amd64()).await.unwrap_err();
    assert!(
        matches!(&error, ResolveError::Registry { reason: RegistryError::Refused { .. }, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_refused_credential_is_tried_once_in_a_run() {
    let server = stand_in().await;
    let client = client(&server, vec![candidate(USER, "wrong", &[])]);
    let wanted: Vec<_> = (0..40)
        .map(|i| (reference(server.address(), &format!("team{i}/project{i}:v1")), amd64()))
        .collect();
    for answer in resolve_many(&client, &wanted).await {
        assert_eq!(answer.unwrap_err().kind(), Kind::Denied);
    }
    assert_eq!(asked(&server, "/jwt/auth"), 1);
}

#[tokio::test]
async fn login_checks_a_credential_at_once() {
    let server = stand_in().await;
    let client = client(&server, vec![]);
    let host = registry(server.address());
    let realm = client.realm(&host, None).await.unwrap().unwrap();
    assert_eq!(realm, server.realm().parse().unwrap());
    let check = |prefix: &str, candidate| {
        let (client, host, prefix) = (client.clone(), host.clone(), repository(prefix));
        async move { client.check(&host, &[prefix], candidate).await }
    };
    let right = candidate(USER, SECRET, &[]);
    let granted = check(PROJECT, right.clone()).await.unwrap();
    assert_eq!(granted, Grant::Pulls(vec![repository(PROJECT)]));
    assert_eq!(check("group", right.clone()).await.unwrap(), Grant::Known);
    assert_eq!(client.check(&host, &[], right).await.unwrap(), Grant::Known);
    let wrong = check(PROJECT, candidate(USER, "wrong", &[])).await.unwrap_err();
    assert!(matches!(wrong, RegistryError::Refused { .. }), "{wrong}");
    let kind = check(PROJECT, candidate("code-only", "gldt-code", &[])).await.unwrap_err();
    assert!(matches!(kind, RegistryError::NoRegistryScope { .. }), "{kind}");
}

/// What `docker inspect` prints as Id is the configuration's digest, and no manifest has it.
#[tokio::test]
async fn an_image_id_is_not_taken_for_a_digest() {
    let server = stand_in().await;
    let made = put(server.images(), PROJECT, "one", "linux/amd64");
    let client = client(&server, good());
    let wrong = reference(server.address(), &format!("{PROJECT}@{}", made.config));
    let error = resolve(&client, &wrong, &amd64()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.hint().unwrap().contains("image id"), "{:?}", error.hint());
}

#[tokio::test]
async fn tags_are_listed() {
    let server = stand_in().await;
    let made = put(server.images(), PROJECT, "one", "linux/amd64");
    for tag in ["b", "a"] {
        server.images().tag(PROJECT, tag, made.manifest);
    }
    let client = client(&server, good());
    let host = registry(server.address());
    let tags = client.tags(&host, &repository(PROJECT)).await.unwrap();
    assert_eq!(tags.iter().map(moorline::oci::Tag::as_str).collect::<Vec<_>>(), ["a", "b"]);
    let empty = client.tags(&host, &repository("group/project/empty")).await.unwrap_err();
    assert!(matches!(empty, RegistryError::Missing { .. }), "{empty}");
}

#[tokio::test]
async fn an_oci_layout_on_disk_is_served() {
    let folder = tempfile::tempdir().unwrap();
    write_layout(folder.path());
    let server = stand_in().await;
    server.images().load_layout(folder.path(), PROJECT).unwrap();
    let client = client(&server, good());
    let latest = reference(server.address(), "group/project:multi");
    let resolved = resolve(&client, &latest, &amd64()).await.unwrap();
    assert!(resolved.pin.index.is_some());
}

#[tokio::test]
async fn artifacts_are_no_images() {
    let server = stand_in().await;
    let images = server.images();
    let (manifest, config, layer) = image("x", "linux/amd64");
    images.put_blob(config);
    images.put_blob(layer);
    let artifact = String::from_utf8(manifest)
        .unwrap()
        .replace(media_type::OCI_CONFIG, "application/vnd.sylabs.sif.config.v1+json");
    let digest = images.put_manifest(PROJECT, media_type::OCI_MANIFEST, artifact);
    images.tag(PROJECT, "sif", digest);
    let client = client(&server, good());
    let error = resolve(&client, &reference(server.address(), "group/project:sif"), &amd64()).await;
    assert_eq!(error.unwrap_err().kind(), Kind::Conversion);
    // an index that has nothing but an empty index
    let inner = index(&[]);
    let size = inner.len();
    let inner = images.put_manifest(PROJECT, media_type::OCI_INDEX, inner);
    let outer = index(&[(&inner, size, "linux/amd64")]);
    let outer = String::from_utf8(outer).unwrap();
    let outer = images.put_manifest(PROJECT, media_type::OCI_INDEX, outer);
    let nested = reference(server.address(), &format!("group/project@{outer}"));
    let error = resolve(&client, &nested, &amd64()).await.unwrap_err();
    assert!(matches!(error, ResolveError::Platform { .. }), "{error}");
    assert!(error.hint().is_none(), "nothing can be offered");
    assert!(
        client
            .manifest(&registry(server.address()), &repository(PROJECT), &Wanted::Digest(outer))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn the_stand_in_stays_on_loopback() {
    let listen = "0.0.0.0:0".parse().unwrap();
    assert!(StandIn::start(Config { listen, ..config() }).await.is_err());
    assert_eq!(project("a", Visibility::default()).visibility, Visibility::Private);
}
