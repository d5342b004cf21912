//! The canary and proxies: a hostile one that the environment names hears at most where a
//! connection leads, never what goes through it.

use std::fs;

use assert_cmd::Command;

use crate::credentials::api::recorded_registry;
use crate::credentials::common::*;

const API_TOKEN: &str = "glpat-proxy-canary-5e4d3c";
const VARIABLES: [&str; 6] =
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// What a hostile proxy answers; `other` listens too.
fn answers(other: &str) -> Vec<Vec<u8>> {
    vec![
        token_answer(),
        answer(
            "407 Proxy Authentication Required",
            "Proxy-Authenticate: Basic realm=\"x\"\r\n",
            b"",
        ),
        answer("302 Found", &format!("Location: http://{other}/v2/\r\n"), b""),
        challenge(&[bearer(&format!("http://{other}/token"))]),
        challenge(&["Basic realm=\"registry\"".to_owned()]),
    ]
}

/// The program with a credential for `registry` and an API token for `api`, told of a proxy.
fn run(variable: &str, proxy: &str, registry: &str, api: &str, insecure: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".config/moorline");
    fs::create_dir_all(&folder).unwrap();
    let text = format!("[gitlab]\nurl = \"{api}\"\nregistry = \"{registry}\"\n");
    fs::write(folder.join("config.toml"), text).unwrap();
    let mut said = String::new();
    for arguments in [
        vec!["-vv", "resolve", "group/project:v1"],
        vec!["-vv", "resolve", "--project", PROJECT, "--pipeline", "1"],
    ] {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("moorline"));
        command
            .env_clear()
            .env("HOME", home.path())
            .env("MOORLINE_REGISTRY", registry)
            .env("MOORLINE_USERNAME", USER)
            .env("MOORLINE_PASSWORD", SECRET)
            .env("MOORLINE_GITLAB_TOKEN", API_TOKEN)
            .env(variable, proxy)
            .current_dir(home.path());
        for host in insecure {
            command.args(["--insecure-registry", host]);
        }
        let done = command.args(arguments).output().unwrap();
        assert!(!done.status.success());
        said += &String::from_utf8_lossy(&done.stdout);
        said += &String::from_utf8_lossy(&done.stderr);
    }
    said
}

fn assert_nothing(text: &str, case: &str) {
    assert_clean(text, case);
    assert!(!text.contains(API_TOKEN), "{case}: the API token in {text}");
}

#[test]
fn no_proxy_of_the_environment_hears_a_secret() {
    // most of it is waiting between tries
    let cases: usize = std::thread::scope(|threads| {
        let running = VARIABLES.map(|variable| threads.spawn(move || no_proxy_hears(variable)));
        running.into_iter().map(|cases| cases.join().unwrap()).sum()
    });
    // docs/registry.md says this number
    assert_eq!(cases, 120);
}

fn no_proxy_hears(variable: &str) -> usize {
    let mut cases = 0;
    for at in 0..answers("").len() {
        for with_name in [false, true] {
            let other = Recorder::start(|_, _| token_answer());
            let reply = answers(&other.address.to_string())[at].clone();
            let evil = Recorder::start(move |_, _| reply.clone());
            // on loopback, plain http and listed: it gets the secret, and no proxy on the way
            let near = recorded_registry();
            let proxy = if with_name {
                format!("http://proxy-user:proxy-word@{}", evil.address)
            } else {
                format!("http://{}", evil.address)
            };
            let listed = near.address.to_string();
            for (registry, api, insecure) in [
                (listed.as_str(), format!("http://{listed}"), vec![listed.as_str()]),
                ("registry.invalid", "https://gitlab.invalid".to_owned(), Vec::new()),
            ] {
                let case = format!("{variable}={proxy}, answer {at}, {registry}");
                let said = run(variable, &proxy, registry, &api, &insecure);
                assert_nothing(&said, &case);
                assert!(!said.contains("proxy-word"), "{case}: the proxy's own secret: {said}");
                for head in evil.heard().iter().chain(&other.heard()) {
                    assert_nothing(head, &case);
                    assert!(!is_authorized(head), "{case}: {head}");
                    assert!(!head.to_lowercase().contains("private-token"), "{case}: {head}");
                }
                cases += 1;
            }
            let heard = near.heard();
            assert!(heard.iter().any(|head| is_authorized(head)), "{variable}: {heard:?}");
            assert!(heard.concat().contains(API_TOKEN), "{variable}: {heard:?}");
            assert_eq!(other.heard(), [""; 0], "{variable}: answer {at} led elsewhere");
        }
    }
    cases
}
