//! Tokens of GitLab's API: kept by `login --api`, sent to that server's API and nowhere else.

use std::fs;

use moorline::secret::Secret as Hidden;
use moorline::standin::{ApiToken, CiPipeline, Config, GitlabFacts, Project, StandIn, Visibility};

use crate::credentials::command::House;
use crate::credentials::common::*;

const API_TOKEN: &str = "glpat-api-canary-9f8e7d";

/// Every form in which the API's token could show up where it does not belong.
fn api_forms() -> Vec<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let users = ["", USER, "gitlab-ci-token", "oauth2", "token", "PRIVATE-TOKEN"];
    let mut forms: Vec<String> =
        users.iter().map(|user| STANDARD.encode(format!("{user}:{API_TOKEN}"))).collect();
    forms.extend([API_TOKEN.to_owned(), STANDARD.encode(API_TOKEN)]);
    forms
}

fn assert_no_api_token(text: &str, where_: &str) {
    for form in api_forms() {
        assert!(!text.contains(&form), "{where_}: {form} in {text}");
    }
}

/// A stand-in for GitLab with one pipeline and two access tokens.
async fn gitlab() -> House {
    let token = |secret: &str, scope: &str| ApiToken {
        secret: Hidden::new(secret.into()),
        projects: vec![PROJECT.into()],
        scopes: vec![scope.into()],
    };
    let running = StandIn::start(Config {
        projects: vec![Project { path: PROJECT.into(), visibility: Visibility::Public }],
        gitlab: GitlabFacts {
            api_tokens: vec![
                token(API_TOKEN, "read_api"),
                token("glpat-registry-only", "read_registry"),
            ],
            pipelines: vec![CiPipeline {
                project: PROJECT.into(),
                id: 10,
                git_ref: "main".into(),
                tag: false,
                sha: "aaaaaaaa00000000000000000000000000000001".into(),
                status: "success".into(),
                jobs: Vec::new(),
            }],
            ..GitlabFacts::default()
        },
        ..Config::default()
    })
    .await
    .unwrap();
    House::of(running)
}

fn configure(house: &House, url: &str, registry: &str) {
    let folder = house.home.path().join(".config/moorline");
    fs::create_dir_all(&folder).unwrap();
    let text = format!("[gitlab]\nurl = \"{url}\"\nregistry = \"{registry}\"\n");
    fs::write(folder.join("config.toml"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_login_is_checked_kept_used_listed_and_forgotten() {
    let house = gitlab().await;
    let host = house.running.address().to_string();
    let url = format!("http://{host}");
    configure(&house, &url, &host);
    let login = ["login", "--api", &url, "--password-stdin", "--store", "file"];
    for (secret, words) in [
        ("glpat-wrong", "wrong, revoked or expired"),
        ("glpat-registry-only", "may not read the API (scopes: read_registry)"),
    ] {
        let said = house.run(&[], secret, &login);
        assert_eq!(said.code, 4, "{}", said.err);
        assert!(said.err.contains(words) && said.err.contains("read_api"), "{}", said.err);
        assert!(!said.err.contains(secret), "{}", said.err);
        assert!(house.run(&[], "", &["login", "--list"]).out.is_empty());
    }
    let find = ["resolve", "--project", PROJECT, "--pipeline", "10"];
    let without = house.run(&[], "", &find);
    assert_eq!(without.code, 4, "{}", without.err);
    assert!(without.err.contains("no API token is at hand"), "{}", without.err);

    let said = house.run(&[], API_TOKEN, &login);
    assert_eq!(said.code, 0, "{}", said.err);
    for words in
        ["its scopes: read_api", "logged in to the API of", "a file that only you can read"]
    {
        assert!(said.err.contains(words), "{}", said.err);
    }
    let listed = house.run(&[], "", &["login", "--list"]);
    // the columns are as wide as the port is long
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n";
    let masked: String = listed.out.replace(&host, "gitlab.example").lines().map(words).collect();
    snapbox::assert_data_eq!(masked, snapbox::file!["../../golden/login/list-api.txt"].raw());
    let listed = house.run(&[], "", &["--json", "login", "--list"]);
    let rows: serde_json::Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(rows, serde_json::json!([{ "api": url, "place": "file" }]));

    // the pipeline is found by it; its image is not there
    let with = house.run(&[], "", &find);
    assert!(!with.err.contains("no API token"), "{}", with.err);
    assert!(
        house.running.seen().iter().any(|s| s.target.contains("/pipelines/10") && s.status == 200)
    );
    for one in house.running.seen() {
        assert!(!one.api_token || one.target.starts_with("/api/v4/"), "{one:?}");
        assert!(!(one.api_token && one.authorized), "{one:?}");
    }
    // it is the key of its own server only
    let other = gitlab().await;
    configure(&house, &format!("http://{}", other.running.address()), &host);
    let listed = other.running.address().to_string();
    let elsewhere = house.run(&[], "", &[&["--insecure-registry", &listed], &find[..]].concat());
    assert!(elsewhere.err.contains("no API token is at hand"), "{}", elsewhere.err);
    assert!(other.running.seen().iter().all(|s| !s.api_token));

    assert_eq!(house.run(&[], "", &["logout", "--api", &url]).code, 0);
    assert_eq!(house.run(&[], "", &["logout", "--api", &url]).code, 3);
    let text = fs::read_to_string(house.home.path().join(".config/moorline/credentials.json"));
    assert_no_api_token(&text.unwrap(), "after logout");
}

/// Without a configured server the git remote names it; it selects a kept token, and gets no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_git_remote_selects_a_kept_token_and_gets_no_other() {
    let house = gitlab().await;
    let host = house.running.address().to_string();
    let url = format!("http://{host}");
    let folder = house.home.path().join(".config/moorline");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.toml"), format!("registry = \"{host}\"\n")).unwrap();
    fs::create_dir(house.home.path().join(".git")).unwrap();
    let git = format!("[remote \"origin\"]\n\turl = {url}/{PROJECT}.git\n");
    fs::write(house.home.path().join(".git/config"), git).unwrap();
    let find = ["resolve", "--project", PROJECT, "--pipeline", "10"];
    let from_env =
        house.run(&[("MOORLINE_GITLAB_TOKEN", API_TOKEN), ("CI_JOB_TOKEN", "glcbt-x")], "", &find);
    assert_eq!(from_env.code, 4, "{}", from_env.err);
    assert!(from_env.err.contains("MOORLINE_GITLAB_TOKEN is not sent to"), "{}", from_env.err);
    assert!(house.running.seen().iter().all(|s| !s.api_token), "{:?}", house.running.seen());
    let login = ["login", "--api", &url, "--password-stdin", "--store", "file"];
    assert_eq!(house.run(&[], API_TOKEN, &login).code, 0);
    let kept = house.run(&[], "", &find);
    assert!(!kept.err.contains("no API token"), "{}", kept.err);
    assert!(house.running.seen().iter().any(|s| s.target.contains("/pipelines/10") && s.api_token));
}

/// The API's token and the registry's credential side by side, against servers that record every
/// byte: neither hears the other's.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_hears_no_credential_and_the_registry_no_api_token() {
    for kept in [false, true] {
        let api = Recorder::start(|head, _| {
            let body: &[u8] = if head.contains("/personal_access_tokens/self") {
                br#"{"scopes":["read_api"]}"#
            } else if head.contains("/registry/repositories") {
                br#"[{"id":1,"name":"","path":"group/project","location":""}]"#
            } else {
                br#"{"id":10,"sha":"aaaaaaaa00000000000000000000000000000001","ref":"main","status":"success","path_with_namespace":"group/project"}"#
            };
            answer("200 OK", "Content-Type: application/json\r\n", body)
        });
        let registry = recorded_registry();
        let house = House::of(StandIn::start(Config::default()).await.unwrap());
        let (url, host) = (format!("http://{}", api.address), registry.address.to_string());
        configure(&house, &url, &host);
        let insecure = [api.address.to_string(), host.clone()];
        let flags = ["--insecure-registry", &insecure[0], "--insecure-registry", &insecure[1]];
        let mut env = vec![
            ("MOORLINE_REGISTRY", host.as_str()),
            ("MOORLINE_USERNAME", USER),
            ("MOORLINE_PASSWORD", SECRET),
        ];
        if kept {
            let login = ["login", "--api", &url, "--password-stdin", "--store", "file"];
            let said = house.run(&[], API_TOKEN, &[&flags[..], &login].concat());
            assert_eq!(said.code, 0, "{}", said.err);
        } else {
            env.push(("MOORLINE_GITLAB_TOKEN", API_TOKEN));
        }
        let find = ["-vv", "resolve", "--project", PROJECT, "--pipeline", "10"];
        let said = house.run(&env, "", &[&flags[..], &find].concat());
        assert_no_api_token(&format!("{}{}", said.out, said.err), "what is said");

        let (to_api, to_registry) = (api.heard(), registry.heard());
        let header = format!("private-token: {API_TOKEN}");
        let heard = to_api.iter().filter(|head| head.to_lowercase().contains(&header)).count();
        assert!(heard > 0, "the API was not asked: {said_err}", said_err = said.err);
        let basic = to_registry.iter().filter(|head| is_authorized(head)).count();
        assert!(basic > 0, "the registry was not asked: {said_err}", said_err = said.err);
        for head in &to_api {
            assert!(!is_authorized(head), "{head}");
            assert_clean(head, "the API");
        }
        for head in &to_registry {
            assert_no_api_token(head, "the registry");
            assert!(!head.to_lowercase().contains("private-token"), "{head}");
        }
    }
}

/// A registry that is its own realm, takes any token and has no image.
pub fn recorded_registry() -> Recorder {
    // its own address is known only when it listens: the Host header says it
    Recorder::start(|head, _| {
        let host = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("host: ").map(str::to_owned))
            .unwrap_or_default();
        if head.starts_with("GET /jwt/auth") {
            token_answer()
        } else if head.contains(&format!("Bearer {TOKEN}"))
            || head.contains(&format!("bearer {TOKEN}"))
        {
            answer("404 Not Found", "", b"{}")
        } else {
            challenge(&[bearer(&format!("http://{host}/jwt/auth"))])
        }
    })
}
