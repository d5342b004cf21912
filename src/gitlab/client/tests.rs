use std::time::Duration;

use super::*;
use crate::gitlab::Project;
use crate::secret::Secret;

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
        proxies: crate::net::Proxies::default(),
        hosts: None,
        hidden: crate::text::Hidden::default(),
        notice: None,
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

/// Answers each request by its path, until the process ends.
fn server(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> std::net::SocketAddr {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let path = first.split(' ').nth(1).unwrap().to_owned();
            // a client that went away got what it wanted
            let _ = stream.write_all(answer(&path).as_bytes());
        }
    });
    address
}

fn json(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
}

fn asked(address: std::net::SocketAddr) -> (Result<Project, GitlabError>, Vec<String>) {
    let told: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let into = Arc::clone(&told);
    let notice: Arc<dyn Fn(&str) + Send + Sync> =
        Arc::new(move |text: &str| into.lock().unwrap().push(text.to_owned()));
    let with = Options {
        notice: Some(notice),
        ..options(&format!("http://{address}"), "glpat-Xy7Qp9zR2wLm", true)
    };
    let client = Client::new(with).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(client.project("old/name"));
    // asked twice, told once
    let _ = runtime.block_on(client.project("old/name"));
    drop(client);
    let told = told.lock().unwrap().clone();
    (answer, told)
}

/// GitLab answers a redirect for a project that was renamed; it was told as "another server"
/// (python-gitlab/python-gitlab#3299, gitpod-io/gitpod#1695).
#[test]
fn a_renamed_project_is_followed_and_its_new_name_told() {
    for new in [
        "/api/v4/projects/81",
        "/api/v4/projects/new%2Fname",
        "http://HOST/api/v4/projects/new%2Fname",
    ] {
        let address = server({
            let new = new.to_owned();
            // the crate writes a question mark behind it
            move |path| match path.trim_end_matches('?') {
                "/api/v4/projects/old%2Fname" => {
                    let host = ADDRESS.get().unwrap().lock().unwrap().clone();
                    json(
                        "301 Moved Permanently",
                        &format!("Location: {}\r\n", new.replace("HOST", &host)),
                        "{}",
                    )
                }
                _ => json("200 OK", "", r#"{"id":81,"path_with_namespace":"new/name"}"#),
            }
        });
        *ADDRESS.get_or_init(Default::default).lock().unwrap() = address.to_string();
        let (answer, told) = asked(address);
        assert_eq!(answer.unwrap().path_with_namespace, "new/name", "{new}");
        let [one] = told.as_slice() else { panic!("{told:?}") };
        assert!(one.contains("old/name has moved: it is new/name now"), "{one}");
    }
}

/// Where a test's server is, for its own answers.
static ADDRESS: std::sync::OnceLock<std::sync::Mutex<String>> = std::sync::OnceLock::new();

#[test]
fn a_redirect_out_of_the_api_is_not_followed_and_a_page_is_called_one() {
    let login = server(|path| match path {
        "/users/sign_in" => panic!("it was followed"),
        _ => json("302 Found", "Location: /users/sign_in\r\n", ""),
    });
    let (answer, told) = asked(login);
    let error = answer.unwrap_err().to_string();
    assert!(error.contains("a page of its own") && told.is_empty(), "{error}");
    let page = server(|_| json("200 OK", "", "<!DOCTYPE html><title>Sign in</title>"));
    let error = asked(page).0.unwrap_err().to_string();
    assert!(error.contains("a login page (\"Sign in\")"), "{error}");
}

#[test]
fn an_echoed_token_is_hidden_whatever_stands_inside_it() {
    for inside in ["\u{1}", "\u{200b}", "\u{1b}[0m", "\u{e0041}"] {
        let spread: String =
            "glpat-Xy7Qp9zR2wLm".chars().flat_map(|c| [c.to_string(), inside.into()]).collect();
        let body = serde_json::json!({ "message": format!("bad {spread}") }).to_string();
        let error = asked(server(move |_| json("403 Forbidden", "", &body))).0.unwrap_err();
        assert!(error.to_string().contains("(bad ***)"), "{error}");
    }
}
