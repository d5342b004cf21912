//! What a lying registry hears of a credential: one try for each.

use moorline::failure::{Failure, Kind};
use moorline::registry::RegistryError;

use crate::common::*;
use crate::liar::{Answer, Liar, challenge, ok, tag, with};

#[tokio::test]
async fn a_basic_challenge_is_tried_once() {
    let refuse = "WWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n";
    let liar = Liar::start(move |_, _| with("401 Unauthorized", refuse, b"")).await;
    let client = liar.client(vec![candidate(USER, SECRET, &[])]);
    let at = registry(liar.address);
    for other in ["a/b", "a/b", "c/d"] {
        let error = client.manifest(&at, &repository(other), &tag()).await.unwrap_err();
        assert!(matches!(error, RegistryError::Refused { .. }), "{error}");
    }
    let sent = liar.heard().iter().filter(|heard| heard.authorization.is_some()).count();
    assert_eq!(sent, 1);
}

/// Many at the same time: the first one's verdict is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_basic_credential_is_sent_once_by_forty_at_the_same_time() {
    let refuse = "WWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n";
    let liar = Liar::start(move |_, _| with("401 Unauthorized", refuse, b"")).await;
    let client = liar.client(vec![candidate(USER, SECRET, &[])]);
    let wanted: Vec<_> = (0..40)
        .map(|i| (reference(liar.address, &format!("team{i}/project{i}:v1")), amd64()))
        .collect();
    for answer in moorline::resolve::resolve_many(&client, &wanted).await {
        assert_eq!(answer.unwrap_err().kind(), Kind::Denied);
    }
    let sent = liar.heard().iter().filter(|heard| heard.authorization.is_some()).count();
    assert_eq!(sent, 1);
}

/// A registry whose token realm answers by the number of the token request and its scope.
async fn realm(answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Liar {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    Liar::start(move |heard, _| {
        if heard.target.starts_with("/token") {
            let number = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            return answer(&heard.target, number);
        }
        match &heard.authorization {
            None => challenge(&format!("http://{}/token", heard.host.as_deref().unwrap())),
            Some(_) => with("404 Not Found", "Content-Length: 0\r\n", b""),
        }
    })
    .await
}

fn tokens(liar: &Liar) -> usize {
    liar.heard().iter().filter(|heard| heard.target.starts_with("/token")).count()
}

fn projects(liar: &Liar, count: usize) -> Vec<(moorline::oci::Reference, moorline::oci::Platform)> {
    let name = |i| format!("team{i}/project{i}:v1");
    (0..count).map(|i| (reference(liar.address, &name(i)), amd64())).collect()
}

/// A token that is revoked in the middle of a run: its first refusal ends it for the projects that
/// come later, and those that are on their way at that moment are few.
#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_refused_later_is_not_sent_again() {
    let revoked = |_: &str, number| match number {
        0 => ok("", br#"{"token":"t"}"#),
        _ => with("401 Unauthorized", "Content-Length: 0\r\n", b""),
    };
    let liar = realm(revoked).await;
    let client = liar.client(vec![candidate(USER, SECRET, &[])]);
    for (at, (asked, platform)) in projects(&liar, 10).iter().enumerate() {
        let error = moorline::resolve::resolve(&client, asked, platform).await.unwrap_err();
        assert_eq!(error.kind(), if at == 0 { Kind::NotFound } else { Kind::Denied }, "{error}");
    }
    assert_eq!(tokens(&liar), 2, "one that was granted, one refusal");
    let liar = realm(revoked).await;
    let client = liar.client(vec![candidate(USER, SECRET, &[])]);
    let answers = moorline::resolve::resolve_many(&client, &projects(&liar, 60)).await;
    assert!(answers.iter().all(Result::is_err));
    let refused = tokens(&liar) - 1;
    assert!((1..=8).contains(&refused), "{refused} refusals; some GitLabs ban after 30");
}

/// What passes says nothing of the credential: the other projects of the run get their tokens.
#[tokio::test(flavor = "multi_thread")]
async fn a_realm_that_fails_for_one_project_does_not_fail_for_the_others() {
    let liar = realm(|target, _| {
        if target.contains("project0%3A") {
            with("503 Service Unavailable", "Content-Length: 0\r\n", b"")
        } else {
            ok("", br#"{"token":"t"}"#)
        }
    })
    .await;
    let client = liar.client(vec![candidate(USER, SECRET, &[])]);
    let answers = moorline::resolve::resolve_many(&client, &projects(&liar, 10)).await;
    let kinds: Vec<Kind> = answers.into_iter().map(|a| a.unwrap_err().kind()).collect();
    assert_eq!(kinds[0], Kind::Network);
    assert!(kinds[1..].iter().all(|kind| *kind == Kind::NotFound), "{kinds:?}");
    // one that is out of order for all is left alone after three
    let liar = realm(|_, _| with("503 Service Unavailable", "Content-Length: 0\r\n", b"")).await;
    let client = liar.client(vec![candidate(USER, SECRET, &[])]);
    for answer in moorline::resolve::resolve_many(&client, &projects(&liar, 40)).await {
        assert_eq!(answer.unwrap_err().kind(), Kind::Network);
    }
    assert_eq!(tokens(&liar), 3 * patience().attempts as usize);
}
