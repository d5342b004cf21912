//! A registry that lies, cuts, redirects and floods: written by hand, byte for byte, so that it
//! can also say what no HTTP library would let it say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use moorline::failure::{Failure, Kind};
use moorline::oci::{Descriptor, Digest, Sha256Digest, media_type};
use moorline::registry::{Client, Options, RegistryError, Wanted};
use moorline::secret::Candidate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::common::*;

/// One request as it was heard.
#[derive(Clone, Debug)]
pub struct Heard {
    pub method: String,
    pub target: String,
    pub host: Option<String>,
    pub authorization: Option<String>,
    pub range: Option<String>,
    pub body: Vec<u8>,
}

pub enum Answer {
    /// These bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// The head, then chunks of 64 KiB until the client hangs up.
    Endless(&'static str),
    /// These bytes, then nothing more, and the connection stays open.
    Stall(Vec<u8>),
    /// Closed without a word.
    Nothing,
}

pub struct Liar {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Liar {
    /// Answers each request with what `script` says; it gets the request and its number from 0.
    pub async fn start(script: impl Fn(&Heard, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let log = Arc::clone(&heard);
        let script = Arc::new(script);
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                tokio::spawn(async move {
                    let mut top = Vec::new();
                    let mut buffer = [0; 4096];
                    while !top.windows(4).any(|w| w == b"\r\n\r\n") {
                        match stream.read(&mut buffer).await {
                            // 0x16: somebody tries TLS here
                            Ok(n) if n > 0 && (!top.is_empty() || buffer[0] != 0x16) => {
                                top.extend_from_slice(&buffer[..n]);
                            }
                            _ => return,
                        }
                    }
                    // a body that is announced is read to its end: closing must not reset
                    let end = top.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
                    let mut body = top.split_off(end);
                    let text = String::from_utf8(top).unwrap();
                    let header = |name: &str| {
                        text.lines()
                            .filter_map(|line| line.split_once(": "))
                            .find(|(n, _)| n.eq_ignore_ascii_case(name))
                            .map(|(_, value)| value.to_owned())
                    };
                    let announced = header("content-length").map_or(0, |n| n.parse().unwrap());
                    while body.len() < announced {
                        match stream.read(&mut buffer).await {
                            Ok(n) if n > 0 => body.extend_from_slice(&buffer[..n]),
                            _ => return,
                        }
                    }
                    let request = Heard {
                        body,
                        method: text.split(' ').next().unwrap().to_owned(),
                        target: text.split(' ').nth(1).unwrap().to_owned(),
                        host: header("host"),
                        authorization: header("authorization"),
                        range: header("range"),
                    };
                    let number = {
                        let mut log = log.lock().unwrap();
                        log.push(request.clone());
                        log.len() - 1
                    };
                    // the client may hang up at any time
                    let _ = match script(&request, number) {
                        Answer::Raw(bytes) => stream.write_all(&bytes).await,
                        Answer::Nothing => Ok(()),
                        Answer::Stall(bytes) => {
                            let sent = stream.write_all(&bytes).await;
                            // until the client hangs up
                            while matches!(stream.read(&mut buffer).await, Ok(n) if n > 0) {}
                            sent
                        }
                        Answer::Endless(top) => {
                            let top = format!("{top}Transfer-Encoding: chunked\r\n\r\n");
                            let mut sent = stream.write_all(top.as_bytes()).await;
                            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
                            while sent.is_ok() {
                                sent = stream.write_all(chunk.as_bytes()).await;
                            }
                            sent
                        }
                    };
                    // what was not read yet must not turn the close into a reset
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { address, heard, task }
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    pub fn client(&self, offered: Vec<Candidate>) -> Client {
        let started_here = vec![registry(self.address)];
        Client::new(Options { started_here, ..offering(offered) }).unwrap()
    }
}

pub fn ok(headers: &str, body: &[u8]) -> Answer {
    with("200 OK", &format!("{headers}Content-Length: {}\r\n", body.len()), body)
}

pub fn with(status: &str, headers: &str, body: &[u8]) -> Answer {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
    Answer::Raw([head.as_bytes(), body].concat())
}

pub fn manifest_type(media_type: &str) -> String {
    format!("Content-Type: {media_type}\r\n")
}

pub fn challenge(realm: &str) -> Answer {
    let header = format!(
        "WWW-Authenticate: Bearer realm=\"{realm}\",service=\"s\"\r\nContent-Length: 0\r\n"
    );
    with("401 Unauthorized", &header, b"")
}

pub fn descriptor(bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type::OCI_LAYER.into(),
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        annotations: BTreeMap::new(),
    }
}

pub async fn manifest(liar: &Liar, wanted: Wanted) -> Result<Digest, RegistryError> {
    let client = liar.client(vec![]);
    let fetched = client.manifest(&registry(liar.address), &repository("a/b"), &wanted).await?;
    Ok(fetched.digest)
}

pub fn tag() -> Wanted {
    Wanted::Tag("v1".parse().unwrap())
}

async fn blob(liar: &Liar, bytes: &[u8]) -> (Result<(), RegistryError>, Vec<u8>) {
    let mut sink = Vec::new();
    let client = liar.client(vec![]);
    let (at, name) = (registry(liar.address), repository("a/b"));
    let result = client.blob(&at, &name, &descriptor(bytes), &mut sink).await;
    (result, sink)
}

#[tokio::test]
async fn other_bytes_than_asked_for() {
    let (bytes, _, _) = image("x", "linux/amd64");
    let digest = Digest::of(&bytes);
    let liar = Liar::start(move |_, _| ok(&manifest_type(media_type::OCI_MANIFEST), &bytes)).await;
    assert_eq!(manifest(&liar, tag()).await.unwrap(), digest);
    let error = manifest(&liar, Wanted::Digest(Digest::of(b"y"))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert!(error.to_string().contains(&digest.to_string()), "{error}");
}

#[tokio::test]
async fn a_digest_header_that_is_not_that_of_the_bytes() {
    let (bytes, _, _) = image("x", "linux/amd64");
    let claimed = format!("Docker-Content-Digest: {}\r\n", Digest::of(b"y"));
    let headers = manifest_type(media_type::OCI_MANIFEST) + &claimed;
    let liar = Liar::start(move |_, _| ok(&headers, &bytes)).await;
    let error = manifest(&liar, tag()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert!(error.to_string().contains("registry calls it"), "{error}");
}

#[tokio::test]
async fn manifests_that_no_follow_up_request_may_trust() {
    let (plain, _, _) = image("x", "linux/amd64");
    let plain = String::from_utf8(plain).unwrap();
    let both = plain.replacen('{', r#"{"manifests":[],"#, 1);
    let traversal = {
        let at = plain.find("sha256:").unwrap();
        format!("{}sha256:../../x{}", &plain[..at], &plain[at + 71..])
    };
    for (name, text, media_type) in [
        ("both (CVE-2021-41190)", &both, media_type::OCI_MANIFEST),
        ("traversal (CVE-2024-3727)", &traversal, media_type::OCI_MANIFEST),
        ("called an index", &plain, media_type::OCI_INDEX),
        ("no JSON", &"<html>".to_owned(), media_type::OCI_MANIFEST),
    ] {
        let body = text.clone().into_bytes();
        let liar = Liar::start(move |_, _| ok(&manifest_type(media_type), &body)).await;
        let asked_for = reference(liar.address, "a/b:v1");
        let client = liar.client(vec![]);
        let error = moorline::resolve::resolve(&client, &asked_for, &amd64()).await.unwrap_err();
        // a web page is told as one
        let kind = if name == "no JSON" { Kind::Network } else { Kind::Integrity };
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert_eq!(liar.heard().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn blobs_that_are_not_what_the_descriptor_says() {
    let good = b"0123456789".as_slice();
    let close = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    let raw = |head: &str, body: &[u8]| [head.as_bytes(), body].concat();
    let length =
        |n: usize| format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {n}\r\n\r\n");
    for (name, answer, words) in [
        ("other bytes", raw(&length(10), b"0123456780"), "its bytes have the digest"),
        ("stated too short", raw(&length(9), b"012345678"), "it has 9 bytes where 10 should come"),
        ("stated too long", raw(&length(11), b"0123456789x"), "it has 11 bytes where 10"),
        ("too long, length not stated", raw(close, b"0123456789x"), "more than 10 bytes"),
        ("too short, length not stated", raw(close, b"01234"), "it ends after 5 of 10 bytes"),
    ] {
        let liar = Liar::start(move |_, _| Answer::Raw(answer.clone())).await;
        let (result, _) = blob(&liar, good).await;
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{name}: {error}");
        assert!(error.to_string().contains(words), "{name}: {error}");
    }
    // cut again and again at the same place: no progress, so it ends
    let cut = raw(&length(10), b"01234");
    let liar = Liar::start(move |_, _| Answer::Raw(cut.clone())).await;
    let error = blob(&liar, good).await.0.unwrap_err();
    assert_eq!(error.kind(), Kind::Network, "{error}");
    assert!(liar.heard().len() > 1 && liar.heard().len() < 10);
}

#[tokio::test]
async fn a_cut_blob_is_resumed_also_when_range_is_ignored() {
    let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
    for ignores_range in [false, true] {
        let whole = bytes.clone();
        let liar = Liar::start(move |heard, number| {
            let from: usize = heard
                .range
                .as_ref()
                .filter(|_| !ignores_range)
                .map_or(0, |r| r["bytes=".len()..r.len() - 1].parse().unwrap());
            let to = (from.max(number * 1000) + 1000).min(whole.len());
            let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
            let headers = format!(
                "Content-Range: bytes {from}-4999/5000\r\nContent-Length: {}\r\n",
                whole.len() - from
            );
            with(status, &headers, &whole[from..to])
        })
        .await;
        let (result, sink) = blob(&liar, &bytes).await;
        result.unwrap();
        assert_eq!(sink, bytes);
        let ranges: Vec<_> = liar.heard().into_iter().map(|h| h.range).collect();
        assert_eq!(ranges.len(), 5);
        assert_eq!((&ranges[0], ranges[1].as_deref()), (&None, Some("bytes=1000-")));
    }
}

#[tokio::test]
async fn a_blob_that_outlives_ten_tokens_is_not_begun_again() {
    // each connection brings a twelfth, and the token that opened it is good for no other
    const PARTS: usize = 12;
    let bytes: Vec<u8> = (0..=255).cycle().take(PARTS * 500).collect();
    let whole = bytes.clone();
    let issued = Mutex::new(0);
    let liar = Liar::start(move |heard, _| {
        let mut issued = issued.lock().unwrap();
        if heard.target.starts_with("/token") {
            *issued += 1;
            return ok("", format!(r#"{{"token":"token-{issued}-"}}"#).as_bytes());
        }
        let realm = format!("http://{}/token", heard_host(heard));
        let from = heard.range.as_ref().map_or(0, |r| r[6..r.len() - 1].parse().unwrap());
        let good = heard.authorization.as_deref() == Some(&format!("Bearer token-{issued}-"));
        if !good || from / 500 >= *issued {
            return with(
                "401 Unauthorized",
                &format!(
                    "WWW-Authenticate: Bearer realm=\"{realm}\",service=\"s\",error=\"invalid_token\"\r\nContent-Length: 0\r\n"
                ),
                b"",
            );
        }
        let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
        let range = format!("Content-Range: bytes {from}-5999/6000\r\n");
        let length = format!("Content-Length: {}\r\n", whole.len() - from);
        with(status, &(range + &length), &whole[from..from + 500])
    })
    .await;
    OWN.with(|own| own.set(Some(liar.address)));
    let client = liar.client(vec![candidate(USER, SECRET, &[])]);
    let mut sink = Vec::new();
    let (at, name) = (registry(liar.address), repository("a/b"));
    client.blob(&at, &name, &descriptor(&bytes), &mut sink).await.unwrap();
    assert_eq!(sink, bytes);
    let heard = liar.heard();
    let tokens = heard.iter().filter(|heard| heard.target.starts_with("/token")).count();
    assert_eq!(tokens, PARTS, "{heard:?}");
    let mut from: Vec<usize> = heard
        .iter()
        .filter_map(|heard| heard.range.as_ref()?[6..].trim_end_matches('-').parse().ok())
        .collect();
    from.dedup();
    assert_eq!(from, (1..PARTS).map(|part| part * 500).collect::<Vec<_>>(), "it began again");
}

#[tokio::test]
async fn a_stall_is_noticed_and_ends() {
    let bytes = b"0123456789".as_slice();
    let head = |rest: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{rest}");
    let part = "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Range: bytes 4-9/10\r\nContent-Length: 6\r\n\r\n456789";
    // once: the rest comes with the next request
    let first = head("0123");
    let liar = Liar::start(move |_, number| match number {
        0 => Answer::Stall(first.clone().into()),
        _ => Answer::Raw(part.into()),
    })
    .await;
    let patience =
        moorline::registry::Patience { stall: std::time::Duration::from_millis(150), ..patience() };
    let patient = |liar: &Liar| {
        let started_here = vec![registry(liar.address)];
        Client::new(Options { started_here, patience, ..offering(vec![]) }).unwrap()
    };
    let mut sink = Vec::new();
    let (at, name) = (registry(liar.address), repository("a/b"));
    patient(&liar).blob(&at, &name, &descriptor(bytes), &mut sink).await.unwrap();
    assert_eq!(sink, bytes);
    assert_eq!(liar.heard()[1].range.as_deref(), Some("bytes=4-"));
    // always: in the head, in a blob, in a document
    for stalled in [String::new(), head("0123")] {
        let liar = Liar::start(move |_, _| Answer::Stall(stalled.clone().into())).await;
        let (at, client) = (registry(liar.address), patient(&liar));
        let error = client.blob(&at, &name, &descriptor(bytes), &mut Vec::new()).await.unwrap_err();
        assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("time"), "{error}");
        let error = client.manifest(&at, &name, &tag()).await.unwrap_err();
        assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_document_that_trickles_has_an_end() {
    // each byte comes in time, the whole does not
    let liar = Liar::start(|heard, _| match heard.method.as_str() {
        "HEAD" => with("405 Method Not Allowed", "Content-Length: 0\r\n", b""),
        _ => Answer::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec()),
    })
    .await;
    let patience = moorline::registry::Patience {
        document: std::time::Duration::from_millis(100),
        stall: std::time::Duration::from_secs(60),
        ..patience()
    };
    let started_here = vec![registry(liar.address)];
    let client = Client::new(Options { started_here, patience, ..offering(vec![]) }).unwrap();
    let (at, name) = (registry(liar.address), repository("a/b"));
    let error = client.manifest(&at, &name, &tag()).await.unwrap_err();
    assert!(error.to_string().contains("not all of it came within"), "{error}");
}

#[tokio::test]
async fn another_part_than_asked_for_is_refused() {
    let bytes = vec![7; 2000];
    let liar = Liar::start(|_, number| match number {
        0 => with("200 OK", "Content-Length: 2000\r\n", &[7; 1000]),
        _ => with(
            "206 Partial Content",
            "Content-Range: bytes 0-999/2000\r\nContent-Length: 1000\r\n",
            &[7; 1000],
        ),
    })
    .await;
    let error = blob(&liar, &bytes).await.0.unwrap_err();
    assert!(matches!(error, RegistryError::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn what_passes_is_retried_and_what_does_not_is_not() {
    let bytes = b"blob".as_slice();
    for (name, first, requests) in [
        ("throttled", Some("429 Too Many Requests"), 2),
        ("bad gateway", Some("502 Bad Gateway"), 2),
        ("reset", None, 2),
    ] {
        let liar = Liar::start(move |_, number| match (number, first) {
            (0, Some(status)) => with(status, "Retry-After: 0\r\nContent-Length: 0\r\n", b""),
            (0, None) => Answer::Nothing,
            _ => ok("", b"blob"),
        })
        .await;
        let (result, sink) = blob(&liar, bytes).await;
        result.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((sink.as_slice(), liar.heard().len()), (bytes, requests), "{name}");
    }
    for (status, requests) in [
        ("404 Not Found", 1),
        ("400 Bad Request", 1),
        ("403 Forbidden", 1),
        ("503 Service Unavailable", 3),
    ] {
        let body = br#"{"errors":[{"code":"SOME_CODE","message":"the registry's own words"}]}"#;
        let length = format!("Content-Length: {}\r\n", body.len());
        let liar = Liar::start(move |_, _| with(status, &length, body)).await;
        let error = blob(&liar, bytes).await.0.unwrap_err();
        assert!(error.to_string().contains("SOME_CODE: the registry's own words"), "{error}");
        assert_eq!(liar.heard().len(), requests, "{status}");
    }
    // an hour is more than the budget: said at once
    let later = "Retry-After: 3600\r\nContent-Length: 0\r\n";
    let liar = Liar::start(move |_, _| with("429 Too Many Requests", later, b"")).await;
    let error = blob(&liar, bytes).await.0.unwrap_err();
    assert!(error.to_string().contains("429"), "{error}");
    assert_eq!(liar.heard().len(), 1);
}

#[tokio::test]
async fn a_foreign_realm_gets_nothing() {
    let thief = Liar::start(|_, _| ok("", br#"{"token":"stolen"}"#)).await;
    let realm = format!("http://{}/token", thief.address);
    let liar = Liar::start(move |_, _| challenge(&realm)).await;
    let client = liar.client(vec![candidate(USER, SECRET, &["https://gitlab.example"])]);
    let error =
        client.manifest(&registry(liar.address), &repository("a/b"), &tag()).await.unwrap_err();
    assert!(matches!(error, RegistryError::UnknownRealm { .. }), "{error}");
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.hint().unwrap().contains("moorline login"));
    assert_eq!(thief.heard().len(), 0);
    assert!(liar.heard().iter().all(|heard| heard.authorization.is_none()));
}

#[tokio::test]
async fn a_realm_that_redirects_is_not_followed() {
    let thief = Liar::start(|_, _| ok("", br#"{"token":"stolen"}"#)).await;
    let location = format!("Location: http://{}/token\r\nContent-Length: 0\r\n", thief.address);
    let realm = Liar::start(move |_, _| with("307 Temporary Redirect", &location, b"")).await;
    let known = format!("http://{}", realm.address);
    let named = known.clone();
    let liar = Liar::start(move |_, _| challenge(&format!("{named}/token"))).await;
    let client = liar.client(vec![candidate(USER, SECRET, &[&known])]);
    let error =
        client.manifest(&registry(liar.address), &repository("a/b"), &tag()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Protocol { .. }), "{error}");
    assert_eq!((realm.heard().len(), thief.heard().len()), (1, 0));
}

#[tokio::test]
async fn storage_on_another_host_sees_no_authorization() {
    // a host here is scheme, name and port: CVE-2020-15157, CVE-2022-23538
    let storage = Liar::start(|_, _| ok("", b"blob")).await;
    let away = format!(
        "Location: http://{}/bucket?X-Sig=secret-sig\r\nContent-Length: 0\r\n",
        storage.address
    );
    let liar = Liar::start(move |heard, _| match (heard.target.as_str(), &heard.authorization) {
        ("/token?service=s&client_id=moorline&scope=repository%3Aa%2Fb%3Apull", _) => {
            ok("", br#"{"token":"opaque"}"#)
        }
        (_, None) => challenge(&format!("http://{}/token", heard_host(heard))),
        ("/v2/a/b/elsewhere", _) => with("307 Temporary Redirect", &away, b""),
        _ => with(
            "307 Temporary Redirect",
            "Location: /v2/a/b/elsewhere\r\nContent-Length: 0\r\n",
            b"",
        ),
    });
    let liar = liar.await;
    OWN.with(|own| own.set(Some(liar.address)));
    let client = liar.client(vec![candidate(USER, SECRET, &[])]);
    let mut sink = Vec::new();
    let (at, name) = (registry(liar.address), repository("a/b"));
    client.blob(&at, &name, &descriptor(b"blob"), &mut sink).await.unwrap();
    assert_eq!(sink, b"blob");
    // its own origin gets the token again, the other host does not
    let own = liar.heard().pop().unwrap();
    assert_eq!(
        (own.target.as_str(), own.authorization.as_deref()),
        ("/v2/a/b/elsewhere", Some("Bearer opaque"))
    );
    let seen = storage.heard();
    assert_eq!((seen.len(), &seen[0].authorization), (1, &None));
}

thread_local! {
    /// The address of the liar that a script speaks for; tests run on one thread each.
    static OWN: std::cell::Cell<Option<SocketAddr>> = const { std::cell::Cell::new(None) };
}

fn heard_host(_: &Heard) -> SocketAddr {
    OWN.with(std::cell::Cell::get).unwrap()
}

#[tokio::test]
async fn redirects_without_end() {
    let round = "Location: /v2/a/b/blobs/again\r\nContent-Length: 0\r\n";
    let liar = Liar::start(move |_, _| with("302 Found", round, b"")).await;
    let error = blob(&liar, b"x").await.0.unwrap_err();
    assert!(error.to_string().contains("too many redirects"), "{error}");
    assert!(liar.heard().len() < 10);
}

#[tokio::test]
async fn a_server_that_sends_the_secret_back_does_not_get_it_printed() {
    let liar = Liar::start(|heard, _| {
        let echo = heard.authorization.clone().unwrap_or_default();
        if heard.target.starts_with("/token") {
            return ok("", br#"{"token":"opaque-bearer-token"}"#);
        }
        if echo.is_empty() {
            return challenge(&format!("http://{}/token", heard_host(heard)));
        }
        let body = format!(r#"{{"errors":[{{"code":"E","message":"you sent {echo}"}}]}}"#);
        with("400 Bad Request", &format!("Content-Length: {}\r\n", body.len()), body.as_bytes())
    })
    .await;
    OWN.with(|own| own.set(Some(liar.address)));
    let client = liar.client(vec![candidate(USER, SECRET, &[])]);
    let (at, name) = (registry(liar.address), repository("a/b"));
    let error = client.manifest(&at, &name, &tag()).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("you sent Bearer ***"), "{shown}");
    assert!(!shown.contains("opaque-bearer-token"), "{shown}");
}
