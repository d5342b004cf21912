//! HEAD first: what it saves, when it is not sent, and that its digest is only a question.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use moorline::failure::Kind;
use moorline::oci::{Digest, Sha256Digest, media_type};
use moorline::registry::{Client, Kept, Options, RegistryError, TagMemory, Wanted};
use moorline::resolve::resolve;
use moorline::standin::Running;

use crate::common::*;
use crate::liar::{Answer, Liar, manifest_type, ok, with};
use moorline::failure::Failure;

/// Method and last part of the path of each request that was let through.
fn asked(server: &Running) -> Vec<String> {
    let seen = server.seen();
    let granted = seen.iter().filter(|seen| seen.status == 200 && seen.target.starts_with("/v2/"));
    granted
        .map(|seen| {
            let kind = seen.target.rsplit('/').nth(1).unwrap().to_owned();
            format!("{} {kind}", seen.method)
        })
        .collect()
}

fn kept(documents: impl IntoIterator<Item = Vec<u8>>) -> Kept {
    let documents: BTreeMap<Digest, Vec<u8>> =
        documents.into_iter().map(|bytes| (Digest::of(&bytes), bytes)).collect();
    Arc::new(move |digest| documents.get(digest).cloned())
}

fn memory(noted: &Arc<Mutex<BTreeMap<String, Digest>>>) -> TagMemory {
    let (read, written) = (Arc::clone(noted), Arc::clone(noted));
    TagMemory {
        look: Arc::new(move |name| read.lock().unwrap().get(name).copied()),
        note: Arc::new(move |name, digest| {
            written.lock().unwrap().insert(name.to_owned(), *digest);
        }),
    }
}

#[tokio::test]
async fn what_is_known_is_not_fetched_again() {
    let server = stand_in().await;
    let made = put(server.images(), PROJECT, "one", "linux/amd64");
    for tag in ["v1", "v2"] {
        server.images().tag(PROJECT, tag, made.manifest);
    }
    let v1 = reference(server.address(), "group/project:v1");
    let v2 = reference(server.address(), "group/project:v2");
    let by_digest = reference(server.address(), &format!("group/project@{}", made.manifest));
    let first = client(&server, good());
    let pin = resolve(&first, &v1, &amd64()).await.unwrap().pin;
    // never seen: no HEAD for what is fetched anyway
    assert_eq!(asked(&server), ["GET manifests", "GET blobs"]);
    // the same tag, and the digest, in the same run: one HEAD each says that it is there
    for again in [&v1, &by_digest] {
        let before = asked(&server).len();
        assert_eq!(resolve(&first, again, &amd64()).await.unwrap().pin.manifest, pin.manifest);
        assert_eq!(asked(&server)[before..], ["HEAD manifests"]);
    }
    // another tag of it is as new as any; its configuration is known
    let before = asked(&server).len();
    assert_eq!(resolve(&first, &v2, &amd64()).await.unwrap().pin.manifest, pin.manifest);
    assert_eq!(asked(&server)[before..], ["GET manifests"]);
    // other runs that have the documents in their store: the first one has not seen the tag
    let (_, config, _) = image("one", "linux/amd64");
    let noted: Arc<Mutex<BTreeMap<String, Digest>>> = Arc::default();
    for method in ["GET", "HEAD"] {
        let options = Options {
            started_here: vec![registry(server.address())],
            kept: Some(kept([made.manifest_bytes.clone(), config.clone()])),
            tags: Some(memory(&noted)),
            ..offering(good())
        };
        let before = server.seen().len();
        let resolved = resolve(&Client::new(options).unwrap(), &v1, &amd64()).await.unwrap();
        assert_eq!((resolved.pin.manifest, resolved.pin.config), (pin.manifest, pin.config));
        let seen = server.seen();
        // challenge, token, answer: as few as a tool that asks for the digest alone
        let methods: Vec<_> = seen[before..].iter().map(|seen| seen.method.as_str()).collect();
        assert_eq!(methods, [method, "GET", method], "{seen:?}");
    }
    assert_eq!(noted.lock().unwrap()[&v1.to_string()], made.manifest);
}

/// A tag that was seen names another image by now: the HEAD says so, and that one is fetched.
#[tokio::test]
async fn a_tag_that_moved_is_fetched_by_its_new_digest() {
    let server = stand_in().await;
    let old = put(server.images(), PROJECT, "old", "linux/amd64");
    let new = put(server.images(), PROJECT, "new", "linux/amd64");
    server.images().tag(PROJECT, "v1", new.manifest);
    let v1 = reference(server.address(), "group/project:v1");
    let noted = Arc::new(Mutex::new(BTreeMap::from([(v1.to_string(), old.manifest)])));
    let options = Options {
        started_here: vec![registry(server.address())],
        kept: Some(kept([old.manifest_bytes])),
        tags: Some(memory(&noted)),
        ..offering(good())
    };
    let resolved = resolve(&Client::new(options).unwrap(), &v1, &amd64()).await.unwrap();
    assert_eq!(resolved.pin.manifest, new.manifest);
    assert_eq!(asked(&server), ["HEAD manifests", "GET manifests", "GET blobs"]);
    // only what the caller keeps is worth a note
    assert_eq!(noted.lock().unwrap()[&v1.to_string()], old.manifest);
}

#[tokio::test]
async fn what_is_known_does_not_open_a_closed_door() {
    let server = stand_in().await;
    let made = put(server.images(), PROJECT, "one", "linux/amd64");
    server.images().tag(PROJECT, "v1", made.manifest);
    let documents = || Some(kept([made.manifest_bytes.clone(), image("one", "linux/amd64").1]));
    let by_digest = format!("group/project@{}", made.manifest);
    for rest in ["group/project:v1", &by_digest] {
        let started_here = vec![registry(server.address())];
        let options = Options { started_here, kept: documents(), ..offering(vec![]) };
        let asked_for = reference(server.address(), rest);
        let error = resolve(&Client::new(options).unwrap(), &asked_for, &amd64()).await;
        assert_eq!(error.unwrap_err().kind(), Kind::NotFound, "{rest}");
    }
    // the manifest is known, and gone from the registry
    let gone = image("never pushed", "linux/amd64").0;
    let options = Options {
        started_here: vec![registry(server.address())],
        kept: Some(kept([gone.clone()])),
        ..offering(good())
    };
    let asked_for = format!("group/project@{}", Digest::of(&gone));
    let asked_for = reference(server.address(), &asked_for);
    let error = resolve(&Client::new(options).unwrap(), &asked_for, &amd64()).await.unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
}

#[tokio::test]
async fn what_is_kept_is_hashed_before_it_counts() {
    let server = stand_in().await;
    let made = put(server.images(), PROJECT, "one", "linux/amd64");
    server.images().tag(PROJECT, "v1", made.manifest);
    let rotten: Kept = Arc::new(|_| Some(image("another", "linux/amd64").0));
    let started_here = vec![registry(server.address())];
    let options = Options { started_here, kept: Some(rotten), ..offering(good()) };
    let v1 = reference(server.address(), "group/project:v1");
    let resolved = resolve(&Client::new(options).unwrap(), &v1, &amd64()).await.unwrap();
    assert_eq!(resolved.pin.manifest, made.manifest);
    assert_eq!(asked(&server), ["GET manifests", "GET blobs"]);
}

async fn fetch(client: &Client, liar: &Liar) -> Result<Digest, RegistryError> {
    let tag = Wanted::Tag("v1".parse().unwrap());
    let (at, name) = (registry(liar.address), repository("a/b"));
    client.manifest(&at, &name, &tag).await.map(|fetched| fetched.digest)
}

/// A client that knows what the tag named, so that it asks with HEAD first.
fn knowing(liar: &Liar, bytes: Vec<u8>) -> Client {
    let name = format!("{}/a/b:v1", liar.address);
    let noted = Arc::new(Mutex::new(BTreeMap::from([(name, Digest::of(&bytes))])));
    let (tags, kept) = (Some(memory(&noted)), Some(kept([bytes])));
    let started_here = vec![registry(liar.address)];
    Client::new(Options { started_here, kept, tags, ..offering(vec![]) }).unwrap()
}

fn methods(liar: &Liar) -> Vec<String> {
    liar.heard().iter().map(|heard| heard.method.clone()).collect()
}

#[tokio::test]
async fn a_registry_that_refuses_head_is_asked_with_get() {
    let (bytes, _, _) = image("x", "linux/amd64");
    let digest = Digest::of(&bytes);
    let claimed = format!("Docker-Content-Digest: {digest}\r\n");
    for (refusal, headers, learns) in [
        ("405 Method Not Allowed", "", true),
        ("501 Not Implemented", "", true),
        ("400 Bad Request", "", true),
        ("200 OK", "", true), // without a digest
        ("200 OK", "Docker-Content-Digest: sha512:00\r\n", true),
        ("404 Not Found", "", false),
    ] {
        let answer = bytes.clone();
        let get = manifest_type(media_type::OCI_MANIFEST) + &claimed;
        let liar = Liar::start(move |heard, _| match heard.method.as_str() {
            "HEAD" => with(refusal, &format!("{headers}Content-Length: 0\r\n"), b""),
            _ => ok(&get, &answer),
        })
        .await;
        let client = knowing(&liar, bytes.clone());
        for _ in 0..2 {
            assert_eq!(fetch(&client, &liar).await.unwrap(), digest, "{refusal}");
        }
        let expected: &[&str] =
            if learns { &["HEAD", "GET", "GET"] } else { &["HEAD", "GET", "HEAD", "GET"] };
        // a 501 is no status that is tried again
        assert_eq!(methods(&liar), expected, "{refusal}");
    }
}

#[tokio::test]
async fn an_error_is_told_in_the_registrys_own_words() {
    let body = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;
    let length = format!("Content-Length: {}\r\n", body.len());
    let liar = Liar::start(move |heard, _| {
        let body: &[u8] = if heard.method == "HEAD" { b"" } else { body };
        with("429 Too Many Requests", &length, body)
    })
    .await;
    let known = image("x", "linux/amd64").0;
    let error = fetch(&knowing(&liar, known), &liar).await.unwrap_err();
    assert!(error.to_string().contains("TOOMANYREQUESTS: slow down"), "{error}");
    // three tries, and one request more for the words
    assert_eq!(methods(&liar), ["HEAD", "HEAD", "HEAD", "GET"]);
    // never seen: the words come at once
    let error = fetch(&liar.client(vec![]), &liar).await.unwrap_err();
    assert!(error.to_string().contains("TOOMANYREQUESTS: slow down"), "{error}");
    assert_eq!(methods(&liar)[4..], ["GET", "GET", "GET"]);
}

#[tokio::test]
async fn the_digest_of_a_head_is_checked_against_the_bytes() {
    let (bytes, _, _) = image("x", "linux/amd64");
    let other = Digest::of(b"y");
    let liar = Liar::start(move |heard, _| match heard.method.as_str() {
        "HEAD" => {
            Answer::Raw(format!("HTTP/1.1 200 OK\r\nConnection: close\r\nDocker-Content-Digest: {other}\r\nContent-Length: {}\r\n\r\n", bytes.len()).into())
        }
        _ => ok(&manifest_type(media_type::OCI_MANIFEST), &bytes),
    })
    .await;
    let known = image("z", "linux/amd64").0;
    let error = fetch(&knowing(&liar, known), &liar).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity, "{error}");
    assert_eq!(liar.heard()[1].target, format!("/v2/a/b/manifests/{other}"));
}

#[tokio::test]
async fn a_head_that_calls_a_known_digest_by_another_name_is_an_error() {
    let (bytes, _, _) = image("x", "linux/amd64");
    let (digest, other) = (Digest::of(&bytes), Digest::of(b"y"));
    let claimed = format!("Docker-Content-Digest: {other}\r\n");
    let liar = Liar::start(move |_, _| ok(&claimed, b"")).await;
    let started_here = vec![registry(liar.address)];
    let options = Options { started_here, kept: Some(kept([bytes])), ..offering(vec![]) };
    let (at, name) = (registry(liar.address), repository("a/b"));
    let wanted = Wanted::Digest(digest);
    let error = Client::new(options).unwrap().manifest(&at, &name, &wanted).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity, "{error}");
}
