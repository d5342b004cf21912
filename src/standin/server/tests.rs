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
        "oauth_tokens": [{"secret": "o", "projects": ["group/project"]}],
        "accounts": [
            {"username": "ada", "secret": "word", "projects": ["group/project"]},
            {"username": "bob", "secret": "word", "projects": ["group/project"], "two_factor": true},
        ],
        "gitlab": {"api_tokens": [
            {"secret": "p", "projects": ["group/project"], "scopes": ["read_registry"]},
            {"secret": "a", "projects": ["group/project"]},
            {"secret": "u", "projects": ["group/project"], "scopes": ["read_user"]},
        ]},
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
        (Some(("anybody", "j")), of("group/project:pull"), 401, "UNAUTHORIZED"),
        (Some(("anybody", "p")), of("group/project:pull,push"), 200, "group/project:pull"),
        (Some(("anybody", "a")), of("group/project:pull,push"), 200, "group/project:pull"),
        (Some(("anybody", "p")), of("group/sub/deep:pull"), 200, ""),
        (Some(("anybody", "u")), of("group/project:pull"), 403, "DENIED"),
        (Some(("anybody", "o")), of("group/project:pull,push"), 200, "group/project:pull,push"),
        (Some(("anybody", "o")), of("group/sub/deep:pull"), 200, ""),
        (Some(("ada", "word")), of("group/project:pull,push"), 200, "group/project:pull,push"),
        (Some(("anybody", "word")), of("group/project:pull"), 401, "UNAUTHORIZED"),
        (Some(("bob", "word")), of("group/project:pull"), 401, "UNAUTHORIZED"),
        (
            reader,
            format!("{}&account=x&client_id=y&offline_token=true", of("group/project:pull")),
            200,
            "group/project:pull",
        ),
    ] {
        let got = ask(&running, who, &query).await;
        assert_eq!(got, (status, answer.to_owned()), "{:?} {query}", who.map(|(user, _)| user));
    }
    running.shutdown().await;
}

/// Header and claims of a token, as GitLab writes them.
#[tokio::test]
async fn claims_are_gitlabs() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let running = start(300).await;
    for (who, secret, kind, sub) in [
        ("reader", "r", "deploy_token", None),
        ("gitlab-ci-token", "j", "build", Some("gitlab-ci-token")),
        ("anybody", "p", "personal_access_token", Some("owner-of-the-token")),
        ("anybody", "o", "oauth", Some("owner-of-the-token")),
        ("ada", "word", "gitlab_or_ldap", Some("ada")),
    ] {
        let scope = "service=container_registry&scope=repository:group/project/sub:pull";
        assert_eq!(ask(&running, Some((who, secret)), scope).await.0, 200);
        let token = running.tokens().pop().unwrap();
        let part = |at: usize| -> serde_json::Value {
            let text = URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap();
            serde_json::from_slice(&text).unwrap()
        };
        let (header, claims) = (part(0), part(1));
        assert_eq!((&header["typ"], &header["alg"]), (&"JWT".into(), &"RS256".into()));
        let kid = header["kid"].as_str().unwrap();
        // base32 of 30 bytes in twelve groups of four
        assert!(kid.len() == 59 && kid.split(':').all(|group| group.len() == 4), "{kid}");
        let time = |name: &str| claims[name].as_i64().unwrap();
        assert_eq!((time("iat") - time("nbf"), time("exp") - time("iat")), (5, 300));
        assert_eq!(claims["aud"], "container_registry");
        assert_eq!(claims["iss"], "gitlab-issuer");
        assert_eq!(claims["sub"], serde_json::json!(sub), "{who}");
        assert_eq!(claims["auth_type"], kind);
        assert_eq!(claims["jti"].as_str().unwrap().len(), 36);
        assert_eq!(claims["user"].as_str().unwrap().split('.').count(), 3, "a token in itself");
        let access = &claims["access"][0];
        assert_eq!(
            (&access["type"], &access["name"]),
            (&"repository".into(), &"group/project/sub".into())
        );
        assert_eq!(access["meta"]["project_path"], "group/project", "{access}");
        assert!(
            access["meta"]["project_id"].is_u64() && access["meta"]["root_namespace_id"].is_u64()
        );
    }
}

/// The API takes access tokens and, for little, job tokens; deploy tokens never.
#[tokio::test]
async fn the_api_knows_no_deploy_token() {
    let running = start(300).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let base = format!("http://{}/api/v4", running.address());
    let project = format!("{base}/projects/group%2Fproject");
    let repositories = format!("{project}/registry/repositories");
    let own = format!("{base}/personal_access_tokens/self");
    for (name, token, url, status) in [
        ("private-token", "a", &project, 200),
        ("private-token", "r", &project, 401),
        ("private-token", "p", &project, 403),
        ("private-token", "p", &own, 200),
        ("private-token", "r", &own, 401),
        ("job-token", "j", &repositories, 200),
        ("job-token", "j", &project, 401),
        ("job-token", "r", &repositories, 401),
    ] {
        let answer = client.get(url).header(name, token).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{name} {token} {url}");
    }
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

/// Status and body of a request to the REST API.
async fn api(
    running: &Running,
    method: &str,
    token: Option<(&'static str, &str)>,
    path: &str,
    body: &str,
) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/api/v4/projects/{path}", running.address());
    let mut request = client.request(method.parse().unwrap(), url).body(body.to_owned());
    if let Some((name, secret)) = token {
        request = request.header(name, secret);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn a_job_writes_packages_and_releases_of_its_own_project() {
    let running = start(300).await;
    let (job, reader, none) = (Some(("job-token", "j")), Some(("private-token", "a")), None);
    let file = "group%2Fproject/packages/generic/moorline/0.1.0/m.tar.gz";
    for (method, token, path, status) in [
        ("PUT", none, file, 404),
        ("PUT", Some(("job-token", "wrong")), file, 401),
        // read_api is not enough to write
        ("PUT", reader, file, 403),
        ("PUT", job, "group%2Fopen/packages/generic/moorline/0.1.0/m.tar.gz", 404),
        ("PUT", job, "group%2Fproject/packages/generic/moor%20line/0.1.0/m.tar.gz", 400),
        ("PUT", job, "group%2Fproject/packages/generic/moorline/0.1.0%2Fx/m.tar.gz", 400),
        ("PUT", job, "group%2Fproject/pipelines/1", 401),
        ("GET", job, file, 404),
        ("PUT", job, file, 201),
        // the project's number is its place in the configuration
        ("PUT", job, "1/packages/generic/moorline/0.1.0/SHA256SUMS", 201),
    ] {
        let (got, said) = api(&running, method, token, path, "the bytes").await;
        assert_eq!(got, status, "{method} {path}: {said}");
    }
    assert_eq!(api(&running, "GET", job, file, "").await, (200, "the bytes".to_owned()));
    assert_eq!(api(&running, "GET", reader, file, "").await.0, 200);
    let names = running.packages("group/project");
    assert_eq!(names.len(), 2, "{names:?}");

    let link = |name: &str, url: &str| serde_json::json!({ "name": name, "url": url });
    let release = |links: &[serde_json::Value]| {
        serde_json::json!({ "tag_name": "v1", "ref": "abc", "assets": { "links": links } })
            .to_string()
    };
    let good = link("m.tar.gz", "https://gitlab.example/m");
    for (body, status) in [
        ("{".to_owned(), 400),
        ("{}".to_owned(), 400),
        (release(&[link("m", "file:///etc/passwd")]), 400),
        (release(&[good.clone(), good.clone()]), 400),
        (release(std::slice::from_ref(&good)), 201),
        (release(&[good]), 409),
    ] {
        let (got, said) = api(&running, "POST", job, "group%2Fproject/releases", &body).await;
        assert_eq!(got, status, "{body}: {said}");
    }
    let (status, made) = api(&running, "GET", reader, "group%2Fproject/releases/v1", "").await;
    assert!(status == 200 && made.contains("https://gitlab.example/m"), "{made}");
}
