//! More than this program takes: each limit is named by its key.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use moorline::failure::{Failure, Kind};
use moorline::oci::media_type;
use moorline::registry::{Client, Options, RegistryError};

use crate::common::*;
use crate::liar::{Answer, Liar, challenge, descriptor, manifest, manifest_type, ok, tag};

#[tokio::test]
async fn bodies_without_end_are_cut_off() {
    const OK: &str = "HTTP/1.1 200 OK\r\n";
    let liar = Liar::start(|_, _| Answer::Endless(OK)).await;
    let error = manifest(&liar, tag()).await.unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { limit: 4_194_304, .. }), "{error}");
    assert!(error.to_string().contains("limits.manifest_bytes"), "{error}");
    let stated = "HTTP/1.1 200 OK\r\nContent-Length: 4194305\r\n\r\n";
    let liar = Liar::start(move |_, _| Answer::Raw(stated.into())).await;
    assert!(matches!(manifest(&liar, tag()).await, Err(RegistryError::TooLarge { .. })));
    let liar = Liar::start(|_, _| Answer::Endless("HTTP/1.1 418 Teapot\r\n")).await;
    let error = manifest(&liar, tag()).await.unwrap_err();
    assert!(error.to_string().contains("status 418"), "{error}");
    let liar = Liar::start(|heard, _| match heard.target.as_str() {
        "/v2/a/b/manifests/v1" => challenge("/token"),
        _ => Answer::Endless(OK),
    })
    .await;
    assert!(matches!(manifest(&liar, tag()).await, Err(RegistryError::ForbiddenRealm { .. })));
    let (token, address) = token_server(|| Answer::Endless(OK)).await;
    let error = manifest(&token, tag()).await.unwrap_err();
    assert!(
        matches!(&error, RegistryError::TooLarge { what, .. } if what.contains("token")),
        "{error}"
    );
    assert!(address.port() > 0);
}

/// A registry whose token realm, at its own address, answers as told.
async fn token_server(answer: fn() -> Answer) -> (Liar, SocketAddr) {
    let own: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
    let address = Arc::clone(&own);
    let liar = Liar::start(move |heard, _| {
        let own = address.lock().unwrap().unwrap();
        if heard.target.starts_with("/v2/") {
            challenge(&format!("http://{own}/token"))
        } else {
            answer()
        }
    })
    .await;
    *own.lock().unwrap() = Some(liar.address);
    let address = liar.address;
    (liar, address)
}

/// Documents of a right size that name more than anybody needs.
#[tokio::test]
async fn too_many_layers_and_entries() {
    let layers: Vec<_> = (0..2000_u32).map(|i| descriptor(&i.to_be_bytes())).collect();
    let config = descriptor(b"config");
    let made = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": layers,
    });
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": layers,
    });
    for (media_type, document, key) in [
        (media_type::OCI_MANIFEST, made, "limits.layers"),
        (media_type::OCI_INDEX, index, "limits.index_entries"),
    ] {
        let body = serde_json::to_vec(&document).unwrap();
        let liar = Liar::start(move |_, _| ok(&manifest_type(media_type), &body)).await;
        let error = manifest(&liar, tag()).await.unwrap_err();
        assert!(matches!(&error, RegistryError::TooMany { limit: 1000, .. }), "{error}");
        assert!(error.to_string().contains(key), "{error}");
        assert_eq!(error.kind(), Kind::Integrity);
        // whoever has such an image says so
        let mut limits = moorline::registry::Limits::default();
        assert!(limits.set(key.strip_prefix("limits.").unwrap(), 2000));
        let started_here = vec![registry(liar.address)];
        let options = Options { started_here, limits, ..offering(vec![]) };
        let (at, name) = (registry(liar.address), repository("a/b"));
        assert!(Client::new(options).unwrap().manifest(&at, &name, &tag()).await.is_ok(), "{key}");
    }
}

/// Every limit of the configuration is named in the error of what is larger.
#[tokio::test]
async fn a_lowered_limit_names_its_key() {
    let (bytes, config, _) = image("x", "linux/amd64");
    let liar = Liar::start(move |heard, _| match &heard.target {
        target if target.starts_with("/token") => ok("", br#"{"token":"right"}"#),
        _ if heard.authorization.is_none() => {
            challenge(&format!("http://{}/token", heard.host.as_deref().unwrap()))
        }
        target if target.contains("/blobs/") => ok("", &config),
        _ => ok(&manifest_type(media_type::OCI_MANIFEST), &bytes),
    })
    .await;
    for name in ["manifest_bytes", "config_bytes", "token_bytes"] {
        let mut limits = moorline::registry::Limits::default();
        assert!(limits.lower(name, 10) && limits.lower(name, 1 << 40) && !limits.set("x", 1));
        let started_here = vec![registry(liar.address)];
        let client = Client::new(Options { started_here, limits, ..offering(vec![]) }).unwrap();
        let asked = reference(liar.address, "a/b:v1");
        let error = moorline::resolve::resolve(&client, &asked, &amd64()).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains(&format!("limit of 10 bytes (limits.{name})")), "{name}: {said}");
    }
}
