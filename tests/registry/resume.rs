//! Uploads that break off: what a registry has already is not sent again, if it says so.
//!
//! ```text
//! client --> proxy that cuts --> docker-registry, stand-in          pieces of 16 MiB
//! client --> liar                                                   what a registry may say
//! ```

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use moorline::failure::{Failure, Kind};
use moorline::oci::media_type;
use moorline::registry::{Client, Options, RegistryError};
use moorline::standin::{Scope, StandIn};

use crate::common::*;
use crate::faults::proxy::Proxy;
use crate::faults::schedule::{Class, Fault, Schedule};
use crate::liar::{Answer, Heard, Liar, with};
use crate::push::{descriptor, send, taker, trusted};
use crate::server::{PUSH_SECRET, PUSHER, available, start};

const PIECE: usize = 16 << 20;
/// Two pieces and a bit.
const SIZE: usize = 2 * PIECE + 999;

fn sif() -> Vec<u8> {
    (0..SIZE).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// The ranges of pieces that begin at these places.
fn pieces(starts: &[usize]) -> Vec<String> {
    starts.iter().map(|at| format!("{at}-{}", SIZE.min(at + PIECE) - 1)).collect()
}

/// Sends through a proxy that does this to the second piece; says the ranges that were sent, and how
/// many uploads there were.
async fn cut(registry_at: SocketAddr, realm: SocketAddr, fault: Fault) -> (Vec<String>, usize) {
    let proxy = Proxy::start(registry_at, realm, Schedule::once("PATCH", Class::Upload, 1, fault));
    let started_here = vec![registry(proxy.address)];
    let offered = vec![candidate(PUSHER, PUSH_SECRET, &[])];
    let client = Client::new(Options { started_here, ..offering(offered) }).unwrap();
    let sif = sif();
    assert!(send(&client, proxy.address, &sif).await.unwrap());
    assert!(!proxy.done().is_empty(), "nothing was cut");
    // it is there, and right
    let blob = descriptor(media_type::SIF_LAYER, &sif);
    let (at, project) = (registry(proxy.address), repository(PROJECT));
    let mut back = Vec::new();
    client.blob(&at, &project, &blob, &mut back).await.unwrap();
    assert!(back == sif);
    let sent = proxy.sent();
    let mut uploads: Vec<&String> = sent.iter().map(|sent| &sent.upload).collect();
    uploads.dedup();
    let uploads = uploads.len();
    (sent.into_iter().map(|sent| sent.range).collect(), uploads)
}

/// The cuts after which a registry still knows what it has.
const KNOWN: [Fault; 3] = [
    // a proxy in front of it waits for the whole piece before it passes it on
    Fault::CutRequest { part: 128, passed_on: false },
    Fault::CutHead,
    Fault::Passing(503, None),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_to_docker_registry_goes_on_where_it_broke_off() {
    if !available("resume::an_upload_to_docker_registry_goes_on_where_it_broke_off") {
        return;
    }
    for fault in KNOWN {
        // a blob that is there is not sent: each has a registry of its own
        let server = start(300, false).await;
        let (ranges, uploads) = cut(server.address, server.stand_in.address(), fault).await;
        let second_again = pieces(&[0, PIECE, PIECE, 2 * PIECE]);
        assert_eq!((ranges, uploads), (second_again, 1), "{fault:?}");
    }
}

/// docker-registry 2.8 forgets an upload of which it has more than it said.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_docker_registry_forgot_begins_again() {
    if !available("resume::an_upload_that_docker_registry_forgot_begins_again") {
        return;
    }
    let server = start(300, false).await;
    let fault = Fault::CutRequest { part: 128, passed_on: true };
    let (ranges, uploads) = cut(server.address, server.stand_in.address(), fault).await;
    assert_eq!((ranges, uploads), (pieces(&[0, PIECE, 0, PIECE, 2 * PIECE]), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_to_the_stand_in_goes_on_too() {
    for fault in KNOWN {
        let mut known = config();
        let scopes = [Scope::ReadRegistry, Scope::WriteRegistry];
        known.deploy_tokens.push(token(PUSHER, PUSH_SECRET, &scopes, PROJECT));
        let running = StandIn::start(known).await.unwrap();
        let (ranges, uploads) = cut(running.address(), running.address(), fault).await;
        assert_eq!((ranges, uploads), (pieces(&[0, PIECE, PIECE, 2 * PIECE]), 1), "{fault:?}");
    }
}

// ---- what else a registry may say

const SENT: &[u8] = b"0123456789";

/// Sends ten bytes to a registry that breaks the first PATCH off and is asked how far it came; says
/// the bodies of the `PATCH`es, how many uploads began, and how it ended.
async fn asked(
    status: impl Fn(usize) -> Answer + Send + Sync + 'static,
) -> (Vec<Vec<u8>>, usize, Result<bool, RegistryError>) {
    let (patches, questions) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let liar = taker(move |heard, _| {
        heard.authorization.as_ref()?;
        match heard.method.as_str() {
            "PATCH" if patches.fetch_add(1, Ordering::SeqCst) == 0 => Some(Answer::Nothing),
            "GET" if heard.target.starts_with("/upload/") => {
                Some(status(questions.fetch_add(1, Ordering::SeqCst)))
            }
            _ => None,
        }
    })
    .await;
    let ended = send(&liar.client(trusted()), liar.address, SENT).await;
    let (patches, begun) = (sent_by(&liar, "PATCH"), sent_by(&liar, "POST"));
    (patches.into_iter().map(|heard| heard.body).collect(), begun.len(), ended)
}

fn sent_by(liar: &Liar, method: &str) -> Vec<Heard> {
    let all = liar.heard().into_iter();
    all.filter(|heard| heard.method == method && heard.authorization.is_some()).collect()
}

fn has(range: &str) -> Answer {
    with("204 No Content", &format!("Range: {range}\r\n"), b"")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_registry_says_it_has_is_not_sent_again() {
    for range in ["0-6", "bytes=0-6"] {
        let (bodies, begun, ended) = asked(move |_| has(range)).await;
        assert!(ended.unwrap(), "{range}");
        assert_eq!((bodies, begun), (vec![SENT.to_vec(), SENT[7..].to_vec()], 1), "{range}");
    }
    // all of it
    let (bodies, begun, ended) = asked(|_| has("0-9")).await;
    assert_eq!((bodies.len(), begun, ended.unwrap()), (1, 1, true));
    // somewhere else on the same host
    let moved = |_| with("204 No Content", "Range: 0-6\r\nLocation: /upload/2\r\n", b"");
    let (bodies, begun, ended) = asked(moved).await;
    assert_eq!((bodies.len(), begun, ended.unwrap()), (2, 1, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_tell_gets_it_from_the_beginning() {
    let empty = "Content-Length: 0\r\n";
    let answers: [fn() -> Answer; 8] = [
        || has("0-0"),
        || has("0-10"),
        || has("3-6"),
        || has("much"),
        || with("204 No Content", "", b""),
        || with("200 OK", "Range: 0-6\r\nContent-Length: 0\r\n", b""),
        || with("404 Not Found", "Content-Length: 0\r\n", b""),
        || with("405 Method Not Allowed", "Content-Length: 0\r\n", b""),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        let (bodies, begun, ended) = asked(move |_| answer()).await;
        assert!(ended.unwrap(), "{number}");
        assert_eq!((bodies, begun), (vec![SENT.to_vec(); 2], 2), "{number}");
    }
    // who cannot tell just now is asked once more
    let (bodies, begun, ended) = asked(move |number| match number {
        0 => with("503 Service Unavailable", empty, b""),
        _ => has("0-6"),
    })
    .await;
    assert!(ended.unwrap());
    assert_eq!((bodies, begun), (vec![SENT.to_vec(), SENT[7..].to_vec()], 1));
}

/// An answer cannot lead the bytes to another host, and cannot keep us busy for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_lies_about_an_upload_gains_nothing() {
    let other = Liar::start(|_, _| with("202 Accepted", "Content-Length: 0\r\n", b"")).await;
    let location = format!("Range: 0-6\r\nLocation: http://{}/x\r\n", other.address);
    let (_, _, ended) = asked(move |_| with("204 No Content", &location, b"")).await;
    let error = ended.unwrap_err();
    assert!(error.to_string().contains("not on its own host"), "{error}");
    assert!(other.heard().is_empty(), "{:?}", other.heard());

    let liar = taker(|heard, _| match heard.method.as_str() {
        _ if heard.authorization.is_none() => None,
        "PATCH" => Some(Answer::Nothing),
        "GET" => Some(has("0-6")),
        _ => None,
    })
    .await;
    let error = send(&liar.client(trusted()), liar.address, SENT).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Network);
    // three tries, and three more because it said once that it has more than before
    let tries = sent_by(&liar, "PATCH").len();
    assert!(tries <= 6, "{tries}");
}

/// The blob is there, only the answer to the last step was lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_last_answer_is_looked_at() {
    let put = AtomicUsize::new(0);
    let liar = taker(move |heard, _| {
        heard.authorization.as_ref()?;
        match heard.method.as_str() {
            "PUT" => {
                put.fetch_add(1, Ordering::SeqCst);
                Some(Answer::Nothing)
            }
            "HEAD" if put.load(Ordering::SeqCst) > 0 => {
                Some(with("200 OK", &format!("Content-Length: {}\r\n", SENT.len()), b""))
            }
            _ => None,
        }
    })
    .await;
    assert!(send(&liar.client(trusted()), liar.address, SENT).await.unwrap());
    let count = |method| sent_by(&liar, method).len();
    assert_eq!((count("POST"), count("PATCH"), count("PUT")), (1, 1, 1));
}
