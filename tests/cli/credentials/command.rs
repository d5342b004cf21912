//! The program itself, against the stand-in: `auth-explain`, `login`, and flags for one command.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use assert_cmd::Command;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use moorline::oci::{Digest, Sha256Digest, media_type};
use moorline::secret::Secret as Hidden;
use moorline::standin::{Config, DeployToken, Project, Running, Scope, StandIn, Visibility};
use serde_json::{Value, json};

use crate::credentials::common::*;

pub struct House {
    pub home: tempfile::TempDir,
    pub running: Running,
}

/// What a run of the program said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A stand-in with an image in a private project, one in a public one, and two deploy tokens.
pub async fn house() -> House {
    let project = |path: &str, visibility| Project { path: path.into(), visibility };
    let token = |username: &str, secret: &str, scope| DeployToken {
        username: username.into(),
        secret: Hidden::new(secret.into()),
        scopes: vec![scope],
        project: Some(PROJECT.into()),
        group: None,
    };
    let running = StandIn::start(Config {
        projects: vec![
            project(PROJECT, Visibility::Private),
            project("group/open", Visibility::Public),
            project("group/second", Visibility::Private),
        ],
        deploy_tokens: vec![
            token(USER, SECRET, Scope::ReadRegistry),
            DeployToken {
                project: Some("group/second".into()),
                ..token("second", SECRET, Scope::ReadRegistry)
            },
            token("code-only", SECRET, Scope::ReadRepository),
            token("push-only", SECRET, Scope::WriteRegistry),
        ],
        ..Config::default()
    })
    .await
    .unwrap();
    let images = running.images();
    let config =
        br#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let manifest = json!({ "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": { "mediaType": media_type::OCI_CONFIG, "digest": Digest::of(config).to_string(), "size": config.len() },
        "layers": [] });
    images.put_blob(config.to_vec());
    for repository in [PROJECT, "group/open", "group/second"] {
        let bytes = serde_json::to_vec(&manifest).unwrap();
        let digest = images.put_manifest(repository, media_type::OCI_MANIFEST, bytes);
        images.tag(repository, "v1", digest);
    }
    House::of(running)
}

impl House {
    pub fn of(running: Running) -> Self {
        Self { home: tempfile::tempdir().unwrap(), running }
    }

    pub fn image(&self, rest: &str) -> String {
        format!("{}/{rest}", self.running.address())
    }

    /// Runs the program with an environment of its own; nothing that it says may hold a secret.
    pub fn run(&self, variables: &[(&str, &str)], stdin: &str, arguments: &[&str]) -> Said {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("moorline"));
        let done = command
            .env_clear()
            .env("HOME", self.home.path())
            .envs(variables.iter().copied())
            .args(["--insecure-registry", &self.running.address().to_string()])
            .args(arguments)
            .current_dir(self.home.path())
            .write_stdin(stdin.to_owned())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = Said {
            code: done.status.code().unwrap(),
            out: text(&done.stdout),
            err: text(&done.stderr),
        };
        assert_clean(&format!("{}{}", said.out, said.err), &arguments.join(" "));
        said
    }

    fn asked_for_tokens(&self) -> usize {
        self.running.seen().iter().filter(|seen| seen.target.starts_with("/jwt/auth")).count()
    }
}

fn docker_config(registry: &str, pair: &str) -> String {
    json!({ "auths": { registry: { "auth": STANDARD.encode(pair) } } }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_explain_says_what_is_taken_and_why() {
    let house = house().await;
    let image = house.image("group/project:v1");
    let registry = house.running.address().to_string();
    let text = docker_config(&registry, &format!("{USER}:{SECRET}"));
    let variables = [
        ("MOORLINE_REGISTRY", registry.as_str()),
        ("MOORLINE_USERNAME", "code-only"),
        ("MOORLINE_PASSWORD", SECRET),
        ("DOCKER_AUTH_CONFIG", text.as_str()),
    ];
    let said = house.run(&variables, "", &["auth-explain", &image]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    for words in [
        "user code-only from the environment (MOORLINE_USERNAME)",
        "no registry scope",
        "taken: it pulls this repository",
        "nothing for this repository",
        &format!("taken:        user {USER} from DOCKER_AUTH_CONFIG"),
        &format!("answer:       {}", house.image("group/project@sha256:")),
    ] {
        assert!(said.out.contains(words), "no {words:?} in\n{}", said.out);
    }
    let said = house.run(&variables, "", &["--json", "auth-explain", &image]);
    let value: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(value["taken"]["username"], USER);
    assert_eq!(value["sources"][0]["source"], "command line");
    assert_eq!(value["error"], Value::Null);
    assert!(
        value["sources"][1]["offered"][0]["result"].as_str().unwrap().contains("no registry scope")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_explain_without_a_credential_and_with_a_wrong_one() {
    let house = house().await;
    let said = house.run(&[], "", &["auth-explain", &house.image("group/open:v1")]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("anonymous"), "{}", said.out);
    let said = house.run(&[], "", &["auth-explain", &house.image("group/project:v1")]);
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    assert!(said.out.contains("taken:        none"), "{}", said.out);

    let registry = house.running.address().to_string();
    let wrong = docker_config(&registry, "somebody:gldt-wrong");
    let good = docker_config(&registry, &format!("{USER}:{SECRET}"));
    fs::create_dir(house.home.path().join(".docker")).unwrap();
    let file = house.home.path().join(".docker/config.json");
    fs::write(&file, good).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let before = house.asked_for_tokens();
    let image = house.image("group/project:v1");
    let said = house.run(&[("DOCKER_AUTH_CONFIG", &wrong)], "", &["auth-explain", &image]);
    assert_eq!(said.code, 4, "{}{}", said.out, said.err);
    assert!(said.out.contains("nothing else is tried"), "{}", said.out);
    assert!(said.out.contains("not tried: an earlier one decided"), "{}", said.out);
    assert!(!said.out.contains("gldt-wrong") && !said.err.contains("gldt-wrong"));
    assert_eq!(house.asked_for_tokens() - before, 1, "a refused credential was tried again");

    let said = house.run(&[("DOCKER_AUTH_CONFIG", "{")], "", &["auth-explain", &image]);
    assert_eq!(said.code, 12, "{}{}", said.out, said.err);
    assert!(said.out.contains("broken: DOCKER_AUTH_CONFIG"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_for_one_command() {
    let house = house().await;
    let image = house.image("group/project:v1");
    let flags = ["resolve", "--username", USER, "--password-stdin", &image];
    let said = house.run(&[], &format!("{SECRET}\n"), &flags);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("@sha256:"));
    // what is no reference is that argument's error, and the others are answered
    let more = [&flags[..], &["BAD//name", &image]].concat();
    let said = house.run(&[], SECRET, &more);
    assert_eq!(said.code, 2, "{}", said.err);
    let lines: Vec<&str> = said.out.split('\n').collect();
    assert!(lines[0].contains("@sha256:") && lines[1].is_empty(), "{}", said.out);
    assert_eq!((lines[2], lines.len()), (lines[0], 4), "{}", said.out);
    assert!(said.err.contains("BAD//name"), "{}", said.err);
    // it is an order: a broken source after it does not matter
    let said = house.run(&[("DOCKER_AUTH_CONFIG", "{")], SECRET, &flags);
    assert_eq!(said.code, 0, "{}", said.err);

    let file = house.home.path().join("credential");
    fs::write(&file, format!("{USER}\n{SECRET}\n")).unwrap();
    let name = file.display().to_string();
    for (mode, code) in [(0o644, 12), (0o600, 0)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let said = house.run(&[], "", &["resolve", "--credential-file", &name, &image]);
        assert_eq!(said.code, code, "{}", said.err);
    }
    for (arguments, stdin) in [
        (vec!["resolve", "--username", USER, &image], ""),
        (vec!["resolve", "--password-stdin", &image], SECRET),
        (vec!["resolve", "--username", USER, "--password-stdin", &image], ""),
        (
            vec!["resolve", "--username", USER, "--password-stdin", &image, "other.example/a/b:c"],
            SECRET,
        ),
        (vec!["resolve", "--username", USER, "--credential-file", &name, &image], SECRET),
    ] {
        let said = house.run(&[], stdin, &arguments);
        assert_eq!(said.code, 2, "{arguments:?}: {}", said.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn login_names_the_wrong_kind_keeps_the_right_one_and_lists_it() {
    let house = house().await;
    let scope = house.image(PROJECT);
    let login = |user: &'static str, secret: &str| {
        let before = house.asked_for_tokens();
        let said = house.run(
            &[],
            secret,
            &["login", &scope, "--username", user, "--password-stdin", "--store", "file"],
        );
        (said, house.asked_for_tokens() - before)
    };
    let (said, tries) = login("code-only", SECRET);
    assert_eq!((said.code, tries), (4, 1), "{}", said.err);
    assert!(said.err.contains("read_registry"), "{}", said.err);
    let (said, tries) = login(USER, "gldt-wrong");
    assert_eq!((said.code, tries), (4, 1), "{}", said.err);
    assert!(!said.err.contains("gldt-wrong"));
    let listed = house.run(&[], "", &["login", "--list"]);
    assert!(listed.out.is_empty(), "{}", listed.out);

    let (said, tries) = login(USER, SECRET);
    assert_eq!((said.code, tries), (0, 1), "{}", said.err);
    assert!(said.err.contains("kept in a file that only you can read"), "{}", said.err);
    assert!(said.err.contains(&format!("pulls {PROJECT}")), "{}", said.err);
    let listed = house.run(&[], "", &["login", "--list"]);
    assert!(listed.out.contains(USER) && listed.out.contains("file"), "{}", listed.out);
    let image = house.image("group/project:v1");
    assert_eq!(house.run(&[], "", &["resolve", &image]).code, 0);
    assert_eq!(house.run(&[], "", &["logout", &scope]).code, 0);
    assert_eq!(house.run(&[], "", &["resolve", &image]).code, 3);
}

/// Each token opens its own project only, and each pull finds the right one.
#[tokio::test(flavor = "multi_thread")]
async fn two_deploy_tokens_for_two_projects_of_one_host_both_work() {
    let house = house().await;
    let names = [(USER, PROJECT), ("second", "group/second")];
    let images: Vec<String> =
        names.iter().map(|(_, project)| house.image(&format!("{project}:v1"))).collect();
    for (user, project) in names {
        let scope = house.image(project);
        let flags = ["login", &scope, "--username", user, "--password-stdin", "--store", "file"];
        assert_eq!(house.run(&[], SECRET, &flags).code, 0);
    }
    let said = house.run(&[], "", &["resolve", &images[1], &images[0], &images[1]]);
    assert_eq!(said.code, 0, "{}", said.err);
    let lines: Vec<&str> = said.out.lines().collect();
    let of = |project: &str| format!("{}@sha256:", house.image(project));
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with(&of("group/second")) && lines[1].starts_with(&of(PROJECT)));
    assert_eq!(lines[0], lines[2]);
    // without the second login its project is closed, whatever the first one opens
    assert_eq!(house.run(&[], "", &["logout", &house.image("group/second")]).code, 0);
    assert_eq!(house.run(&[], "", &["resolve", &images[1]]).code, 3);
    assert_eq!(house.run(&[], "", &["resolve", &images[0]]).code, 0);
}

/// A realm that is not the registry's own host is confirmed once; then it needs no flag.
#[tokio::test(flavor = "multi_thread")]
async fn a_realm_is_confirmed_at_login_and_remembered() {
    let house = house().await;
    let realm = house.running.realm();
    let named = vec![bearer(&realm)];
    let registry = Recorder::start(move |head, _| {
        if is_authorized(head) { answer("404 Not Found", "", b"{}") } else { challenge(&named) }
    });
    let host = registry.address.to_string();
    let flags = ["--insecure-registry", &host];
    let scope = format!("{host}/{PROJECT}");
    let login = ["login", &scope, "--username", USER, "--password-stdin", "--store", "file"];
    let with_secret = || {
        let seen = house.running.seen();
        seen.iter().filter(|one| one.target.starts_with("/jwt/auth") && one.authorized).count()
    };
    let said = house.run(&[], SECRET, &[&flags[..], &login].concat());
    assert_eq!(said.code, 4, "{}", said.err);
    assert!(said.err.contains("not confirmed") && said.err.contains("--realm"), "{}", said.err);
    let other = ["--realm", "https://gitlab.example"];
    let said = house.run(&[], SECRET, &[&flags[..], &login, &other].concat());
    assert_eq!(said.code, 4, "{}", said.err);
    assert_eq!(with_secret(), 0);

    let said = house.run(&[], SECRET, &[&flags[..], &login, &["--realm", &realm]].concat());
    assert_eq!((said.code, with_secret()), (0, 1), "{}", said.err);
    let listed = house.run(&[], "", &["login", "--list"]);
    assert!(listed.out.contains(realm.trim_end_matches("/jwt/auth")), "{}", listed.out);
    let image = format!("{scope}:v1");
    let said = house.run(&[], "", &[&flags[..], &["resolve", &image]].concat());
    assert_eq!((said.code, with_secret()), (3, 2), "{}", said.err);
    // another project of the same host needs no flag again
    let second = format!("{host}/group/second");
    let login = ["login", &second, "--username", USER, "--password-stdin", "--store", "file"];
    let said = house.run(&[], SECRET, &[&flags[..], &login].concat());
    assert_eq!((said.code, with_secret()), (0, 3), "{}", said.err);
    // the registry got the token that it asked for, and nothing else
    assert!(registry.heard().iter().all(|head| forms()[..7].iter().all(|f| !head.contains(f))));
}

/// CI's registry is one registry in every spelling; the realm that CI names for it stays exact.
#[tokio::test(flavor = "multi_thread")]
async fn cis_registry_is_known_in_any_spelling_and_its_realm_exactly() {
    let house = house().await;
    let named = vec![bearer(&house.running.realm())];
    let registry = Recorder::start(move |head, _| {
        if is_authorized(head) { answer("404 Not Found", "", b"{}") } else { challenge(&named) }
    });
    let port = registry.address.port();
    let (host, spelled) = (format!("localhost:{port}"), format!("LocalHost:{port}"));
    let server = format!("http://{}", house.running.address());
    let scope = format!("{host}/{PROJECT}");
    let login = |own: &str, url: &str| {
        let variables = [("CI_REGISTRY", own), ("CI_SERVER_URL", url)];
        let flags = ["login", &scope, "--username", USER, "--password-stdin", "--store", "file"];
        let insecure = ["--insecure-registry", &host];
        house.run(&variables, SECRET, &[&insecure[..], &flags].concat())
    };
    let secrets = || {
        let seen = house.running.seen();
        seen.iter().filter(|one| one.target.starts_with("/jwt/auth") && one.authorized).count()
    };
    let other_name = server.replace("127.0.0.1", "localhost");
    for (own, url) in [
        (format!("localhost:{}", port ^ 1), server.as_str()),
        (format!("xlocalhost:{port}"), &server),
        ("localhost".into(), &server),
        (spelled.clone(), &server.replace("http:", "https:")),
        (spelled.clone(), "http://127.0.0.1:1"),
        (spelled.clone(), &other_name),
    ] {
        let said = login(&own, url);
        assert_eq!(said.code, 4, "{own} {url}: {}", said.err);
        assert!(said.err.contains("not confirmed"), "{own} {url}: {}", said.err);
    }
    assert_eq!(secrets(), 0);
    let said = login(&spelled, &server);
    assert_eq!((said.code, secrets()), (0, 1), "{}", said.err);
}

/// What a login says of the projects that the token opens, as far as a registry tells.
#[tokio::test(flavor = "multi_thread")]
async fn login_says_what_it_opens_and_what_not() {
    let house = house().await;
    let (host, scope) = (house.image(""), house.image(PROJECT));
    let host = host.trim_end_matches('/');
    let login = |scope: &str, user: &'static str| {
        let flags = ["login", scope, "--username", user, "--password-stdin", "--store", "file"];
        let before = house.asked_for_tokens();
        let said = house.run(&[], SECRET, &flags);
        assert_eq!(house.asked_for_tokens() - before, 1, "one request, whatever is asked");
        (said.code, said.err.replace(host, "registry.example"))
    };
    let mut text = String::new();
    let mut told = |case: &str, (code, said): (i32, String)| {
        text += &format!("== {case}: exit code {code}\n{said}");
    };
    told("a project", login(&scope, USER));
    told("a project of somebody else", login(&house.image("other/closed"), USER));
    told("a group", login(&house.image("group"), USER));
    told("a host alone", login(host, USER));
    // the images of moorline.toml are what it is for
    let images = format!(
        "[images]\nmine = \"{host}/{PROJECT}/sub:v1\"\nopen = \"{host}/group/open:v1\"\n\
         closed = \"{host}/other/closed:v1\"\nhub = \"docker.io/library/fedora:latest\"\n"
    );
    fs::write(house.home.path().join("moorline.toml"), images).unwrap();
    told("a host alone, with images in moorline.toml", login(host, USER));
    told("a token without read_registry, for a host", login(host, "code-only"));
    told("a token without read_registry, for a project", login(&scope, "code-only"));
    told("a token that only pushes", login(&scope, "push-only"));
    snapbox::assert_data_eq!(text, snapbox::file!["../../golden/login/opens.txt"].raw());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debug_trace_is_warned_about() {
    let house = house().await;
    let registry = house.running.address().to_string();
    let server = format!("http://{registry}");
    let said = house.run(
        &[
            ("CI_REGISTRY", &registry),
            ("CI_SERVER_URL", &server),
            ("CI_DEPLOY_USER", USER),
            ("CI_DEPLOY_PASSWORD", SECRET),
            ("CI_DEBUG_TRACE", "true"),
        ],
        "",
        &["resolve", &house.image("group/project:v1")],
    );
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(said.err.matches("CI_DEBUG_TRACE").count(), 1, "{}", said.err);
}

/// `[realms]`: what the user's configuration confirms, and nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_realm_of_the_configuration_is_confirmed() {
    let realm = Recorder::start(|_, _| token_answer());
    let named = format!("http://{}/jwt/auth", realm.address);
    let registry = Recorder::start(move |head, _| {
        if head.to_lowercase().contains("authorization: bearer") {
            answer("404 Not Found", "", b"{}")
        } else {
            challenge(&[bearer(&named)])
        }
    });
    let house = House::of(StandIn::start(Config::default()).await.unwrap());
    let host = registry.address.to_string();
    let folder = house.home.path().join(".config/moorline");
    fs::create_dir_all(&folder).unwrap();
    let write = |at: &std::path::Path, realm: std::net::SocketAddr| {
        fs::write(at, format!("[realms]\n\"{host}\" = \"http://{realm}\"\n")).unwrap();
    };
    let variables = [
        ("MOORLINE_REGISTRY", host.as_str()),
        ("MOORLINE_USERNAME", USER),
        ("MOORLINE_PASSWORD", SECRET),
    ];
    let image = format!("{host}/{PROJECT}:v1");
    let listed = realm.address.to_string();
    let resolve = || {
        let flags = ["--insecure-registry", &host, "--insecure-registry", &listed];
        house.run(&variables, "", &[&flags[..], &["resolve", &image]].concat())
    };
    let authorized = || realm.heard().iter().filter(|head| is_authorized(head)).count();
    // nobody, a project file, or another realm than the registry names
    let said = resolve();
    assert_eq!(said.code, 4, "{}", said.err);
    assert!(
        said.err.contains("was not confirmed for this registry: nothing was sent"),
        "{}",
        said.err
    );
    let project = house.home.path().join("moorline.toml");
    write(&project, realm.address);
    let said = resolve();
    assert_eq!(said.code, 12, "{}", said.err);
    fs::remove_file(project).unwrap();
    write(&folder.join("config.toml"), house.running.address());
    assert_eq!(resolve().code, 4);
    assert_eq!(authorized(), 0);
    // the one that it names: once, and then the token goes to the registry
    write(&folder.join("config.toml"), realm.address);
    let said = resolve();
    assert_eq!(said.code, 3, "{}", said.err);
    assert_eq!(authorized(), 1);
    assert!(registry.heard().iter().any(|head| is_authorized(head)));
    for head in registry.heard() {
        assert!(!head.contains(SECRET) && !head.to_lowercase().contains("basic"), "{head}");
    }
}

/// While a secret is typed no core of the process can be written.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_leaves_no_core() {
    let registry = Recorder::start(|_, _| {
        answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b"")
    });
    let host = registry.address.to_string();
    let home = tempfile::tempdir().unwrap();
    let script = "ulimit -S -c unlimited 2>/dev/null; exec \"$0\" \"$@\"";
    let mut child = std::process::Command::new("/bin/sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_moorline"), "--insecure-registry", &host])
        .args(["login", &host, "--username", USER, "--password-stdin", "--store", "file"])
        .env_clear()
        .env("HOME", home.path())
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // the registry is asked before the secret is read, and the secret does not come
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while registry.heard().is_empty() {
        assert!(std::time::Instant::now() < deadline, "the registry was not asked");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let process = format!("/proc/{}", child.id());
    let limits = fs::read_to_string(format!("{process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    // what may not be dumped is root's to the eyes of others
    let owner =
        std::os::unix::fs::MetadataExt::uid(&fs::metadata(format!("{process}/environ")).unwrap());
    assert_eq!(owner, 0);
    drop(child.stdin.take());
    assert!(!child.wait().unwrap().success());
}
