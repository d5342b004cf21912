//! Faults of the network on seeded schedules, against the stand-in. The same against Debian's
//! docker-registry is in `faults_of_docker_registry.rs`.
//!
//! `MOORLINE_FAULT_SEED=7 cargo test --test registry schedules` replays one schedule.

use std::net::SocketAddr;

use crate::common::{PROJECT, stand_in};
use crate::faults::proxy::Proxy;
use crate::faults::pull::{Fixture, judge, pull, wrong_files};
use crate::faults::schedule::{Class, Fault, Schedule};
use crate::faults::{run_all, undisturbed};
use moorline::failure::Kind;
use moorline::oci::{Digest, Sha256Digest};
use moorline::standin::Running;
use moorline::store::Store;

async fn filled() -> (Running, SocketAddr) {
    let running = stand_in().await;
    let fixture = Fixture::make();
    let images = running.images();
    for blob in fixture.blobs {
        images.put_blob(blob);
    }
    for (kind, bytes) in fixture.manifests {
        let digest = images.put_manifest(PROJECT, kind, bytes);
        images.tag(PROJECT, "v1", digest); // the index comes last and keeps it
    }
    let address = running.address();
    (running, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_of_faults_against_the_stand_in() {
    let (_running, address) = filled().await;
    run_all("stand-in", address, address).await;
}

/// Each kind of fault that never ends, alone: the error that it gives.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_never_ends_gives_its_error() {
    let (_running, address) = filled().await;
    let right = undisturbed(address, address).await;
    let cases = [
        (Class::Blob, Fault::CutHead, Kind::Network),
        (Class::Manifest, Fault::StallHead, Kind::Network),
        (Class::Blob, Fault::Flip(128), Kind::Integrity),
        (Class::Manifest, Fault::Flip(9), Kind::Integrity),
        (Class::Blob, Fault::Short, Kind::Integrity),
        (Class::Blob, Fault::Long, Kind::Integrity),
        (Class::Manifest, Fault::Foreign, Kind::Integrity),
        (Class::Blob, Fault::Passing(503, None), Kind::Network),
        (Class::Manifest, Fault::Passing(429, Some(3600)), Kind::Network),
        (Class::Token, Fault::Passing(500, None), Kind::Network),
        (Class::Token, Fault::CutBody(100), Kind::Network),
        (Class::Token, Fault::StallBody(100), Kind::Network),
        (Class::Token, Fault::Unauthorized(None), Kind::Denied),
        (Class::Token, Fault::Forbidden { json: true }, Kind::Denied),
        (Class::Token, Fault::Forbidden { json: false }, Kind::Denied),
        (Class::Blob, Fault::Unauthorized(Some("invalid_token")), Kind::Denied),
        (Class::Blob, Fault::Unauthorized(Some("insufficient_scope")), Kind::NotFound),
        (Class::Manifest, Fault::Forbidden { json: true }, Kind::NotFound),
    ];
    for (class, fault, kind) in cases {
        let schedule = Schedule::always(class, fault);
        let proxy = Proxy::start(address, address, schedule);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let error = pull(&proxy, &store).await.expect_err("the fault never ends");
        assert_eq!(error.kind, kind, "{class:?} {fault:?}: {error:?}");
        proxy.set(schedule);
        assert_eq!(judge(&proxy, schedule, &right).await, Ok(false), "{class:?} {fault:?}");
    }
}

/// A client that believes everything, through the same proxy: its store is found to be wrong.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_trusting_client_stores_would_be_found() {
    let (_running, address) = filled().await;
    for fault in [Fault::Flip(77), Fault::Short, Fault::Long, Fault::Foreign] {
        let proxy = Proxy::start(address, address, Schedule::always(Class::Blob, fault));
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        let store = Store::open(&root).unwrap();
        assert!(pull(&proxy, &store).await.is_err() && wrong_files(&root).is_empty());
        let wanted = Digest::of(&Fixture::make().blobs[1]);
        let bytes = trusting(&proxy, &wanted).await;
        std::fs::write(root.join("blobs/sha256").join(wanted.hex()), bytes).unwrap();
        assert_eq!(wrong_files(&root).len(), 1, "{fault:?} was not found");
        drop(store.incoming().unwrap());
        assert_eq!(wrong_files(&root).len(), 1, "a file that was given up is no longer there");
        let _left = store.incoming().unwrap();
        assert_eq!(wrong_files(&root).len(), 2, "a file that was left behind is found");
    }
}

async fn trusting(proxy: &Proxy, blob: &Digest) -> Vec<u8> {
    let base = format!("http://{}", proxy.address);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(
        &http
            .get(format!(
                "{base}/jwt/auth?service=container_registry&scope=repository:{PROJECT}:pull"
            ))
            .basic_auth(crate::common::USER, Some(crate::common::SECRET))
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap(),
    )
    .unwrap();
    let token = answer["token"].as_str().unwrap();
    let url = format!("{base}/v2/{PROJECT}/blobs/{blob}");
    http.get(url).bearer_auth(token).send().await.unwrap().bytes().await.unwrap().to_vec()
}

/// A seed is all that is needed to see a schedule again, and schedules differ.
#[test]
fn a_seed_is_a_schedule() {
    let of = |seed: u64| -> Vec<Fault> {
        let schedule = Schedule::of(seed);
        let paths = ["/v2/g/p/manifests/v1", "/v2/g/p/blobs/sha256:00", "/jwt/auth"];
        let each = |path| (0..4).map(move |nth| schedule.fault("GET", path, nth));
        paths.into_iter().flat_map(each).collect()
    };
    let all: std::collections::HashSet<_> = (0..200).map(of).collect();
    assert!(all.len() > 150, "{} different ones of 200", all.len());
    assert!((0..200).all(|seed| of(seed) == of(seed)));
}
