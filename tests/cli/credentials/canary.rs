//! The canary table: a registry that holds our attention tries to lead the credential elsewhere.
//!
//! ```text
//!  R  the registry, hostile      may get the token of G, never the secret
//!  G  the realm that was confirmed    gets the secret
//!  E  everybody else             records; must hear neither, and no Authorization at all
//! ```
//!
//! The cases are products of a few short lists. All servers are on loopback and the registry counts
//! as started by this process, so that no other rule hides a leak.

use moorline::oci::{Digest, Sha256Digest};
use moorline::registry::Wanted;

use crate::credentials::common::*;

/// Challenges that name `evil` in some way, or make a client misread who is named.
fn challenges(good: &str, evil: &str) -> Vec<Vec<String>> {
    let port = evil.rsplit(':').next().unwrap();
    let mut realms = vec![
        format!("http://{evil}/token"),
        format!("HTTP://{evil}/token"),
        format!(" http://{evil}/token"),
        format!("http://{evil}"),
        format!("http://{evil}/{good}/token"),
        format!("http://{evil}/token?account={good}"),
        format!("http://{evil}#http://{good}/"),
        format!("http://{good}@{evil}/token"),
        format!("http://{good}:80@{evil}/token"),
        format!("http://{evil}\\\\@{good}/token"),
        format!("http:\\\\\\\\{evil}\\\\token"),
        format!("http:{evil}/token"),
        format!("http:///{evil}/token"),
        format!("//{evil}/token"),
        format!("{evil}/token"),
        format!("https://{evil}/token"),
        format!("https://{good}/token"),
        format!("ftp://{evil}/token"),
        format!("ws://{evil}/token"),
        "file:///etc/passwd".to_owned(),
        "data:application/json,{}".to_owned(),
        "javascript:0".to_owned(),
        String::new(),
        "%".to_owned(),
        format!("http://user@{good}/token"),
    ];
    for host in [
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "%31%32%37.0.0.1",
        "[::ffff:127.0.0.1]",
        "localhost",
        "LOCALHOST",
        "0.0.0.0",
        "127.0.0.1.",
        "127.0.0.2",
    ] {
        realms.push(format!("http://{host}:{port}/token"));
    }
    let mut all: Vec<Vec<String>> = realms.iter().map(|realm| vec![bearer(realm)]).collect();
    let (to_good, to_evil) =
        (bearer(&format!("http://{good}/token")), bearer(&format!("http://{evil}/token")));
    all.extend([
        vec![to_evil.clone(), to_good.clone()],
        vec![to_good.clone(), to_evil.clone()],
        vec![format!("{to_evil}, {to_good}")],
        vec![format!("Negotiate, {to_evil}")],
        vec!["Basic realm=\"x\"".to_owned(), to_evil.clone()],
        vec![format!("{to_evil},error=\"insufficient_scope\"")],
        vec![format!("{to_evil},error=\"invalid_token\"")],
        vec![format!("Bearer realm=\"http://{good}/token\",realm=\"http://{evil}/token\"")],
        vec![format!("Bearer realm=\"http://{evil}/token\",realm=\"http://{good}/token\"")],
        vec![format!("Bearer realm=\"http://{evil}/token")],
        vec![format!("Bearer realm=http://{evil}/token")],
        vec![format!("bearer REALM = \"http://{evil}/token\"")],
        vec![format!("Bearer service=\"x&realm=http://{evil}/\",realm=\"http://{evil}/token\"")],
        vec![format!("Bearer realm=\"http://{good}/token?next=http://{evil}/\"")],
        vec![format!("Bearer realm=\"http://{good}/..//{evil}/token\"")],
        vec!["Digest realm=\"x\", nonce=\"y\"".to_owned()],
        vec!["Bearer".to_owned()],
    ]);
    all
}

/// Where in a pull the hostile challenge comes.
const POSITIONS: [&str; 5] = ["first", "after the token", "scope", "blob", "login"];

fn check(case: &str, registry: &Recorder, evil: &Recorder, said: &str) {
    for head in evil.heard() {
        assert_clean(&head, case);
        assert!(!is_authorized(&head), "{case}: Authorization was sent elsewhere: {head}");
    }
    let heard = registry.heard();
    assert!(!heard.is_empty(), "{case}: the registry was never asked");
    for form in forms().iter().filter(|form| *form != TOKEN) {
        assert!(!heard.concat().contains(form), "{case}: the registry heard the secret");
    }
    assert_clean(said, case);
}

#[test]
fn no_challenge_leads_the_secret_elsewhere() {
    let mut cases = 0;
    let of = challenges("g", "e:1").len();
    for at in 0..of {
        for position in POSITIONS {
            let good = Recorder::start(|_, _| token_answer());
            let evil = Recorder::start(|_, _| token_answer());
            let (g, e) = (good.address.to_string(), evil.address.to_string());
            let hostile = challenges(&g, &e)[at].clone();
            let honest = vec![bearer(&format!("http://{g}/token"))];
            let case = format!("{position}: {hostile:?}");
            let registry = {
                let hostile = hostile.clone();
                Recorder::start(move |head, _| {
                    let authorized = is_authorized(head);
                    match position {
                        "first" | "login" => challenge(&hostile),
                        _ if !authorized => challenge(&honest),
                        "after the token" => challenge(&hostile),
                        "scope" => {
                            let mut all = hostile.clone();
                            for one in &mut all {
                                one.push_str(",error=\"insufficient_scope\"");
                            }
                            challenge(&all)
                        }
                        _ if head.contains("/blobs/") => challenge(&hostile),
                        _ => answer("200 OK", "", b"{}"),
                    }
                })
            };
            let name = registry.address.to_string().parse().unwrap();
            let repository = PROJECT.parse().unwrap();
            let holder = candidate(&[&good]);
            let client = client(&registry, holder.clone());
            let said = block_on(async {
                match position {
                    "login" => {
                        let realm = client.realm(&name, Some(&repository)).await;
                        let grant =
                            client.check(&name, std::slice::from_ref(&repository), holder).await;
                        format!("{realm:?} {grant:?}")
                    }
                    "blob" => {
                        let digest = Digest::of(b"x");
                        let mut out = Vec::new();
                        let descriptor = serde_json::from_value(serde_json::json!({
                            "mediaType": "application/octet-stream",
                            "digest": digest.to_string(), "size": 1,
                        }))
                        .unwrap();
                        let done = client.blob(&name, &repository, &descriptor, &mut out).await;
                        format!("{done:?}")
                    }
                    _ => {
                        let wanted = Wanted::Tag("v1".parse().unwrap());
                        let done = client.manifest(&name, &repository, &wanted).await;
                        assert!(done.is_err(), "{case}");
                        format!("{done:?}")
                    }
                }
            });
            check(&case, &registry, &evil, &said);
            cases += 1;
        }
    }
    // docs/registry.md says these numbers
    assert_eq!(cases, 265);
}

/// The table can fail: a realm that was confirmed does hear the secret, in a form that is looked for.
#[test]
fn the_canary_would_be_heard() {
    let evil = Recorder::start(|_, _| token_answer());
    let hostile = vec![bearer(&format!("http://{}/token", evil.address))];
    let registry = Recorder::start(move |_, _| challenge(&hostile));
    let client = client(&registry, candidate(&[&evil]));
    let name = registry.address.to_string().parse().unwrap();
    let wanted = Wanted::Tag("v1".parse().unwrap());
    block_on(client.manifest(&name, &PROJECT.parse().unwrap(), &wanted)).unwrap_err();
    let heard = evil.heard().concat();
    assert!(is_authorized(&heard) && forms().iter().any(|form| heard.contains(form)), "{heard}");
    assert!(registry.heard().concat().contains(TOKEN));
}

/// Redirects of the registry's answers, and of the token request, to somebody else.
#[test]
fn no_redirect_carries_anything_along() {
    let targets = |evil: &str| -> Vec<String> {
        let port = evil.rsplit(':').next().unwrap();
        vec![
            format!("http://{evil}/x"),
            format!("//{evil}/x"),
            format!("http://localhost:{port}/x"),
            format!("http://{USER}@{evil}/x"),
            format!("HTTP://{evil}/v2/{PROJECT}/manifests/v1"),
            format!("https://{evil}/x"),
            "file:///etc/passwd".to_owned(),
            "//".to_owned(),
        ]
    };
    let mut cases = 0;
    for status in [301, 302, 303, 307, 308] {
        for place in ["manifest", "token", "ping"] {
            for at in 0..targets("e:1").len() {
                let evil = Recorder::start(|_, _| token_answer());
                let target = targets(&evil.address.to_string())[at].clone();
                let case = format!("{place}: {status} to {target}");
                let moved =
                    answer(&format!("{status} Moved"), &format!("Location: {target}\r\n"), b"");
                let to_evil = moved.clone();
                let good = Recorder::start(move |_, _| {
                    if place == "token" { to_evil.clone() } else { token_answer() }
                });
                let honest = vec![bearer(&format!("http://{}/token", good.address))];
                let registry = Recorder::start(move |head, _| match place {
                    "ping" => moved.clone(),
                    _ if !is_authorized(head) => challenge(&honest),
                    _ => moved.clone(),
                });
                let name = registry.address.to_string().parse().unwrap();
                let repository = PROJECT.parse().unwrap();
                let holder = candidate(&[&good]);
                let client = client(&registry, holder.clone());
                let said = block_on(async {
                    if place == "ping" {
                        let grant =
                            client.check(&name, std::slice::from_ref(&repository), holder).await;
                        format!("{grant:?}")
                    } else {
                        let wanted = Wanted::Tag("v1".parse().unwrap());
                        format!("{:?}", client.manifest(&name, &repository, &wanted).await)
                    }
                });
                check(&case, &registry, &evil, &said);
                if place == "token" {
                    assert_eq!(evil.heard(), [""; 0], "{case}: a token request was redirected");
                    assert_eq!(good.heard().len(), 1, "{case}: it was repeated");
                }
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 120);
}

/// Token answers that misbehave: the secret and the token never come back in a message, and a
/// refused credential is not tried twice.
#[test]
fn no_token_answer_brings_anything_to_light() {
    let echo = |code: &str| {
        format!(
            "{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"{}\"}}]}}",
            forms()[..2].join(" ")
        )
    };
    let bodies = [
        String::new(),
        "{}".to_owned(),
        "[".to_owned(),
        format!("{{\"token\":\"{TOKEN}\\r\\nX-Injected: 1\"}}"),
        "{\"token\":\"\"}".to_owned(),
        format!("{{\"token\":[\"{SECRET}\"]}}"),
        format!("{{\"access_token\":\"{TOKEN}\",\"expires_in\":-1}}"),
        echo("DENIED"),
        echo("UNAUTHORIZED"),
        SECRET.to_owned(),
    ];
    let mut cases = 0;
    for status in
        ["200 OK", "400 Bad", "401 Unauthorized", "403 Forbidden", "404 Not Found", "418 No"]
    {
        for body in &bodies {
            let case = format!("{status}: {body}");
            let reply = answer(status, "", body.as_bytes());
            let good = Recorder::start(move |_, _| reply.clone());
            let honest = vec![bearer(&format!("http://{}/token", good.address))];
            let registry = Recorder::start(move |_, _| challenge(&honest));
            let evil = Recorder::silent();
            let name = registry.address.to_string().parse().unwrap();
            let repository = PROJECT.parse().unwrap();
            let client = client(&registry, candidate(&[&good]));
            let said = block_on(async {
                let mut said = String::new();
                for tag in ["v1", "v2", "v3"] {
                    let wanted = Wanted::Tag(tag.parse().unwrap());
                    let error = client.manifest(&name, &repository, &wanted).await.unwrap_err();
                    said += &format!("{error} {error:?}");
                }
                said
            });
            check(&case, &registry, &evil, &said);
            let with_secret = good.heard().iter().filter(|head| is_authorized(head)).count();
            assert!(with_secret == 1 || status == "200 OK", "{case}: sent {with_secret} times");
            cases += 1;
        }
    }
    assert_eq!(cases, 60);
}
