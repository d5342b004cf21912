//! What the stand-in answers, without the client that it serves in other tests.

use super::*;
use crate::secret::Secret;

async fn start(token_seconds: u64) -> Running {
    let config: Config = serde_json::from_value(serde_json::json!({
        "token_seconds": token_seconds,
        "projects": [
            {"path": "group/project"},
            {"path": "group/open", "visibility": "public"},
            {"path": "group/sub/deep"},
        ],
        "deploy_tokens": [
            {"username": "reader", "secret": "r", "scopes": ["read_registry"], "project": "group/project"},
            {"username": "writer", "secret": "w", "scopes": ["read_registry", "write_registry"], "group": "group"},
            {"username": "coder", "secret": "c", "scopes": ["read_repository"], "project": "group/project"},
        ],
        "job_tokens": [{"secret": "j", "project": "group/project"}],
    }))
    .unwrap();
    StandIn::start(config).await.unwrap()
}

/// Status, and the `access` of the token as `name:actions` or the error's code.
async fn ask(running: &Running, who: Option<(&str, &str)>, query: &str) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.get(format!("{}?{query}", running.realm()));
    if let Some((user, secret)) = who {
        request = request.basic_auth(user, Some(secret));
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    if text.is_empty() {
        return (status, text);
    }
    let body: serde_json::Value = serde_json::from_str(&text).unwrap();
    if let Some(code) = body["errors"][0]["code"].as_str() {
        return (status, code.to_owned());
    }
    assert_eq!(body.as_object().unwrap().len(), 1, "only a token: {body}");
    let token = body["token"].as_str().unwrap();
    let claims: token::Claims =
        running.shared.key.check(token, "container_registry").expect("a valid token");
    let shown = |a: &token::Access| format!("{}:{}", a.name, a.actions.join(","));
    (status, claims.access.iter().map(shown).collect::<Vec<_>>().join(" "))
}

#[tokio::test]
async fn answers_of_jwt_auth() {
    const SERVICE: &str = "service=container_registry";
    let running = start(300).await;
    let of = |scope: &str| format!("{SERVICE}&scope=repository:{scope}");
    let (reader, writer) = (Some(("reader", "r")), Some(("writer", "w")));
    for (who, query, status, answer) in [
        (reader, "service=other".into(), 404, ""),
        (reader, String::new(), 404, ""),
        (Some(("reader", "wrong")), SERVICE.into(), 401, "UNAUTHORIZED"),
        (Some(("Reader", "r")), SERVICE.into(), 401, "UNAUTHORIZED"),
        (Some(("coder", "c")), SERVICE.into(), 403, "DENIED"),
        (None, SERVICE.into(), 403, "DENIED"),
        (None, of("group/project:pull"), 403, "DENIED"),
        (None, of("group/open:pull,push"), 200, "group/open:pull"),
        (reader, SERVICE.into(), 200, ""),
        (reader, of("group/project:pull"), 200, "group/project:pull"),
        (reader, of("group/project/sub/img:pull,push,delete"), 200, "group/project/sub/img:pull"),
        (reader, of("group/project2:pull"), 200, ""),
        (reader, of("group/sub/deep:pull"), 200, ""),
        (reader, of("group/open:pull"), 200, "group/open:pull"),
        (reader, "service=container_registry&scope=registry:catalog:*".into(), 200, ""),
        (writer, of("group/sub/deep/x:pull,push"), 200, "group/sub/deep/x:pull,push"),
        (
            writer,
            format!(
                "{}%20repository:group/open:push&scope=repository:group/sub/deep:pull",
                of("group/project:pull")
            ),
            200,
            "group/project:pull group/open:push group/sub/deep:pull",
        ),
        (
            Some(("gitlab-ci-token", "j")),
            of("group/project:pull,push"),
            200,
            "group/project:pull,push",
        ),
        (Some(("gitlab-ci-token", "r")), of("group/project:pull"), 401, "UNAUTHORIZED"),
    ] {
        let got = ask(&running, who, &query).await;
        assert_eq!(got, (status, answer.to_owned()), "{:?} {query}", who.map(|(user, _)| user));
    }
    running.shutdown().await;
}

#[tokio::test]
async fn challenges_of_the_embedded_registry() {
    let running = start(300).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/v2/group/project/tags/list", running.address());
    for (token, error) in [(None, ""), (Some("nonsense"), "invalid_token")] {
        let mut request = client.get(&url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 401);
        let challenge = response.headers()["www-authenticate"].to_str().unwrap();
        assert!(challenge.contains(&running.realm()), "{challenge}");
        assert!(challenge.contains("scope=\"repository:group/project:pull\""), "{challenge}");
        assert_eq!(challenge.contains("error="), !error.is_empty());
        assert!(challenge.contains(error), "{challenge}");
    }
}

#[test]
fn the_configuration_keeps_its_secrets() {
    let text = r#"{"projects":[],"job_tokens":[{"secret":"glcbt-hidden","project":"a/b"}]}"#;
    let config: Config = serde_json::from_str(text).unwrap();
    assert!(!format!("{config:?}").contains("hidden"));
    assert!(serde_json::from_str::<Config>(r#"{"project":[]}"#).is_err(), "unknown keys are told");
    let _: &Secret = &config.job_tokens[0].secret;
}
