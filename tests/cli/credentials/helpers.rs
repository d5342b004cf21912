//! Credential helpers: run only when named, named when they fail, never repeated, never waited for.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use moorline::credential::CredentialError;
use moorline::failure::Failure;
use moorline::registry::{Client, Options, Wanted};
use serde_json::{Value, json};

use crate::credentials::common::*;

/// A folder with `docker-credential-x`, and what it leaves there.
struct Place(tempfile::TempDir);

impl Place {
    fn new(program: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let witness = folder.path().join("ran").display().to_string();
        let text = format!("#!/bin/sh\necho \"$@\" >> {witness}\n{program}\n");
        script(&folder.path().join("docker-credential-x"), &text);
        Self(folder)
    }

    fn path(&self) -> String {
        format!("{}:/usr/bin:/bin", self.0.path().display())
    }

    /// How often it ran.
    fn runs(&self) -> usize {
        fs::read_to_string(self.0.path().join("ran")).map_or(0, |text| text.lines().count())
    }

    fn ask(&self, document: &Value) -> Result<Vec<String>, CredentialError> {
        let path = self.path();
        let text = document.to_string();
        find(&chain(&[("PATH", &path), ("DOCKER_AUTH_CONFIG", &text)]), "r.example", "g/p")
    }
}

fn named() -> Value {
    json!({ "credHelpers": { "r.example": "x" } })
}

const GOOD: &str = r#"read -r server; printf '{"ServerURL":"%s","Username":"at %s","Secret":"s"}' "$server" "$server""#;

#[test]
fn a_helper_runs_when_the_file_names_it_for_the_registry() {
    for (document, server) in [
        (named(), "r.example"),
        (json!({ "credHelpers": { "https://r.example/v2/": "x" } }), "https://r.example/v2/"),
        (json!({ "auths": { "r.example": {} }, "credsStore": "x" }), "r.example"),
        (
            json!({ "auths": { "https://r.example/v1/": { "auth": "" } }, "credsStore": "x" }),
            "https://r.example/v1/",
        ),
        (
            json!({ "auths": { "r.example": {} }, "credHelpers": { "r.example": "x" }, "credsStore": "y" }),
            "r.example",
        ),
    ] {
        let place = Place::new(GOOD);
        assert_eq!(place.ask(&document).unwrap(), [format!("at {server}:s")], "{document}");
        assert_eq!(place.runs(), 1, "{document}");
    }
}

#[test]
fn a_helper_that_is_not_named_does_not_run() {
    for document in [
        json!({ "credHelpers": { "o.example": "x" } }),
        json!({ "credHelpers": { "r.example.evil.example": "x", "r.example:444": "x" } }),
        json!({ "credHelpers": { "r.example/g/pp": "x" } }),
        json!({ "credsStore": "x" }),
        json!({ "auths": { "o.example": {} }, "credsStore": "x" }),
        json!({ "auths": { "r.example": {} }, "credsStore": "" }),
        json!({ "auths": { "r.example": {} } }),
    ] {
        let place = Place::new(GOOD);
        assert_eq!(place.ask(&document).unwrap(), [""; 0], "{document}");
        assert_eq!(place.runs(), 0, "{document}");
    }
}

#[test]
fn a_helper_is_asked_once_a_run_also_when_it_fails() {
    for (program, works) in [(GOOD, true), ("exit 1", false)] {
        let place = Place::new(program);
        let (path, text) = (place.path(), named().to_string());
        let chain = chain(&[("PATH", &path), ("DOCKER_AUTH_CONFIG", &text)]);
        for repository in ["g/p", "g/q", "h/p"] {
            assert_eq!(find(&chain, "r.example", repository).is_ok(), works);
        }
        assert_eq!(place.runs(), 1);
    }
}

#[test]
fn a_helper_without_a_credential_is_absent() {
    let place = Place::new("echo 'credentials not found in native keychain'; exit 1");
    assert_eq!(place.ask(&named()).unwrap(), [""; 0]);
}

#[test]
fn a_helper_that_fails_stops_and_its_words_are_not_repeated() {
    let programs = [
        "echo gldt-hidden; exit 1",
        "echo gldt-hidden >&2; exit 1",
        "echo gldt-hidden",
        "true",
        "echo '{}'",
        r#"echo '{"Username":"gldt-hidden"}'"#,
        r#"echo '{"Username":7,"Secret":"gldt-hidden"}'"#,
        r#"echo '{"Username":"<token>","Secret":"gldt-hidden"}'"#,
        r#"echo '{"Username":"","Secret":"gldt-hidden"}'"#,
        r#"echo '{"Username":"u","Secret":""}'"#,
        r#"echo '{"Username":"u","Secret":"gldt-hidden"}'; exit 3"#,
        r#"echo '{"Username":"u","Secret":"gldt-hidden"} {}'"#,
        "echo 'credentials not found in native keychain'",
        "echo 'not: credentials not found'; exit 1",
        "while :; do echo gldt-hidden; done",
        "kill -9 $$",
    ];
    for program in programs {
        let place = Place::new(program);
        let error = place.ask(&named()).unwrap_err();
        let told = format!("{error} {error:?} {:?}", error.hint());
        assert!(told.contains("docker-credential-x"), "{program}: {told}");
        assert!(told.contains("DOCKER_AUTH_CONFIG"), "{program}: {told}");
        assert!(!told.contains("gldt-hidden"), "{program}: {told}");
        assert_eq!(place.runs(), 1, "{program}");
    }
}

/// The limit is 0.7 s in these tests; the programs would go on for 100 s.
#[test]
fn a_helper_that_hangs_is_ended_with_what_it_started() {
    for program in [
        "sleep 100",
        "sleep 100 & echo $! > PID; wait",
        "exec >&-; sleep 100",
        "sleep 100 & echo $! > PID",
    ] {
        let pid = tempfile::tempdir().unwrap();
        let file = pid.path().join("pid");
        let place = Place::new(&program.replace("PID", &file.display().to_string()));
        let start = Instant::now();
        let error = place.ask(&named()).unwrap_err();
        assert!(error.to_string().contains("no answer within"), "{program}: {error}");
        assert!(start.elapsed() < Duration::from_secs(50), "{program}");
        if let Ok(text) = fs::read_to_string(&file) {
            assert_ends(text.trim());
        }
    }
}

/// Polls until the process is gone, or a zombie that nobody has waited for yet.
fn assert_ends(pid: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let status = Path::new("/proc").join(pid).join("stat");
    while let Ok(text) = fs::read_to_string(&status) {
        if text.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')) {
            return;
        }
        assert!(Instant::now() < deadline, "process {pid} is still there: {text}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_name_that_is_a_path_or_a_command_runs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let canary = folder.path().join("canary");
    let text = format!("#!/bin/sh\n: > {}\n", canary.display());
    for name in ["evil", "docker-credential-evil"] {
        script(&folder.path().join(name), &text);
    }
    fs::create_dir(folder.path().join("docker-credential-")).unwrap();
    let here = folder.path().display().to_string();
    let names = [
        "../evil".to_owned(),
        "/../evil".to_owned(),
        "./evil".to_owned(),
        "/evil".to_owned(),
        format!("{here}/evil"),
        "x/../../evil".to_owned(),
        "evil ".to_owned(),
        " evil".to_owned(),
        "evil\n".to_owned(),
        "evil\0".to_owned(),
        "evil;x".to_owned(),
        "$(evil)".to_owned(),
        "`evil`".to_owned(),
        "x|evil".to_owned(),
        "x&&evil".to_owned(),
        "evil get".to_owned(),
        "..".to_owned(),
        ".".to_owned(),
        "\u{ff45}vil".to_owned(),
        "e".repeat(300),
        "%65vil".to_owned(),
        "ev*l".to_owned(),
        "evi?".to_owned(),
        "~evil".to_owned(),
        "evil\\".to_owned(),
    ];
    for name in &names {
        let text = json!({ "credHelpers": { "r.example": name } }).to_string();
        let chain = chain(&[("PATH", &here), ("DOCKER_AUTH_CONFIG", &text)]);
        let error = find(&chain, "r.example", "g/p").unwrap_err();
        assert!(matches!(error, CredentialError::Helper { .. }), "{name:?}: {error}");
        if name.chars().any(|c| !c.is_ascii_alphanumeric() && c != '.') {
            assert_eq!(error.hint(), None, "{name:?}: a hint to run it");
        }
        assert!(!canary.exists(), "{name:?} was run");
    }
    // the canary itself works, and a relative folder of PATH does not count
    let text = json!({ "credHelpers": { "r.example": "evil" } }).to_string();
    for (path, runs) in [(".", false), ("", false), ("bin:.:", false), (here.as_str(), true)] {
        let chain = chain(&[("PATH", path), ("DOCKER_AUTH_CONFIG", &text)]);
        find(&chain, "r.example", "g/p").unwrap_err();
        assert_eq!(canary.exists(), runs, "PATH={path:?}");
    }
}

#[test]
fn a_helper_sees_no_other_secret() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let place =
        Place::new(&format!("env > {}; cat /proc/$$/cmdline >> {0}; {GOOD}", seen.display()));
    let (path, text) = (place.path(), named().to_string());
    let sentinels = [
        "MOORLINE_SIGNING_KEY",
        "MOORLINE_GITLAB_TOKEN",
        "CI_JOB_TOKEN",
        "CI_REGISTRY_PASSWORD",
        "CI_DEPLOY_PASSWORD",
        "CI_JOB_JWT",
        "GITHUB_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "PGPASSWORD",
        "APPTAINER_DOCKER_PASSWORD",
        "SINGULARITY_DOCKER_PASSWORD",
        "VAULT_TOKEN",
        "LD_PRELOAD_X",
    ];
    let mut variables =
        vec![("PATH", path.as_str()), ("HOME", "/nonexistent"), ("DOCKER_AUTH_CONFIG", &text)];
    variables.extend(sentinels.iter().map(|name| (*name, SECRET)));
    let proxy = format!("http://ada:{SECRET}@proxy.example:3128");
    variables.extend([("HTTPS_PROXY", proxy.as_str()), ("https_proxy", proxy.as_str())]);
    assert_eq!(find(&chain(&variables), "r.example", "g/p").unwrap(), ["at r.example:s"]);
    let seen = fs::read_to_string(seen).unwrap();
    assert!(seen.contains("HOME=/nonexistent"), "{seen}");
    for name in ["HTTPS_PROXY", "https_proxy"] {
        assert!(seen.contains(&format!("{name}=http://proxy.example:3128\n")), "{seen}");
    }
    assert!(!seen.contains("ada"), "{seen}");
    assert_clean(&seen, "the helper");
    assert!(!seen.contains("DOCKER_AUTH_CONFIG"), "{seen}");
}

/// What a helper hands over goes where any credential goes, however the registry leads elsewhere.
#[test]
fn a_helpers_secret_goes_to_nobody_else() {
    let answer_of = json!({ "ServerURL": "x", "Username": USER, "Secret": SECRET }).to_string();
    let place = Place::new(&format!("cat > /dev/null; cat <<'END'\n{answer_of}\nEND"));
    let path = place.path();
    let mut cases = 0;
    for form in ["helper", "helper with https", "store", "store with http and v1"] {
        for trick in ["realm", "realm by name", "redirect", "token redirect", "basic elsewhere"] {
            cases += 1;
            let case = format!("{form}, {trick}");
            let evil = Recorder::start(|head, _| {
                if head.contains("/token") {
                    token_answer()
                } else {
                    challenge(&["Basic realm=\"x\"".to_owned()])
                }
            });
            let (to, port) = (evil.address.to_string(), evil.address.port());
            let registry = Recorder::start(move |head, _| {
                let own = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or("");
                let away = |to: &str| format!("Location: http://{to}/v2/g/p/manifests/v1\r\n");
                match trick {
                    "realm" => challenge(&[bearer(&format!("http://{to}/token"))]),
                    "realm by name" => {
                        challenge(&[bearer(&format!("http://localhost:{port}/token"))])
                    }
                    "token redirect" if head.contains("/token") => answer(
                        "307 Temporary Redirect",
                        &format!("Location: http://{to}/token\r\n"),
                        b"",
                    ),
                    "token redirect" => challenge(&[bearer(&format!("http://{own}/token"))]),
                    _ if is_authorized(head) || trick == "redirect" => {
                        answer("307 Temporary Redirect", &away(&to), b"")
                    }
                    _ => challenge(&["Basic realm=\"x\"".to_owned()]),
                }
            });
            let host = registry.address.to_string();
            let document = match form {
                "helper" => json!({ "credHelpers": { &host: "x" } }),
                "helper with https" => {
                    json!({ "credHelpers": { format!("https://{host}/v2/"): "x" } })
                }
                "store" => json!({ "auths": { &host: {} }, "credsStore": "x" }),
                _ => json!({ "auths": { format!("http://{host}/v1/"): {} }, "credsStore": "x" }),
            };
            let text = document.to_string();
            let options = Options {
                started_here: vec![host.parse().unwrap()],
                credentials: chain(&[("PATH", &path), ("DOCKER_AUTH_CONFIG", &text)]).into_lookup(),
                ..Options::default()
            };
            let runs = place.runs();
            let client = Client::new(options).unwrap();
            let (at, repository) = (host.parse().unwrap(), "g/p".parse().unwrap());
            let wanted = Wanted::Tag("v1".parse().unwrap());
            let error = block_on(client.manifest(&at, &repository, &wanted)).unwrap_err();
            assert_eq!(place.runs(), runs + 1, "{case}: the helper was asked");
            assert_clean(&format!("{error} {:?}", error.hint()), &case);
            for head in evil.heard() {
                assert!(!is_authorized(&head), "{case}: {head}");
                assert_clean(&head, &case);
            }
            let heard = registry.heard();
            let sent = heard.iter().any(|head| is_authorized(head));
            // so the test would hear it where it may go
            assert_eq!(sent, ["token redirect", "basic elsewhere"].contains(&trick), "{case}");
        }
    }
    assert_eq!(cases, 20);
}

/// A service's helper needs its own variables, and says why it failed on stderr
/// (awslabs/amazon-ecr-credential-helper#207: "no basic auth credentials", and nothing that says why).
#[test]
fn a_helper_sees_its_services_variables_and_its_words_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let program = r#"#!/bin/sh
[ "$AWS_ACCESS_KEY_ID" = id ] && [ -z "$AZURE_CLIENT_SECRET" ] || { echo "no key" >&2; exit 1; }
printf '{"Username":"AWS","Secret":"s\n"}'"#;
    script(&folder.path().join("docker-credential-ecr-login"), &program.replace("\\n", "\\\\n"));
    let failing = "#!/bin/sh\necho >&2; echo 'Error: profile dev not found, key AKIAABCDEFGHIJKLMNOP' >&2; echo second >&2; exit 1";
    script(&folder.path().join("docker-credential-other"), failing);
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let ask = |name: &str| {
        let text = json!({ "credHelpers": { "r.example": name } }).to_string();
        let variables = [
            ("PATH", path.as_str()),
            ("DOCKER_AUTH_CONFIG", &text),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AZURE_CLIENT_SECRET", "x"),
        ];
        find(&chain(&variables), "r.example", "g/p")
    };
    assert_eq!(ask("ecr-login").unwrap(), ["AWS:s"]);
    let error = ask("other").unwrap_err().to_string();
    assert!(error.contains("it says: Error: profile dev not found, key ***"), "{error}");
    assert!(!error.contains("AKIA") && !error.contains("second"), "{error}");
}

#[test]
fn a_helper_that_answers_with_nothing_has_none() {
    let place = Place::new(r#"echo '{"Username":"","Secret":""}'"#);
    assert_eq!(place.ask(&named()).unwrap(), [""; 0]);
}
