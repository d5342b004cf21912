use super::*;

fn options(server: &str, secret: &str, insecure: bool) -> Options {
    Options {
        server: server.parse().unwrap(),
        token: Token {
            kind: TokenKind::Access,
            secret: Secret::new(secret.into()),
            source: "MOORLINE_GITLAB_TOKEN".into(),
        },
        ca_files: Vec::new(),
        insecure,
        proxies: crate::proxy::Proxies::default(),
        turns: None,
        patience: Duration::from_secs(5),
    }
}

#[test]
fn no_token_in_the_clear() {
    let error = Client::new(options("http://127.0.0.1:1", "glpat-canary", false)).unwrap_err();
    assert!(matches!(error, GitlabError::PlainHttp { .. }), "{error}");
    let client = Client::new(options("http://127.0.0.1:1", "glpat-canary", true)).unwrap();
    assert!(!format!("{client:?} {error:?} {error}").contains("canary"));
    let broken = Client::new(options("https://gitlab.example", "glpat\ncanary", true)).unwrap_err();
    assert!(!format!("{broken:?} {broken}").contains("canary"), "{broken}");
}
