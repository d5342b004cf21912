//! The realm of last time: it saves the first refusal, and is never more than a guess.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use moorline::failure::{Failure, Kind};
use moorline::net::{HostBudget, Sharing};
use moorline::oci::{Digest, Sha256Digest, media_type};
use moorline::registry::{Client, Options};
use moorline::resolve::resolve;
use moorline::secret::Candidate;

use crate::common::*;
use crate::liar::{Answer, Liar, manifest_type, ok, with};

/// A client of another process of the same user.
fn another(at: impl std::fmt::Display, meet: &Path, offered: Vec<Candidate>) -> Client {
    let sharing = Sharing { dir: Some(meet.to_owned()), ..Sharing::default() };
    let started_here = vec![registry(at)];
    let hosts = Arc::new(HostBudget::new(&sharing, None));
    Client::new(Options { started_here, hosts, ..offering(offered) }).unwrap()
}

#[tokio::test]
async fn the_second_run_is_not_turned_away_first() {
    let server = stand_in().await;
    let made = put(server.images(), PROJECT, "one", "linux/amd64");
    server.images().tag(PROJECT, "v1", made.manifest);
    let meet = tempfile::tempdir().unwrap();
    let v1 = reference(server.address(), "group/project:v1");
    for turned_away in [1, 0] {
        let before = server.seen().len();
        let client = another(server.address(), meet.path(), good());
        assert_eq!(resolve(&client, &v1, &amd64()).await.unwrap().pin.manifest, made.manifest);
        let seen = &server.seen()[before..];
        let refused = seen.iter().filter(|seen| seen.status == 401).count();
        // token, manifest, configuration
        assert_eq!((refused, seen.len()), (turned_away, 3 + turned_away), "{seen:?}");
    }
    // a wrong credential is sent once all the same
    let before = server.seen().len();
    let client = another(server.address(), meet.path(), vec![candidate(USER, "wrong", &[])]);
    let error = resolve(&client, &v1, &amd64()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    let seen = &server.seen()[before..];
    assert_eq!(seen.iter().filter(|seen| seen.authorized).count(), 1, "{seen:?}");
}

/// A registry with one image, which names the realms in turn, one for each run.
async fn registry_of(realms: Vec<String>, run: &Arc<AtomicUsize>) -> (Liar, Digest) {
    let (bytes, config, _) = image("x", "linux/amd64");
    let digest = Digest::of(&bytes);
    let run = Arc::clone(run);
    let liar = Liar::start(move |heard, _| -> Answer {
        let realm = &realms[run.load(Ordering::SeqCst)];
        if heard.authorization.as_deref() != Some("Bearer right") {
            let header = format!(
                "WWW-Authenticate: Bearer realm=\"{realm}\",service=\"s\"\r\nContent-Length: 0\r\n"
            );
            return with("401 Unauthorized", &header, b"");
        }
        if heard.target.contains("/blobs/") {
            return ok("", &config);
        }
        ok(&manifest_type(media_type::OCI_MANIFEST), &bytes)
    })
    .await;
    (liar, digest)
}

async fn realm_with(token: &'static str) -> Liar {
    Liar::start(move |_, _| ok("", format!("{{\"token\":\"{token}\"}}").as_bytes())).await
}

/// The realm moved: the old one is gone, refuses, gives tokens that nobody takes, or was never
/// confirmed. In each case the registry is asked, and the new one is remembered.
#[tokio::test]
async fn a_realm_that_moved_is_found_again() {
    let right = realm_with("right").await;
    let good = format!("http://{}/token", right.address);
    let useless = realm_with("of yesterday").await;
    let refusing = Liar::start(|_, _| with("401 Unauthorized", "Content-Length: 0\r\n", b"")).await;
    let foreign = realm_with("right").await;
    let old = |liar: &Liar| format!("http://{}/token", liar.address);
    for (case, yesterday) in [
        ("gone", "http://127.0.0.1:1/token".to_owned()),
        ("useless", old(&useless)),
        ("refusing", old(&refusing)),
        ("foreign", old(&foreign)),
    ] {
        let run = Arc::new(AtomicUsize::new(0));
        let (liar, digest) =
            registry_of(vec![yesterday.clone(), good.clone(), good.clone()], &run).await;
        let meet = tempfile::tempdir().unwrap();
        let asked = reference(liar.address, "a/b:v1");
        let confirmed: Vec<&str> =
            if case == "foreign" { vec![&good] } else { vec![&yesterday, &good] };
        let offered = || vec![candidate(USER, SECRET, &confirmed)];
        let first = resolve(&another(liar.address, meet.path(), offered()), &asked, &amd64()).await;
        assert!(first.is_err(), "{case}");
        for today in [1, 2] {
            run.store(today, Ordering::SeqCst);
            let before = liar.heard().len();
            let client = another(liar.address, meet.path(), offered());
            let resolved = resolve(&client, &asked, &amd64()).await;
            assert_eq!(resolved.unwrap().pin.manifest, digest, "{case}");
            if today == 2 {
                let heard = liar.heard();
                assert!(heard[before..].iter().all(|h| h.authorization.is_some()), "{case}");
            }
        }
    }
    assert_eq!(foreign.heard().len(), 0, "a realm that nobody confirmed hears nothing");
}
