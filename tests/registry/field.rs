//! What real registries, token servers and storages say, against servers that say it: each kind of the
//! field reports has its test here, with the report in its comment.

use std::time::{Duration, Instant};

use moorline::failure::{Failure, Kind};
use moorline::oci::{Digest, Sha256Digest, media_type};
use moorline::registry::{Client, Options, Patience, RegistryError};

use crate::common::*;
use crate::liar::{Answer, Heard, Liar, challenge, manifest_type, ok, tag, with};

const EMPTY: &str = "Content-Length: 0\r\n";

fn realm_of(heard: &Heard) -> String {
    format!("http://{}/token", heard.host.as_deref().unwrap())
}

fn body(status: &str, headers: &str, body: &str) -> Answer {
    with(status, &format!("{headers}Content-Length: {}\r\n", body.len()), body.as_bytes())
}

fn errors(code: &str, message: &str) -> String {
    serde_json::json!({ "errors": [{ "code": code, "message": message }] }).to_string()
}

/// Everything that an error says.
fn told(error: &RegistryError) -> String {
    format!("{error}. {}", error.hint().unwrap_or_default())
}

/// A server that echoes a credential with something invisible inside: it was replaced before the
/// invisible part was taken out, and came out whole.
type Script = Box<dyn Fn(&Heard) -> Answer + Send + Sync>;

#[tokio::test]
async fn an_echoed_secret_is_hidden_whatever_stands_inside_it() {
    let encoded = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{SECRET}"))
    };
    let encoded: &'static str = encoded.leak();
    let insides = ["\u{1}", "\u{200b}", "\u{61c}", "\u{1b}[0m", "\u{e0041}", "\u{ad}", "\n", " "];
    for inside in insides {
        for secret in [SECRET, encoded] {
            let spread = move || -> String {
                secret.chars().flat_map(|c| [c.to_string(), inside.into()]).collect()
            };
            let answers: [(&str, Script); 4] = [
                (
                    "token realm",
                    Box::new(move |_| body("401 Unauthorized", "", &errors("DENIED", &spread()))),
                ),
                ("as code", Box::new(move |_| body("403 Forbidden", "", &errors(&spread(), "no")))),
                (
                    "as a page",
                    Box::new(move |_| {
                        body("403 Forbidden", "", &format!("<html><title>{}</title>", spread()))
                    }),
                ),
                (
                    "of storage",
                    Box::new(move |_| {
                        body(
                            "403 Forbidden",
                            "",
                            &format!("<Error><Code>{}</Code></Error>", spread()),
                        )
                    }),
                ),
            ];
            for (name, answer) in answers {
                let liar = Liar::start(move |heard, _| {
                    if heard.target.starts_with("/token") {
                        answer(heard)
                    } else {
                        challenge(&realm_of(heard))
                    }
                })
                .await;
                let client = liar.client(vec![candidate(USER, SECRET, &[])]);
                let at = registry(liar.address);
                let error = client.manifest(&at, &repository("a/b"), &tag()).await.unwrap_err();
                let shown = format!("{} {error:?}", told(&error));
                let plain: String = shown.chars().filter(char::is_ascii_alphanumeric).collect();
                for piece in [SECRET, encoded] {
                    let piece: String = piece.chars().filter(char::is_ascii_alphanumeric).collect();
                    assert!(!plain.contains(&piece), "{name}, {inside:?}: {shown}");
                }
                assert!(shown.contains("***"), "{name}, {inside:?}: {shown}");
            }
        }
    }
}

/// In a manifest, too, and in a header of the registry itself.
#[tokio::test]
async fn an_echo_in_a_document_is_hidden() {
    let spread: String = SECRET.chars().flat_map(|c| [c.to_string(), "\\u200b".into()]).collect();
    let liar = Liar::start(move |heard, _| match &heard.authorization {
        None => with(
            "401 Unauthorized",
            &format!("WWW-Authenticate: Basic realm=\"x\"\r\n{EMPTY}"),
            b"",
        ),
        Some(_) => ok("", format!(r#"{{"schemaVersion":2,"mediaType":"application/vnd.{spread}","layers":[],"config":{{}}}}"#).as_bytes()),
    })
    .await;
    let client = liar.client(vec![candidate(USER, SECRET, &[])]);
    let error =
        client.manifest(&registry(liar.address), &repository("a/b"), &tag()).await.unwrap_err();
    assert!(error.to_string().contains("***"), "{error}");
    assert!(!error.to_string().replace('\u{200b}', "").contains(SECRET), "{error}");
}

/// "Now" is no leave to ask five times within milliseconds (containerd/containerd#10447).
#[tokio::test]
async fn a_retry_after_of_nothing_keeps_the_clients_own_pauses() {
    for asked in ["0", "-1", "Wed, 21 Oct 2015 07:28:00 GMT"] {
        let header = format!("Retry-After: {asked}\r\n{EMPTY}");
        let liar = Liar::start(move |_, _| with("429 Too Many Requests", &header, b"")).await;
        let started_here = vec![registry(liar.address)];
        let first_pause = Duration::from_millis(80);
        let patience = Patience { attempts: 4, first_pause, ..patience() };
        let client = Client::new(Options { started_here, patience, ..offering(vec![]) }).unwrap();
        let began = Instant::now();
        client.manifest(&registry(liar.address), &repository("a/b"), &tag()).await.unwrap_err();
        // 80 + 160 + 320 ms, each at least half
        assert!(began.elapsed() >= Duration::from_millis(280), "{asked}: {:?}", began.elapsed());
        assert_eq!(liar.heard().len(), 4, "{asked}");
    }
}

/// A token that the registry does not take, and a 403, are no reason not to try what another file has
/// (containers/skopeo#773: two projects of one host, the wrong entry was taken).
#[tokio::test]
async fn what_one_credential_does_not_open_another_one_may() {
    let (bytes, _, _) = image("x", "linux/amd64");
    let digest = Digest::of(&bytes);
    let user_of = |heard: &Heard| {
        use base64::Engine as _;
        let sent = heard.authorization.clone()?;
        let both =
            base64::engine::general_purpose::STANDARD.decode(sent.strip_prefix("Basic ")?).ok()?;
        Some(String::from_utf8(both).unwrap().split(':').next().unwrap().to_owned())
    };
    let refusals: [fn(&Heard) -> Answer; 3] = [
        // no error= in it, and again after a new token
        |heard| challenge(&realm_of(heard)),
        |_| body("403 Forbidden", "", &errors("DENIED", "requested access is denied")),
        |heard| {
            with(
                "401 Unauthorized",
                &format!(
                    "WWW-Authenticate: Bearer realm=\"{}\",service=\"s\",error=\"insufficient_scope\"\r\n{EMPTY}",
                    realm_of(heard)
                ),
                b"",
            )
        },
    ];
    for (at, refuse) in refusals.into_iter().enumerate() {
        let bytes = bytes.clone();
        let liar = Liar::start(move |heard, _| {
            if heard.target.starts_with("/token") {
                let token = user_of(heard).unwrap_or_else(|| "nobody".into());
                return ok("", format!(r#"{{"token":"token-of-{token}"}}"#).as_bytes());
            }
            match heard.authorization.as_deref() {
                Some("Bearer token-of-right") => {
                    ok(&manifest_type(media_type::OCI_MANIFEST), &bytes)
                }
                Some(_) => refuse(heard),
                None => challenge(&realm_of(heard)),
            }
        })
        .await;
        let both = vec![
            candidate("wrong", "secret-of-wrong", &[]),
            candidate("right", "secret-of-right", &[]),
        ];
        let fetched =
            liar.client(both).manifest(&registry(liar.address), &repository("a/b"), &tag()).await;
        assert_eq!(fetched.unwrap_or_else(|e| panic!("{at}: {e}")).digest, digest);
        // alone it is told what it was
        let client = liar.client(vec![candidate("wrong", "secret-of-wrong", &[])]);
        let error =
            client.manifest(&registry(liar.address), &repository("a/b"), &tag()).await.unwrap_err();
        assert!(matches!(error.kind(), Kind::NotFound | Kind::Denied), "{at}: {error}");
    }
}

#[tokio::test]
async fn each_cause_of_no_access_has_its_own_sentence() {
    let with_header = |header: &'static str| {
        move |_: &Heard| with("401 Unauthorized", &format!("{header}{EMPTY}"), b"")
    };
    let token_for_nobody = |heard: &Heard| {
        if heard.target.starts_with("/token") {
            ok("", br#"{"token":"of-nobody"}"#)
        } else {
            challenge(&realm_of(heard))
        }
    };
    let cases: [(&str, Script, bool, &[&str]); 5] = [
        (
            "no credential",
            Box::new(token_for_nobody),
            false,
            &["no credential is at hand", "moorline login"],
        ),
        ("tokens that are not taken", Box::new(token_for_nobody), true, &["administrator"]),
        (
            "a login that is not known",
            Box::new(with_header("WWW-Authenticate: Negotiate\r\n")),
            true,
            &["offers only negotiate", "proxy"],
        ),
        (
            "no word of it",
            Box::new(with_header("")),
            true,
            &["does not say how", "Bearer or Basic"],
        ),
        (
            "refused",
            Box::new(with_header("WWW-Authenticate: Basic realm=\"x\"\r\n")),
            true,
            &["wrong, revoked or expired"],
        ),
    ];
    for (name, script, has, expected) in cases {
        let liar = Liar::start(move |heard, _| script(heard)).await;
        let offered = if has { vec![candidate(USER, SECRET, &[])] } else { vec![] };
        let client = liar.client(offered);
        let error =
            client.manifest(&registry(liar.address), &repository("a/b"), &tag()).await.unwrap_err();
        for words in expected {
            assert!(told(&error).contains(words), "{name}: {}", told(&error));
        }
        if name != "tokens that are not taken" {
            assert!(!told(&error).contains("administrator"), "{name}: {}", told(&error));
        }
    }
}

/// Headers are hints: GoogleContainerTools/kaniko#298 (bare number), content types of proxies.
#[tokio::test]
async fn odd_headers_do_not_spoil_a_good_manifest() {
    let (bytes, _, _) = image("x", "linux/amd64");
    let digest = Digest::of(&bytes);
    let capitals = media_type::OCI_MANIFEST.to_uppercase();
    for headers in [
        format!("Docker-Content-Digest: {}\r\n", digest.hex()),
        format!("Docker-Content-Digest: sha512:{}{}\r\n", digest.hex(), digest.hex()),
        "Docker-Content-Digest: latest\r\n".to_owned(),
        format!("Docker-Content-Digest: SHA256:{}\r\n", digest.hex().to_uppercase()),
        format!("Content-Type: {capitals}; charset=utf-8\r\n"),
        "Content-Type: text/plain\r\n".to_owned(),
        "Content-Type: \r\n".to_owned(),
    ] {
        let (sent, bytes) = (headers.clone(), bytes.clone());
        let liar = Liar::start(move |_, _| ok(&sent, &bytes)).await;
        let fetched =
            liar.client(vec![]).manifest(&registry(liar.address), &repository("a/b"), &tag()).await;
        assert_eq!(fetched.unwrap_or_else(|e| panic!("{headers}: {e}")).digest, digest);
    }
}

/// A realm's description in Latin-1 was a reason to send no credential at all.
#[tokio::test]
async fn a_challenge_in_latin_1_is_answered() {
    let (bytes, _, _) = image("x", "linux/amd64");
    let liar = Liar::start(move |heard, _| match &heard.authorization {
        Some(sent) if sent.starts_with("Basic ") => ok(&manifest_type(media_type::OCI_MANIFEST), &bytes),
        _ => {
            let head = b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\nWWW-Authenticate: Basic realm=\"Zugang f\xfcr G\xe4ste\"\r\n\r\n";
            Answer::Raw(head.to_vec())
        }
    })
    .await;
    let client = liar.client(vec![candidate(USER, SECRET, &[])]);
    client.manifest(&registry(liar.address), &repository("a/b"), &tag()).await.unwrap();
}

/// A signed address that ended on the way: the registry is asked once more, and a storage that
/// refuses all the same is named and not taken for a missing image.
#[tokio::test]
async fn a_storage_that_refuses_is_asked_again_and_named() {
    let expired = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
    for refusals in [1_usize, 9] {
        let layer = b"layer".to_vec();
        let digest = Digest::of(&layer);
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let storage = Liar::start(move |_, _| {
            let number = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if number < refusals { body("403 Forbidden", "", expired) } else { ok("", &layer) }
        })
        .await;
        let place = format!("http://{}/bucket/layer?signature=hidden", storage.address);
        let liar = Liar::start(move |_, _| {
            with("307 Temporary Redirect", &format!("Location: {place}\r\n{EMPTY}"), b"")
        })
        .await;
        let client = liar.client(vec![]);
        let wanted = crate::liar::descriptor(b"layer");
        assert_eq!(wanted.digest, digest);
        let mut sink = Vec::new();
        let done =
            client.blob(&registry(liar.address), &repository("a/b"), &wanted, &mut sink).await;
        assert_eq!(liar.heard().len(), 2);
        if refusals == 1 {
            done.unwrap();
            assert_eq!(sink, b"layer");
            continue;
        }
        let error = done.unwrap_err();
        let told = told(&error);
        assert!(matches!(error, RegistryError::Storage { .. }), "{error:?}");
        for words in [&storage.address.to_string(), "Request has expired", "the clock"] {
            assert!(told.contains(words), "{told}");
        }
        assert!(!told.contains("does not exist") && !told.contains("hidden"), "{told}");
    }
}

/// A login page with status 200 is called that, and no malformed manifest (kubegems/kubegems#328:
/// "invalid character '<'"; moby/moby#14326).
#[tokio::test]
async fn a_login_page_is_called_that() {
    let page = "<!DOCTYPE html><html><head><title>Sign in - GitLab</title></head>\
                <form><input type=\"password\"></form></html>";
    for token_too in [false, true] {
        let liar = Liar::start(move |heard, _| {
            if token_too && !heard.target.starts_with("/token") {
                return challenge(&realm_of(heard));
            }
            ok("Content-Type: text/html\r\n", page.as_bytes())
        })
        .await;
        let client = liar.client(vec![]);
        let at = registry(liar.address);
        let error = client.manifest(&at, &repository("a/b"), &tag()).await.unwrap_err();
        assert!(told(&error).contains("a login page (\"Sign in - GitLab\")"), "{}", told(&error));
        assert!(!told(&error).contains("malformed"), "{}", told(&error));
        let error = client.tags(&at, &repository("a/b")).await.unwrap_err();
        assert!(told(&error).contains("a login page"), "{}", told(&error));
    }
}

/// `token` empty beside a good `access_token`, `expires_in` negative, quoted (distribution/distribution#1746)
/// or with a fraction.
#[tokio::test]
async fn tokens_as_servers_write_them() {
    let (bytes, _, _) = image("x", "linux/amd64");
    for answer in [
        r#"{"token":"","access_token":"good","expires_in":300}"#,
        r#"{"token":null,"access_token":"good","expires_in":"300"}"#,
        r#"{"token":"good","expires_in":-1}"#,
        r#"{"token":"good","expires_in":299.9,"issued_at":7}"#,
        r#"{"token":" good\n","expires_in":null}"#,
    ] {
        let bytes = bytes.clone();
        let liar = Liar::start(move |heard, _| {
            if heard.target.starts_with("/token") {
                return ok("", answer.as_bytes());
            }
            match heard.authorization.as_deref() {
                Some("Bearer good") => ok(&manifest_type(media_type::OCI_MANIFEST), &bytes),
                _ => challenge(&realm_of(heard)),
            }
        })
        .await;
        let fetched =
            liar.client(vec![]).manifest(&registry(liar.address), &repository("a/b"), &tag()).await;
        fetched.unwrap_or_else(|e| panic!("{answer}: {e}"));
    }
}
