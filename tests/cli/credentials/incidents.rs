//! Published incidents of other clients, replayed against this one.

use std::sync::Arc;

use moorline::oci::{Digest, Sha256Digest, media_type};
use moorline::registry::{Options, RegistryError, Wanted};
use moorline::resolve::resolve;
use moorline::secret::Candidates;
use serde_json::json;

use crate::credentials::common::*;

fn tag() -> Wanted {
    Wanted::Tag("v1".parse().unwrap())
}

fn document(media_type: &str, body: &str) -> Vec<u8> {
    answer("200 OK", &format!("Content-Type: {media_type}\r\n"), body.as_bytes())
}

/// Serves one manifest to everybody and says what came of resolving it and fetching its parts.
fn served(media_type: &str, body: &serde_json::Value) -> (Recorder, Result<String, String>) {
    let (kind, text) = (media_type.to_owned(), body.to_string());
    let registry = Recorder::start(move |head, _| {
        if head.contains("/manifests/v1") {
            document(&kind, &text)
        } else {
            answer("404 Not Found", "", b"")
        }
    });
    let reference = format!("{}/{PROJECT}:v1", registry.address).parse().unwrap();
    let client = client(&registry, candidate(&[]));
    let done = block_on(async {
        let resolved = resolve(&client, &reference, &"linux/amd64".parse().unwrap())
            .await
            .map_err(|e| e.to_string())?;
        client.image(&resolved.pin).await.map(|i| format!("{i:?}")).map_err(|e| e.to_string())
    });
    (registry, done)
}

#[test]
fn cve_2024_3727_a_digest_that_is_a_path() {
    for digest in [
        "sha256:../../../../etc/passwd",
        "sha256:../../x",
        "sha256:",
        "sha256:/etc/passwd",
        "../../x",
        "sha256:%2e%2e%2f",
        "sha256:0123",
        "sha512:../../x",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a0/",
    ] {
        for part in ["config", "layer", "index"] {
            let good = Digest::of(b"x").to_string();
            let of = |name: &str| if part == name { digest } else { good.as_str() };
            let (kind, body) = if part == "index" {
                (
                    media_type::OCI_INDEX,
                    json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [
                    { "mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": 1,
                      "platform": { "os": "linux", "architecture": "amd64" } }] }),
                )
            } else {
                (
                    media_type::OCI_MANIFEST,
                    json!({ "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
                    "config": { "mediaType": media_type::OCI_CONFIG, "digest": of("config"), "size": 1 },
                    "layers": [{ "mediaType": media_type::OCI_LAYER, "digest": of("layer"), "size": 1 }] }),
                )
            };
            let (registry, done) = served(kind, &body);
            assert!(done.is_err(), "{part} {digest}: {done:?}");
            let heard = registry.heard();
            assert!(
                heard.iter().all(|head| head.contains("/manifests/v1")),
                "{part} {digest}: a follow-up request: {heard:?}"
            );
        }
    }
}

#[test]
fn cve_2021_41190_a_manifest_that_is_also_an_index() {
    let digest = Digest::of(b"x").to_string();
    let both = |media_type: Option<&str>| {
        let mut body = json!({
            "schemaVersion": 2,
            "config": { "mediaType": media_type::OCI_CONFIG, "digest": digest, "size": 1 },
            "layers": [{ "mediaType": media_type::OCI_LAYER, "digest": digest, "size": 1 }],
            "manifests": [{ "mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": 1,
                            "platform": { "os": "linux", "architecture": "amd64" } }],
        });
        if let Some(media_type) = media_type {
            body["mediaType"] = media_type.into();
        }
        body
    };
    for (header, inside) in [
        (media_type::OCI_MANIFEST, None),
        (media_type::OCI_INDEX, None),
        (media_type::OCI_MANIFEST, Some(media_type::OCI_MANIFEST)),
        (media_type::OCI_INDEX, Some(media_type::OCI_INDEX)),
        (media_type::OCI_MANIFEST, Some(media_type::OCI_INDEX)),
        (media_type::OCI_INDEX, Some(media_type::OCI_MANIFEST)),
    ] {
        let (registry, done) = served(header, &both(inside));
        assert!(done.is_err(), "{header} {inside:?}: {done:?}");
        let heard = registry.heard();
        let fetched = heard.iter().filter(|head| head.starts_with("GET ")).count();
        assert_eq!(fetched, 1, "{header} {inside:?}: a follow-up request: {heard:?}");
    }
}

/// A layer that is to be fetched elsewhere: its URLs are never asked, so they cannot ask for a
/// credential.
#[test]
fn cve_2020_15157_a_foreign_layer_asks_for_credentials() {
    let evil = Recorder::start(|_, _| challenge(&["Basic realm=\"x\"".to_owned()]));
    for kind in [
        media_type::OCI_LAYER,
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ] {
        let config =
            br#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#;
        let layer = json!({ "mediaType": kind, "digest": Digest::of(b"x").to_string(), "size": 1,
            "urls": [format!("http://{}/layer", evil.address)] });
        let body = json!({ "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": { "mediaType": media_type::OCI_CONFIG, "digest": Digest::of(config).to_string(), "size": config.len() },
            "layers": [layer] })
        .to_string();
        let registry = Recorder::start(move |head, _| {
            if head.contains("/manifests/") {
                document(media_type::OCI_MANIFEST, &body)
            } else if head.contains(&Digest::of(config).to_string()) {
                answer("200 OK", "", config)
            } else {
                answer("404 Not Found", "", b"")
            }
        });
        let name = registry.address.to_string().parse().unwrap();
        let repository = PROJECT.parse().unwrap();
        let client = client(&registry, candidate(&[&evil]));
        let descriptor = serde_json::from_value(layer).unwrap();
        block_on(async {
            // refused early, or not: the blob is asked of the registry alone
            let _ = client.manifest(&name, &repository, &tag()).await;
            client.blob(&name, &repository, &descriptor, &mut Vec::new()).await.unwrap_err();
        });
    }
    assert_eq!(evil.heard(), [""; 0]);
}

#[test]
fn cve_2022_23538_a_redirect_to_another_host_sees_no_authorization() {
    for status in ["302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let storage = Recorder::start(|_, _| answer("200 OK", "", b"x"));
        let good = Recorder::start(|_, _| token_answer());
        let location = format!("Location: http://{}/bucket/x?signature=1\r\n", storage.address);
        let realm = vec![bearer(&format!("http://{}/token", good.address))];
        let registry = Recorder::start(move |head, _| {
            if is_authorized(head) { answer(status, &location, b"") } else { challenge(&realm) }
        });
        let client = client(&registry, candidate(&[&good]));
        let descriptor = serde_json::from_value(json!({ "mediaType": media_type::OCI_LAYER,
            "digest": Digest::of(b"x").to_string(), "size": 1 }))
        .unwrap();
        let mut out = Vec::new();
        let (name, repository) =
            (registry.address.to_string().parse().unwrap(), PROJECT.parse().unwrap());
        block_on(client.blob(&name, &repository, &descriptor, &mut out)).unwrap();
        assert_eq!(out, b"x");
        let heard = storage.heard();
        assert_eq!(heard.len(), 1);
        assert!(!is_authorized(&heard[0]), "{}", heard[0]);
        assert_clean(&heard[0], status);
        // the token did go to the registry, so the test looks at something
        assert!(registry.heard().iter().any(|head| head.contains(TOKEN)));
    }
}

/// To another name of the same machine, and to another scheme of the same host and port: both are
/// somebody else.
#[test]
fn cve_2022_23538_another_name_and_another_scheme_see_no_authorization() {
    let storage = Recorder::start(|_, _| answer("200 OK", "", b"x"));
    let good = Recorder::start(|_, _| token_answer());
    for (case, scheme, own) in [
        ("another name", "http://localhost", false),
        ("another scheme", "https://127.0.0.1", false),
        ("another scheme of the registry itself", "https://127.0.0.1", true),
        ("another name of the registry itself", "http://localhost", true),
    ] {
        let realm = vec![bearer(&format!("http://{}/token", good.address))];
        let elsewhere = storage.address.port();
        let registry = Recorder::start(move |head, _| {
            if head.contains("/bucket/") {
                return answer("200 OK", "", b"x");
            }
            if !is_authorized(head) {
                return challenge(&realm);
            }
            let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
            let own_port = host.rsplit(':').next().unwrap().to_owned();
            let port = if own { own_port } else { elsewhere.to_string() };
            answer(
                "307 Temporary Redirect",
                &format!("Location: {scheme}:{port}/bucket/x\r\n"),
                b"",
            )
        });
        let client = client(&registry, candidate(&[&good]));
        let descriptor = serde_json::from_value(json!({ "mediaType": media_type::OCI_LAYER,
            "digest": Digest::of(b"x").to_string(), "size": 1 }))
        .unwrap();
        let (name, repository) =
            (registry.address.to_string().parse().unwrap(), PROJECT.parse().unwrap());
        let mut out = Vec::new();
        let came = block_on(client.blob(&name, &repository, &descriptor, &mut out));
        assert_eq!(came.is_ok(), scheme.starts_with("http:"), "{case}: {came:?}");
        let heard = registry.heard();
        assert!(heard.iter().any(|head| is_authorized(head)), "{case}: the token was sent at all");
        let moved = heard.iter().filter(|head| !head.contains("/v2/"));
        for head in moved.chain(&storage.heard()) {
            assert!(!is_authorized(head), "{case}: {head}");
            assert_clean(head, case);
        }
    }
    assert!(storage.heard().len() >= 2, "both were asked");
}

/// With a credential nothing is asked of such a realm; without one neither, unless the registry
/// itself is on loopback.
#[test]
fn cve_2026_48978_a_realm_inside_the_network() {
    for realm in [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/",
        "http://10.0.0.1/",
        "https://192.168.0.1/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "http://gitlab.example/jwt/auth",
        "https://[::ffff:169.254.169.254]/",
        "https://2852039166/",
        "https://0xa9fea9fe/",
    ] {
        let hostile = vec![bearer(realm)];
        let registry = Recorder::start(move |_, _| challenge(&hostile));
        let (name, repository) =
            (registry.address.to_string().parse().unwrap(), PROJECT.parse().unwrap());
        let holder = client(&registry, candidate(&[]));
        let error = block_on(holder.manifest(&name, &repository, &tag())).unwrap_err();
        assert!(matches!(error, RegistryError::UnknownRealm { .. }), "{realm}: {error}");
        // nobody's credential: a confirmed one is not at hand, and the address is not asked either
        let nobody = moorline::registry::Client::new(moorline::registry::Options {
            started_here: vec![name.clone()],
            ..moorline::registry::Options::default()
        })
        .unwrap();
        let error = block_on(nobody.manifest(&name, &repository, &tag())).unwrap_err();
        assert!(matches!(error, RegistryError::ForbiddenRealm { .. }), "{realm}: {error}");
    }
    // led from https to http: the realm that was confirmed is another one
    let good = Recorder::start(|_, _| token_answer());
    let hostile = vec![bearer(&format!("http://{}/token", good.address))];
    let registry = Recorder::start(move |_, _| challenge(&hostile));
    let mut holder = candidate(&[]);
    holder.realms = vec![format!("https://{}", good.address).parse().unwrap()];
    let (name, repository) =
        (registry.address.to_string().parse().unwrap(), PROJECT.parse().unwrap());
    let client = client(&registry, holder);
    let error = block_on(client.manifest(&name, &repository, &tag())).unwrap_err();
    assert!(matches!(error, RegistryError::UnknownRealm { .. }), "{error}");
    assert_eq!(good.heard(), [""; 0]);
}

/// A registry that is elsewhere names a realm on this machine: nobody is knocked at there, with a
/// credential or without one.
#[test]
fn cve_2026_48978_a_realm_on_this_machine_of_a_registry_elsewhere() {
    let inside = Recorder::start(|_, _| token_answer());
    let port = inside.address.port();
    for realm in [
        format!("http://127.0.0.1:{port}/token"),
        format!("https://127.0.0.1:{port}/token"),
        format!("https://localhost:{port}/token"),
        format!("https://[::ffff:127.0.0.1]:{port}/token"),
        format!("https://[::1]:{port}/token"),
        format!("https://inside.example:{port}/token"),
    ] {
        let hostile = vec![bearer(&realm)];
        let registry = Recorder::start(move |_, _| challenge(&hostile));
        // by its name and the name service it is at a public address; the test's way there
        // leads to the recorder all the same, because its own name is listed
        let name = format!("registry.example:{}", registry.address.port());
        let names: moorline::registry::Names =
            Arc::new(|_| Ok(vec![std::net::Ipv4Addr::LOCALHOST.into()]));
        for held in [Some(candidate(&[])), None] {
            let offered: Vec<_> = held.clone().into_iter().collect();
            let options = Options {
                insecure: vec![name.parse().unwrap()],
                names: Arc::clone(&names),
                credentials: Arc::new(move |_, _| {
                    Ok(Candidates { offered: offered.clone(), skipped: Vec::new() })
                }),
                ..Options::default()
            };
            let client = moorline::registry::Client::new(options).unwrap();
            let (at, repository) = (name.parse().unwrap(), PROJECT.parse().unwrap());
            let error = block_on(client.manifest(&at, &repository, &tag())).unwrap_err();
            let right = match held {
                Some(_) => matches!(error, RegistryError::UnknownRealm { .. }),
                None => !matches!(error, RegistryError::Answer { .. }),
            };
            assert!(right, "{realm}: {error}");
        }
        assert!(!registry.heard().is_empty(), "{realm}");
        for head in registry.heard() {
            assert!(!is_authorized(&head), "{realm}: {head}");
        }
        if !realm.contains("inside.example") {
            assert_eq!(inside.heard(), [""; 0], "{realm}");
        }
    }
}

/// Bodies without an end are cut off at the limit (64 KiB in these tests).
#[test]
fn cve_2020_1702_bodies_without_an_end() {
    let endless = |status: &str| -> Vec<u8> {
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n");
        [head.into_bytes(), vec![b' '; 8 << 20]].concat()
    };
    for place in ["manifest", "token", "error"] {
        let body = endless(if place == "error" { "400 Bad Request" } else { "200 OK" });
        let token = if place == "token" { body.clone() } else { token_answer() };
        let good = Recorder::start(move |_, _| token.clone());
        let realm = vec![bearer(&format!("http://{}/token", good.address))];
        let registry =
            Recorder::start(
                move |head, _| {
                    if is_authorized(head) { body.clone() } else { challenge(&realm) }
                },
            );
        let client = client(&registry, candidate(&[&good]));
        let (name, repository) =
            (registry.address.to_string().parse().unwrap(), PROJECT.parse().unwrap());
        let error = block_on(client.manifest(&name, &repository, &tag())).unwrap_err();
        let cut = matches!(error, RegistryError::TooLarge { .. });
        assert!(cut || place == "error", "{place}: {error}");
        assert!(error.to_string().len() < 1000, "{place}");
    }
}
