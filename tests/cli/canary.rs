//! The secret never appears: not in any file but the credential's own, not in any output, not in a
//! command line, not in the environment of a job.
//!
//! A full run with a known deploy token and sentinels in the variables that hold secrets; then
//! everything that was written, printed and seen is searched for each of them: as it is, in base64
//! (whatever stands before it), and as a URL has it; and for every bearer token that was issued.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::support::{Answer, Home, PROJECT, SECRET, Server, USER, config, images, until, walk};
use moorline::secret::Secret;
use moorline::standin::JobToken;

/// What is in the environment of every command: variable and its sentinel.
const SENTINELS: [(&str, &str); 7] = [
    ("MOORLINE_PASSWORD", "gldt-envPassword0/+?=9c81"),
    ("MOORLINE_SIGNING_KEY", "signing-key-5f0d2b/+?=77aa"),
    ("CI_JOB_TOKEN", "glcbt-64_jobToken/+?=31bd"),
    ("CI_REGISTRY_PASSWORD", "registry-password/+?=04f9"),
    ("CI_DEPLOY_PASSWORD", "gldt-deployPassword/+?=e2c7"),
    ("CI_JOB_JWT_V2", "jwt-sentinel/+?=8d33"),
    ("DOCKER_AUTH_CONFIG", "{\"auths\":{\"a.example\":{\"auth\":\"c2VudGluZWw6ZG9ja2Vy\"}}}"),
];

/// Finds secrets in bytes, in any of the forms in which they leak.
struct Searcher {
    /// What it is, and the bytes that give it away.
    forms: Vec<(String, Vec<u8>)>,
}

impl Searcher {
    fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut forms = Vec::new();
        for (name, secret) in secrets {
            let mut add = |form: &str, text: String| {
                // shorter ones would be found in anything
                assert!(text.len() >= 12, "{name} {form}");
                forms.push((format!("{name} ({form})"), text.into_bytes()));
            };
            add("as it is", secret.to_owned());
            add("URL", percent(secret, false));
            add("URL, lower case", percent(secret, true));
            add("JSON", serde_json::to_string(secret).unwrap().trim_matches('"').to_owned());
            for before in 0..3 {
                for (form, engine) in
                    [("base64", &STANDARD_NO_PAD), ("base64url", &URL_SAFE_NO_PAD)]
                {
                    add(&format!("{form} behind {before} bytes"), inner(engine, secret, before));
                }
            }
        }
        Self { forms }
    }

    fn find(&self, hay: &[u8]) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        for (name, needle) in &self.forms {
            if contains(hay, needle) {
                found.insert(name.as_str());
            }
        }
        found
    }

    #[track_caller]
    fn clean(&self, place: &str, hay: &[u8]) {
        let found = self.find(hay);
        assert!(found.is_empty(), "{place} holds {found:?}:\n{}", String::from_utf8_lossy(hay));
    }
}

/// `windows().any()` takes minutes for megabytes without optimisation; this looks at one byte first.
fn contains(hay: &[u8], needle: &[u8]) -> bool {
    let Some((first, _)) = needle.split_first() else { return false };
    let mut rest = hay;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// RFC 3986: everything but the unreserved characters.
fn percent(text: &str, lower: bool) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(b).to_string()
            }
            b if lower => format!("%{b:02x}"),
            b => format!("%{b:02X}"),
        })
        .collect()
}

/// The characters of the base64 of `..secret..` that depend on the secret alone, when `before` bytes
/// (modulo 3) stand in front of it.
fn inner(engine: &base64::engine::GeneralPurpose, secret: &str, before: usize) -> String {
    let bytes = [&[0; 2][..before], secret.as_bytes()].concat();
    let text = engine.encode(&bytes);
    // a character holds 6 bits: those with a bit of a neighbour are left out
    let first = (before * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    text[first..last].to_owned()
}

#[test]
fn the_searcher_finds_what_is_planted() {
    let secret = "gldt-0a1b2c3d4e5f-Q?/+";
    let searcher = Searcher::new([("the token", secret)]);
    assert!(searcher.find(b"nothing of it gldt-0a1b2c3d4e5f-Q here").is_empty());
    let mut plants = vec![
        secret.to_owned(),
        format!("https://host/?password={}&x", percent(secret, false)),
        format!("password%3d{}", percent(secret, true)),
        serde_json::json!({ "auth": secret }).to_string(),
    ];
    // user names of all lengths: the pair is what Basic authentication encodes
    for user in ["", "a", "ab", "abc", "gitlab+deploy-token-7"] {
        for after in ["", "x", "xy"] {
            let pair = format!("{user}:{secret}{after}");
            plants.push(format!("Basic {}", STANDARD_NO_PAD.encode(&pair)));
            plants.push(URL_SAFE_NO_PAD.encode(&pair));
            plants.push(base64::engine::general_purpose::STANDARD.encode(&pair));
        }
    }
    for plant in plants {
        let hay = format!("\0before {plant} after\n");
        assert!(!searcher.find(hay.as_bytes()).is_empty(), "{plant}");
    }
}

/// Looks at command lines and environments of this user's processes all the time.
struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<String, Vec<u8>>>,
}

impl Sampler {
    /// Keeps every command line, and the environment of processes whose command line holds `mark`.
    fn start(mark: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let own = std::process::id().to_string();
        let thread = std::thread::spawn(move || {
            let mut seen: BTreeMap<String, Vec<u8>> = BTreeMap::new();
            while !stopped.load(Ordering::Relaxed) {
                for entry in fs::read_dir("/proc").unwrap().flatten() {
                    let name = entry.file_name().into_string().unwrap_or_default();
                    if !name.bytes().all(|b| b.is_ascii_digit()) || name == own {
                        continue;
                    }
                    // a process that ended meanwhile says nothing
                    let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    let text = String::from_utf8_lossy(&line).replace('\0', " ");
                    if contains(text.as_bytes(), mark.as_bytes()) {
                        let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
                        seen.entry(format!("environment of {text}")).or_default().extend(environ);
                    }
                    seen.entry(format!("command line {text}")).or_insert(line);
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        Self { stop, thread }
    }

    fn stop(self) -> BTreeMap<String, Vec<u8>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// A full run; says every answer that it got.
fn full_run(home: &Home, server: &Server, mark: &str) -> Vec<Answer> {
    let image = server.name(":main");
    let digest = images().0.manifest_digest.to_string();
    let scope = server.name("");
    let login = ["-vv", "login", &scope, "--username", USER, "--password-stdin", "--store", "file"];
    let mut said = vec![
        // a wrong one first: its refusal must not repeat it
        home.run_with(&login, "gldt-mistyped-secret/+?=1").exits(4),
        home.run_with(&login, SECRET).exits(0),
        home.run(&["login", "--list", "--json"]).exits(0),
        home.run(&["-vv", "resolve", &image, &server.name(":gone")]).exits(3),
        home.run(&["-vv", "resolve", &format!("{}/other/closed:v1", server.address())]).exits(3),
        home.run(&["--json", "resolve", &image]).exits(0),
        home.run(&["-vv", "convert", &image]).exits(0),
        home.run(&["--json", "convert", &image, "-o", "copy.sif"]).exits(0),
        home.run(&["-vv", "submit", "--dry-run", &image, "--", "env"]).exits(0),
        home.run(&["run", &image, "--", "env"]).exits(0),
    ];
    let script = format!("env; echo job >&2; sleep {mark}");
    let job = home.run(&["-vv", "submit", &image, "--", "sh", "-c", &script]).exits(0);
    let id = job.stdout.trim().to_owned();
    said.push(job);
    // while it runs: the sampler reads its processes
    until("the job", 60, || (crate::support::sleeping(mark) > 0).then_some(()));
    for args in [
        &["-vv", "status", &id][..],
        &["-vv", "wait", "--timeout", "60", &id],
        &["logs", &id],
        &["logs", "--stderr", &id],
        &["-vv", "rerun", "--wait", &id],
        &["-vv", "jobs"],
        &["--json", "jobs"],
        &["-vv", "audit", "job", &id],
        &["--json", "audit", "job", &id],
        &["--json", "audit", "image", &digest],
        &["--json", "audit", "verify"],
        &["-vv", "ledger", "collect"],
        &["--json", "config", "show"],
        &["recover"],
    ] {
        said.push(home.run(args).exits(0));
    }
    // refused: secrets by their name
    for (name, _) in SENTINELS {
        said.push(home.run(&["submit", "--env", name, &image, "--", "env"]).exits(2));
    }
    said
}

#[test]
fn no_secret_is_left_anywhere() {
    let job_token = SENTINELS[2].1;
    let mut known = config();
    known.job_tokens =
        vec![JobToken { secret: Secret::new(job_token.into()), project: PROJECT.into() }];
    known.deploy_tokens.push(moorline::standin::DeployToken {
        username: "from-the-environment".into(),
        secret: Secret::new(SENTINELS[0].1.into()),
        ..known.deploy_tokens[0].clone()
    });
    let server = Server::start(known);
    server.push(PROJECT, &images().0, &["v1", "main"]);
    let mut home = Home::new(&server).with("RUST_LOG", "trace").with("RUST_BACKTRACE", "full");
    for (name, value) in SENTINELS {
        home.env.insert(name.into(), value.into());
    }
    for (name, value) in [
        ("CI", "true"),
        ("CI_REGISTRY", "registry.example"),
        ("CI_REGISTRY_USER", "gitlab-ci-token"),
        ("CI_DEPLOY_USER", "gitlab+deploy-token-9"),
        ("CI_SERVER_URL", "https://gitlab.example"),
        ("MOORLINE_USERNAME", "from-the-environment"),
        ("MOORLINE_REGISTRY", "other.example"),
    ] {
        home.env.insert(name.into(), value.into());
    }
    // seconds that no other process sleeps; the sampler's mark of the job's processes
    let mark = format!("1.{}77", std::process::id());
    let sampler = Sampler::start(mark.clone());
    let mut said = full_run(&home, &server, &mark);
    // once more with the credential from the environment, and with the CI job's
    fs::remove_file(home.path("config/moorline/credentials.json")).unwrap();
    let image = server.name(":v1");
    let address = server.address();
    let realm = format!("http://{address}");
    // the registry's own address is its realm, so the environment needs to name none
    for variables in [
        &[("MOORLINE_REGISTRY", address.as_str())][..],
        &[("CI_REGISTRY", address.as_str()), ("CI_SERVER_URL", realm.as_str())],
    ] {
        let mut changed = Home::new(&server);
        changed.env = home.env.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        for (name, value) in variables {
            changed.env.insert((*name).into(), (*value).into());
        }
        if variables[0].0 == "CI_REGISTRY" {
            changed.env.insert("CI_REGISTRY_PASSWORD".into(), job_token.into());
            // the deploy token comes first, and is refused here
            said.push(changed.run(&["-vv", "resolve", &image]).exits(4));
            changed.env.remove("CI_DEPLOY_USER");
            changed.env.remove("CI_DEPLOY_PASSWORD");
        }
        // the files go to the first home, which is searched
        let before = server.token_requests();
        said.push(changed.run(&["-vv", "resolve", &image]).exits(0));
        said.push(changed.run(&["-vv", "run", &image, "--", "env"]).exits(0));
        assert!(server.token_requests() > before);
    }
    let seen = sampler.stop();

    let tokens = server.running.tokens();
    assert!(tokens.len() > 5, "the run asked for tokens: {}", tokens.len());
    let tokens = tokens.iter().map(|token| ("a bearer token", token.as_str()));
    // a token's signature alone would do as well as the whole
    let signatures: Vec<&str> =
        tokens.clone().map(|(_, token)| token.rsplit('.').next().unwrap()).collect();
    let all = SENTINELS
        .into_iter()
        .chain([("the deploy token", SECRET), ("a mistyped secret", "gldt-mistyped-secret/+?=1")])
        .chain(tokens.clone())
        .chain(signatures.into_iter().map(|text| ("a bearer token's signature", text)));
    let searcher = Searcher::new(all);

    // the trace is there, and speaks of the requests
    let traced: String = said.iter().map(|answer| answer.stderr.as_str()).collect();
    assert!(traced.contains("TRACE") || traced.contains("DEBUG"), "no trace was written");
    for answer in &said {
        searcher
            .clean(&format!("the output of moorline {}", answer.args), answer.stdout.as_bytes());
        searcher
            .clean(&format!("the errors of moorline {}", answer.args), answer.stderr.as_bytes());
    }
    // a job's variables were printed, and hold none of the names either
    let printed = said.iter().find(|a| a.args.starts_with("logs")).unwrap();
    assert!(printed.stdout.contains("PATH="), "{printed}");
    for (name, _) in SENTINELS {
        assert!(!printed.stdout.contains(name), "{name}: {printed}");
    }

    let mut files = 0;
    walk(&home.path(""), &mut |path: &Path, meta| {
        searcher.clean("a file's name", path.as_os_str().as_encoded_bytes());
        if meta.is_file() && !is_our_program(path) {
            files += 1;
            searcher.clean(&path.display().to_string(), &fs::read(path).unwrap());
        }
    });
    assert!(files > 20, "{files} files are too few for a full run");

    let environments = seen.keys().filter(|place| place.starts_with("environment")).count();
    assert!(environments > 0, "the job's processes were not seen");
    for (place, bytes) in &seen {
        // this test program's own commands have the sentinels: they are what is tested
        let command = place.strip_prefix("environment of ");
        if command.is_none_or(|text| text.starts_with("sleep ") || text.starts_with("sh -c env")) {
            searcher.clean(place, bytes);
        }
    }
}

/// The copy of the program in `jobs/bin`: it holds no secret, and 100 MB are slow to search.
fn is_our_program(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "moorline")
        && path.components().any(|part| part.as_os_str() == "bin")
}

#[test]
fn the_search_would_find_a_secret_in_the_files_and_processes_of_a_run() {
    // a job that is given a secret on its command line shows up everywhere: the places are right
    let planted = "planted-secret/+?=5ba0";
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let searcher = Searcher::new([("planted", planted)]);
    let mark = format!("1.{}88", std::process::id());
    let sampler = Sampler::start(mark.clone());
    let script = format!("echo {planted}; sleep {mark}");
    let env = format!("PLANTED={planted}");
    let image = server.name(":v1");
    let args = ["submit", "--env", &env, &image, "--", "sh", "-c", &script];
    let job = home.ok(&args);
    home.run(&["wait", "--timeout", "60", &job]).exits(0);
    let seen = sampler.stop();
    let found = |start: &str| {
        seen.iter()
            .any(|(place, bytes)| place.starts_with(start) && !searcher.find(bytes).is_empty())
    };
    assert!(found("command line"), "{:?}", seen.keys());
    assert!(found("environment of"), "{:?}", seen.keys());
    let mut places: BTreeSet<PathBuf> = BTreeSet::new();
    walk(&home.path(""), &mut |path, meta| {
        if meta.is_file()
            && !is_our_program(path)
            && !searcher.find(&fs::read(path).unwrap()).is_empty()
        {
            places.insert(path.to_owned());
        }
    });
    let has = |name: &str| places.iter().any(|path| path.display().to_string().contains(name));
    for name in ["plan.json", "/stdout", "/personal/"] {
        assert!(has(name), "{name}: {places:?}");
    }
    assert!(!has("job.sh"), "the script holds nothing of the user's: {places:?}");
}
