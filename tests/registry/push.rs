//! Sending: against the stand-in, against a registry that lies, and against Debian's docker-registry.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use moorline::failure::{Failure, Kind};
use moorline::oci::{Descriptor, Digest, Sha256Digest, Tag, media_type};
use moorline::registry::{Client, RegistryError, Wanted};
use moorline::secret::Candidate;
use moorline::standin::{Running, Scope, StandIn};
use serde_json::{Value, json};

use crate::common::*;
use crate::liar::{Answer, Heard, Liar, ok, with};
use crate::server::{PUSH_SECRET, PUSHER, available, start};

/// More than one piece.
const LARGE: usize = (16 << 20) + 12_345;

pub fn descriptor(media_type: &str, bytes: &[u8]) -> Descriptor {
    let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
    Descriptor { media_type: media_type.into(), digest, size, annotations: BTreeMap::new() }
}

fn large() -> Vec<u8> {
    (0..LARGE).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

pub async fn send(
    client: &Client,
    address: impl std::fmt::Display,
    bytes: &[u8],
) -> Result<bool, RegistryError> {
    let blob = descriptor(media_type::SIF_LAYER, bytes);
    let (registry, repository) = (registry(address), repository(PROJECT));
    client.push_blob(&registry, &repository, &blob, &mut Cursor::new(bytes), &|_| ()).await
}

/// An artifact as `convert --push` makes them; says its manifest's digest.
async fn artifact(client: &Client, address: impl std::fmt::Display, sif: &[u8]) -> Digest {
    let (at, project) = (registry(address), repository(PROJECT));
    let heard = Mutex::new(Vec::new());
    let layer = descriptor(media_type::SIF_LAYER, sif);
    let sent = |so_far| heard.lock().unwrap().push(so_far);
    assert!(client.push_blob(&at, &project, &layer, &mut Cursor::new(sif), &sent).await.unwrap());
    assert_eq!(heard.lock().unwrap().last(), Some(&(sif.len() as u64)));
    assert!(heard.lock().unwrap().len() > 1, "in pieces");
    let config = descriptor(media_type::SIF_CONFIG, b"{}");
    client.push_blob(&at, &project, &config, &mut Cursor::new(b"{}"), &|_| ()).await.unwrap();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": [layer],
        "annotations": { "io.moorline.signed": "{}" },
    });
    let bytes = manifest.to_string().into_bytes();
    let tag: Tag = "a.sif".parse().unwrap();
    let digest =
        client.push_manifest(&at, &project, &tag, media_type::OCI_MANIFEST, &bytes).await.unwrap();
    // what was sent comes back
    let back = client.manifest(&at, &project, &Wanted::Tag(tag)).await.unwrap();
    assert_eq!((back.digest, back.bytes), (digest, bytes));
    let mut again = Vec::new();
    client.blob(&at, &project, &layer, &mut again).await.unwrap();
    assert!(again == sif);
    // and is not sent a second time
    assert!(
        !client.push_blob(&at, &project, &layer, &mut Cursor::new(sif), &|_| ()).await.unwrap()
    );
    digest
}

async fn writable() -> Running {
    let mut known = config();
    let scopes = [Scope::ReadRegistry, Scope::WriteRegistry];
    known.deploy_tokens.push(token(PUSHER, PUSH_SECRET, &scopes, PROJECT));
    known.deploy_tokens.push(token("writes", "gldt-w", &[Scope::WriteRegistry], PROJECT));
    StandIn::start(known).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_comes_back() {
    let running = writable().await;
    let client = client(&running, vec![candidate(PUSHER, PUSH_SECRET, &[])]);
    artifact(&client, running.address(), &large()).await;
    let asked: Vec<String> = running.seen().into_iter().map(|seen| seen.target).collect();
    assert!(asked.iter().any(|target| target.contains("%3Apull%2Cpush")), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_read_is_told_what_is_needed() {
    let running = writable().await;
    for (who, secret) in [(USER, SECRET), ("writes", "gldt-w")] {
        let client = client(&running, vec![candidate(who, secret, &[])]);
        let error = send(&client, running.address(), b"SIF").await.unwrap_err();
        assert!(matches!(error, RegistryError::NoPush { .. }), "{error}");
        assert_eq!(error.kind(), Kind::Denied);
        assert!(error.to_string().contains(who), "{error}");
        assert!(error.hint().unwrap().contains("write_registry"));
    }
    // a token that may is taken where another one may not
    let both = vec![candidate(USER, SECRET, &[]), candidate(PUSHER, PUSH_SECRET, &[])];
    let client = client(&running, both);
    assert!(send(&client, running.address(), b"SIF").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_in_the_registrys_words() {
    let running = writable().await;
    let client = client(&running, vec![candidate(PUSHER, PUSH_SECRET, &[])]);
    let (at, project) = (registry(running.address()), repository(PROJECT));
    let config = descriptor("application/vnd.example+json", b"{}");
    let tag: Tag = "x".parse().unwrap();
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [] }).to_string();
    let kind = media_type::OCI_MANIFEST;
    let sent = client.push_manifest(&at, &project, &tag, kind, manifest.as_bytes()).await;
    let error = sent.unwrap_err();
    assert!(error.to_string().contains("MANIFEST_INVALID: unknown media type"), "{error}");
    // other bytes than the descriptor's are refused by the registry, whatever we think
    let blob = descriptor("x", b"these");
    let sent = client.push_blob(&at, &project, &blob, &mut Cursor::new(b"those"), &|_| ()).await;
    assert!(sent.unwrap_err().to_string().contains("DIGEST_INVALID"));
    // a file that became shorter is our own matter
    let sent = client.push_blob(&at, &project, &blob, &mut Cursor::new(b"th"), &|_| ()).await;
    assert!(matches!(sent.unwrap_err(), RegistryError::Read { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_in_the_middle_is_renewed() {
    let running = Arc::new(writable().await);
    let client = client(&running, vec![candidate(PUSHER, PUSH_SECRET, &[])]);
    let sif = large();
    let blob = descriptor(media_type::SIF_LAYER, &sif);
    let (at, project) = (registry(running.address()), repository(PROJECT));
    let expire = |_| running.expire_tokens();
    let mut content = Cursor::new(&sif);
    assert!(client.push_blob(&at, &project, &blob, &mut content, &expire).await.unwrap());
    assert!(running.seen().iter().any(|seen| seen.method == "PATCH" && seen.status == 401));
}

// ---- a registry that lies

pub fn trusted() -> Vec<Candidate> {
    vec![candidate(USER, SECRET, &[])]
}

/// A registry that takes everything; `script` may answer otherwise.
pub async fn taker(
    script: impl Fn(&Heard, usize) -> Option<Answer> + Send + Sync + 'static,
) -> Liar {
    Liar::start(move |heard, number| {
        if let Some(answer) = script(heard, number) {
            return answer;
        }
        if heard.authorization.is_none() {
            return with(
                "401 Unauthorized",
                "WWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n",
                b"",
            );
        }
        match heard.method.as_str() {
            "HEAD" => with("404 Not Found", "Content-Length: 0\r\n", b""),
            "POST" | "PATCH" => with(
                "202 Accepted",
                "Location: /upload/1?_state=a%2Fb\r\nContent-Length: 0\r\n",
                b"",
            ),
            _ => with("201 Created", "Content-Length: 0\r\n", b""),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_keeps_what_the_address_says() {
    let liar = taker(|_, _| None).await;
    assert!(send(&liar.client(trusted()), liar.address, b"SIF").await.unwrap());
    let heard = liar.heard();
    let last = heard.last().unwrap();
    let digest = Digest::of(b"SIF").to_string().replace(':', "%3A");
    assert_eq!(
        (last.method.as_str(), &last.target),
        ("PUT", &format!("/upload/1?_state=a%2Fb&digest={digest}"))
    );
    let patch = heard.iter().find(|heard| heard.method == "PATCH").unwrap();
    assert_eq!(patch.body, b"SIF");
}

/// The second server is never asked, and so hears neither token nor bytes.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_address_elsewhere_gets_nothing() {
    let other = Liar::start(|_, _| ok("", b"")).await;
    let elsewhere = other.address;
    for place in [
        format!("http://{elsewhere}/x"),
        format!("//{elsewhere}/x"),
        format!("https://{elsewhere}/x"),
    ] {
        for step in ["POST", "PATCH"] {
            let location = format!("Location: {place}\r\nContent-Length: 0\r\n");
            let liar = taker(move |heard, _| {
                (heard.method == step && heard.authorization.is_some())
                    .then(|| with("202 Accepted", &location, b""))
            })
            .await;
            let error = send(&liar.client(trusted()), liar.address, b"SIF").await.unwrap_err();
            assert!(error.to_string().contains("not on its own host"), "{error}");
            assert_eq!(error.kind(), Kind::Network);
        }
        // a redirect of an upload is the same in other words
        for step in ["POST", "PATCH", "PUT"] {
            let location = format!("Location: {place}\r\nContent-Length: 0\r\n");
            let liar = taker(move |heard, _| {
                (heard.method == step && heard.authorization.is_some())
                    .then(|| with("307 Temporary Redirect", &location, b""))
            })
            .await;
            let error = send(&liar.client(trusted()), liar.address, b"SIF").await.unwrap_err();
            assert!(error.to_string().contains("not followed"), "{error}");
        }
    }
    assert!(other.heard().is_empty(), "{:?}", other.heard());
}

/// A step, what it is answered the first time, and whether that passes.
type Case = (&'static str, fn() -> Answer, bool);

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_begins_the_upload_again_and_what_does_not_ends_it() {
    let gone = "Content-Length: 0\r\n";
    let answers: [Case; 6] = [
        ("PATCH", || Answer::Nothing, true),
        ("PATCH", || with("503 Service Unavailable", "Content-Length: 0\r\n", b""), true),
        ("PATCH", || with("404 Not Found", "Content-Length: 0\r\n", b""), true),
        ("PUT", || with("500 Internal Server Error", "Content-Length: 0\r\n", b""), true),
        (
            "POST",
            || with("429 Too Many Requests", "Retry-After: 0\r\nContent-Length: 0\r\n", b""),
            true,
        ),
        ("PATCH", || with("413 Payload Too Large", "Content-Length: 0\r\n", b""), false),
    ];
    for (step, answer, passes) in answers {
        let failed = AtomicUsize::new(0);
        let liar = taker(move |heard, _| {
            let first = heard.method == step
                && heard.authorization.is_some()
                && failed.fetch_add(1, Ordering::SeqCst) == 0;
            first.then(answer)
        })
        .await;
        let sent = send(&liar.client(trusted()), liar.address, b"SIF").await;
        assert_eq!(sent.is_ok(), passes, "{step} {sent:?}");
        let count = |method: &str| {
            liar.heard().iter().filter(|h| h.method == method && h.authorization.is_some()).count()
        };
        if passes && step != "POST" {
            // the bytes never go twice into one upload
            assert_eq!(count("POST"), 2, "{step}");
        }
    }
    // a fault that stays has its end
    let liar = taker(move |heard, _| {
        (heard.method == "PATCH").then(|| with("502 Bad Gateway", gone, b""))
    })
    .await;
    let error = send(&liar.client(trusted()), liar.address, b"SIF").await.unwrap_err();
    assert!(error.to_string().contains("502"), "{error}");
    let uploads = liar.heard().iter().filter(|h| h.method == "PATCH").count();
    assert_eq!(uploads, 3, "as often as patience allows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_calls_it_by_another_name_is_found_out() {
    let other = Digest::of(b"other");
    let header = format!("Docker-Content-Digest: {other}\r\nContent-Length: 0\r\n");
    let liar =
        taker(move |heard, _| (heard.method == "PUT").then(|| with("201 Created", &header, b"")))
            .await;
    let client = liar.client(trusted());
    let error = send(&client, liar.address, b"SIF").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity, "{error}");
    let (at, project, tag) = (registry(liar.address), repository(PROJECT), "v1".parse().unwrap());
    let kind = media_type::OCI_MANIFEST;
    let error = client.push_manifest(&at, &project, &tag, kind, b"{}").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity, "{error}");
}

// ---- Debian's docker-registry

#[tokio::test(flavor = "multi_thread")]
async fn docker_registry_takes_it_and_skopeo_reads_it() {
    if !available("push::docker_registry_takes_it_and_skopeo_reads_it") {
        return;
    }
    let server = start(300, false).await;
    let realm = server.stand_in.realm();
    let client = server.client(vec![candidate(PUSHER, PUSH_SECRET, &[&realm])]);
    let sif = large();
    artifact(&client, server.address, &sif).await;
    // nothing in the repository yet, and a token that may only read
    let reader = server.client(server.reader());
    let error = send(&reader, server.address, b"another").await.unwrap_err();
    assert!(matches!(error, RegistryError::NoPush { .. }), "{error}");
    let copied = server.pull("a.sif").await;
    assert!(std::fs::read(copied.path().join(Digest::of(&sif).hex())).unwrap() == sif);
}

/// `moorline ARGS` in a home of its own; says stdout.
async fn moorline(home: &Path, args: &[&str], stdin: &'static str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moorline"));
    command.args(args).env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // not on this thread: the stand-in may live on it
    let run = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // a program that does not read it is no failure
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        child.wait_with_output().unwrap()
    });
    let output = run.await.unwrap();
    let (out, err) = (String::from_utf8(output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {err}");
    out.unwrap()
}

/// The whole way with the program: one user converts and pushes, another one takes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sif_goes_through_docker_registry_from_one_user_to_another() {
    if !available("push::a_sif_goes_through_docker_registry_from_one_user_to_another") {
        return;
    }
    let server = start(300, false).await;
    let _layout = server.filled().await;
    let project = format!("{}/{PROJECT}", server.address);
    let (address, realm) = (server.address.to_string(), server.stand_in.realm());
    let image = format!("{project}:v1");
    let home = || tempfile::Builder::new().prefix("moorline-home-").tempdir_in("/tmp").unwrap();
    let (builder, user) = (home(), home());
    for (home, name, secret) in [(&builder, PUSHER, PUSH_SECRET), (&user, USER, SECRET)] {
        let login = ["login", &project, "--username", name, "--password-stdin", "--store", "file"];
        let more = ["--realm", &realm, "--insecure-registry", &address];
        moorline(home.path(), &[&login[..], &more].concat(), secret).await;
        let folder = home.path().join(".config/moorline");
        std::fs::create_dir_all(&folder).unwrap();
    }
    let file = builder.path().join("key").display().to_string();
    let key = moorline(builder.path(), &["cache", "key", &file], "").await;
    let global = ["--json", "--insecure-registry", &address, "convert", &image];
    // the image is linux/amd64, whatever this machine is
    let global = [&global[..], &["--platform", "linux/amd64"]].concat();
    let push = [&global[..], &["--push", &project, "--signing-key", &file]].concat();
    let made: Value = serde_json::from_str(&moorline(builder.path(), &push, "").await).unwrap();
    assert_eq!(made["pushed"]["sent"], true, "{made}");
    let again: Value = serde_json::from_str(&moorline(builder.path(), &push, "").await).unwrap();
    assert_eq!(again["pushed"]["sent"], false, "{again}");
    assert_eq!(again["pushed"]["reference"], made["pushed"]["reference"]);

    let text = format!("[registry_sifs]\nkeys = [{:?}]\n", key.trim());
    std::fs::write(user.path().join(".config/moorline/config.toml"), text).unwrap();
    let taken: Value = serde_json::from_str(&moorline(user.path(), &global, "").await).unwrap();
    assert_eq!((&taken["sif"], &taken["signed_by"]), (&made["sif"], &json!(key.trim())), "{taken}");
    assert_eq!(taken["counters"]["sifs_fetched"], 1, "{taken}");
}
