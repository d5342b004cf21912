//! How long 1,000 references take, and one, beside other programs: `just bench-resolve`.
//!
//! Debian's docker-registry with tokens (`tests/env/registry.sh`, whose `env` is sourced) gets
//! `--images` different images in 20 repositories of one project. Then
//!
//! ```text
//!  moorline resolve REF REF ...   one process, all references          `--rounds` times
//!  crane digest REF               one process for each reference       once
//!  skopeo inspect --no-tags REF   the same                             once
//!  each of them for one reference, in turn                             `--single` times
//! ```
//!
//! With `--delay MS` the registry is behind a relay that holds all bytes back for so long in each
//! direction: a simulated distance. The token server stays near.
//!
//! crane says the digest; moorline also fetches and checks manifest and configuration. CPU is that
//! of the programs, without the servers'. Programs that are not installed are left out.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a program that prints measurements"
)]

#[path = "../shared/options.rs"]
mod options;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use moorline::oci::{Digest, Sha256Digest, media_type};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

const REPOSITORIES: usize = 20;

const USAGE: &str = "\
just bench-resolve [OPTIONS]: resolving many references, and one, beside other programs

  --images N   how many different images [1000]
  --rounds N   how often all of them are resolved: the median is printed [3]
  --single N   how often one of them is [101]
  --delay MS   a registry that is so far away in each direction, simulated
  --help       this text";

fn main() {
    let options = options::read(USAGE, &["images", "rounds", "single", "delay"]);
    let number = |name: &str, default: usize| options.number(name).unwrap_or(default);
    let mut place = Place::read();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let images = number("images", 1000);
    let folder = tempfile::tempdir().expect("a directory");
    let known = folder.path().join("known");
    let mut pushed =
        runtime.block_on(place.push(images, &known.join(".cache/moorline/blobs/sha256")));
    if let Some(delay) = options.number("delay") {
        let delay = Duration::from_millis(delay);
        let far = runtime.block_on(relay(place.registry.clone(), delay));
        for (reference, _) in &mut pushed {
            *reference = reference.replacen(&place.registry, &far, 1);
        }
        place.registry = far;
        println!("registry {} ms away (simulated)", delay.as_millis());
    }
    place.configure(folder.path());
    place.configure(&known);
    let references: Vec<String> = pushed.iter().map(|(reference, _)| reference.clone()).collect();

    println!("{images} references in {REPOSITORIES} repositories of {}\n", place.image);
    println!("| | wall s | CPU s | times moorline |\n|---|---|---|---|");
    let mut rounds: Vec<Cost> = (0..number("rounds", 3))
        .map(|_| {
            let mut moorline = Place::moorline(folder.path());
            moorline.args(&references);
            let (cost, said) = run(moorline);
            let right =
                said.lines().zip(&pushed).filter(|(line, (_, d))| line.ends_with(d)).count();
            assert_eq!(right, images, "not all digests are right");
            cost
        })
        .collect();
    rounds.sort_by(|a, b| a.wall.total_cmp(&b.wall));
    let own = rounds[rounds.len() / 2];
    println!("| moorline resolve, one run (median of {}) | {own} | 1 |", rounds.len());
    let others: Vec<&Program> = PROGRAMS.iter().filter(|p| p.installed()).collect();
    for program in &others {
        let mut all = Cost { wall: 0.0, cpu: 0.0 };
        for (reference, digest) in &pushed {
            let (cost, said) = run((program.command)(&place, folder.path(), reference));
            assert_eq!(said.trim(), digest, "{}", program.name);
            all = Cost { wall: all.wall + cost.wall, cpu: all.cpu + cost.cpu };
        }
        println!("| {}, {images} runs | {all} | {:.1} |", program.name, all.wall / own.wall);
    }

    let mut singles: Vec<(&str, Vec<f64>)> = vec![
        ("moorline resolve, never seen before", Vec::new()),
        ("moorline resolve, documents in the store", Vec::new()),
    ];
    singles.extend(others.iter().map(|p| (p.name, Vec::new())));
    for reference in references.iter().cycle().take(number("single", 101)) {
        for (at, home) in [folder.path(), &known].into_iter().enumerate() {
            let mut moorline = Place::moorline(home);
            moorline.arg(reference);
            singles[at].1.push(run(moorline).0.wall);
        }
        for (at, program) in others.iter().enumerate() {
            let (cost, _) = run((program.command)(&place, folder.path(), reference));
            singles[at + 2].1.push(cost.wall);
        }
    }
    println!("\n| one reference | median ms | quickest ms |\n|---|---|---|");
    for (name, mut walls) in singles {
        walls.sort_by(f64::total_cmp);
        println!("| {name} | {:.1} | {:.1} |", walls[walls.len() / 2] * 1e3, walls[0] * 1e3);
    }
}

/// Where everything is, from `tests/env/registry.sh`.
struct Place {
    registry: String,
    realm: String,
    user: String,
    secret: String,
    push_auth: String,
    image: String,
}

impl Place {
    fn read() -> Self {
        let get = |name: &str| {
            let name = format!("MOORLINE_TEST_{name}");
            std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: just bench-resolve"))
        };
        Self {
            registry: get("REGISTRY"),
            realm: get("REALM"),
            user: get("DEPLOY_USER"),
            secret: std::fs::read_to_string(get("DEPLOY_SECRET")).expect("its secret"),
            push_auth: get("PUSH_AUTH"),
            image: get("IMAGE"),
        }
    }

    /// References and their digests; the documents are kept as a store keeps them.
    async fn push(&self, images: usize, store: &Path) -> Vec<(String, String)> {
        std::fs::create_dir_all(store).expect("a directory");
        let keep = |bytes: &[u8]| {
            std::fs::write(store.join(Digest::of(bytes).hex()), bytes).expect("it is kept");
        };
        let client = Client::builder().no_proxy().build().expect("a client");
        let auth: Value =
            serde_json::from_slice(&std::fs::read(&self.push_auth).expect("auth")).expect("JSON");
        let basic = format!("Basic {}", auth["auths"][&self.registry]["auth"].as_str().unwrap());
        let mut found = Vec::new();
        for at in 0..REPOSITORIES {
            let name = format!("{}/bench{at}", self.image);
            let url = format!(
                "{}?service=container_registry&scope=repository:{name}:pull,push",
                self.realm
            );
            let answer = client.get(url).header("Authorization", &basic).send().await.unwrap();
            let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
            let token = format!("Bearer {}", answer["token"].as_str().expect("a token"));
            let layer = self.blob(&client, &name, &token, b"a layer".to_vec()).await;
            for number in (at..images).step_by(REPOSITORIES) {
                let config = json!({
                    "created": "2026-01-02T03:04:05Z", "os": "linux", "architecture": "amd64",
                    "config": { "Labels": { "number": number.to_string() } },
                    "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
                });
                let config = config.to_string();
                keep(config.as_bytes());
                let mut config = self.blob(&client, &name, &token, config.into()).await;
                config["mediaType"] = media_type::OCI_CONFIG.into();
                let manifest = json!({
                    "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
                    "config": config, "layers": [layer],
                })
                .to_string();
                let digest = Digest::of(manifest.as_bytes());
                keep(manifest.as_bytes());
                let url = format!("http://{}/v2/{name}/manifests/t{number}", self.registry);
                let put = client.put(url).header("Authorization", &token).body(manifest);
                let put = put.header("Content-Type", media_type::OCI_MANIFEST).send().await;
                assert_eq!(put.unwrap().status(), StatusCode::CREATED);
                found.push((format!("{}/{name}:t{number}", self.registry), digest.to_string()));
            }
        }
        found
    }

    async fn blob(&self, client: &Client, name: &str, token: &str, bytes: Vec<u8>) -> Value {
        let begin = format!("http://{}/v2/{name}/blobs/uploads/", self.registry);
        let ask = |method, url: &str| client.request(method, url).header("Authorization", token);
        let begun = ask(Method::POST, &begin).send().await.unwrap();
        let at = begun.headers()["location"].to_str().unwrap().to_owned();
        let digest = Digest::of(&bytes);
        let end = format!("{at}{}digest={digest}", if at.contains('?') { '&' } else { '?' });
        let size = bytes.len();
        let put = ask(Method::PUT, &end).header("Content-Type", "application/octet-stream");
        assert_eq!(put.body(bytes).send().await.unwrap().status(), StatusCode::CREATED);
        json!({ "mediaType": media_type::OCI_LAYER, "digest": digest.to_string(), "size": size })
    }

    /// A home with the deploy token where each program looks for it.
    fn configure(&self, home: &Path) {
        use std::os::unix::fs::PermissionsExt;
        let encoded = STANDARD.encode(format!("{}:{}", self.user, self.secret.trim()));
        let auth = json!({ "auths": { &self.registry: { "auth": encoded } } }).to_string();
        std::fs::create_dir_all(home.join(".docker")).unwrap();
        std::fs::create_dir_all(home.join(".config/moorline")).unwrap();
        std::fs::create_dir_all(home.join("run")).unwrap();
        let file = home.join(".docker/config.json");
        std::fs::write(&file, auth).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let origin = self.realm.trim_end_matches("/jwt/auth");
        let text =
            format!("insecure_registries = ['{0}']\n[realms]\n'{0}' = '{origin}'\n", self.registry);
        std::fs::write(home.join(".config/moorline/config.toml"), text).unwrap();
    }

    fn moorline(home: &Path) -> Command {
        let mut command = at_home(env!("CARGO_BIN_EXE_moorline"), home);
        command.args(["resolve", "--platform", "linux/amd64"]);
        command
    }
}

fn at_home(program: &str, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home).env("XDG_RUNTIME_DIR", home.join("run"));
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

struct Program {
    name: &'static str,
    command: fn(&Place, &Path, &str) -> Command,
}

impl Program {
    fn installed(&self) -> bool {
        let program = self.name.split(' ').next().unwrap_or_default();
        let mut command = Command::new(program);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok()
    }
}

const PROGRAMS: [Program; 2] = [
    Program {
        name: "crane digest",
        command: |_, home, reference| {
            let mut command = at_home("crane", home);
            command.args(["digest", "--insecure", reference]);
            command
        },
    },
    Program {
        name: "skopeo inspect",
        command: |_, home, reference| {
            let mut command = at_home("skopeo", home);
            command.args(["inspect", "--no-tags", "--tls-verify=false", "--format", "{{.Digest}}"]);
            command.arg("--authfile").arg(home.join(".docker/config.json"));
            command.arg(format!("docker://{reference}"));
            command
        },
    },
];

/// Where a relay to `to` listens that holds bytes back.
async fn relay(to: String, delay: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await.expect("a connection");
            let to = to.clone();
            tokio::spawn(async move {
                let far = TcpStream::connect(to).await.expect("the registry");
                // a packet that waits for the answer to another one is no distance
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let ((from_near, to_near), (from_far, to_far)) =
                    (near.into_split(), far.into_split());
                tokio::join!(late(from_near, to_far, delay), late(from_far, to_near, delay));
            });
        }
    });
    address
}

/// Passes on what comes, each piece `delay` after it came; whoever hangs up ends it.
async fn late(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n) = from.read(&mut buffer).await
            && n > 0
            && send.send((Instant::now() + delay, buffer[..n].to_vec())).is_ok()
        {}
    };
    let write = async move {
        while let Some((due, bytes)) = receive.recv().await {
            tokio::time::sleep_until(due.into()).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(read, write);
}

#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} | {:.2}", self.wall, self.cpu)
    }
}

fn run(mut command: Command) -> (Cost, String) {
    let (began, before) = (Instant::now(), children_seconds());
    let output = command.output().expect("it starts");
    let cost = Cost { wall: began.elapsed().as_secs_f64(), cpu: children_seconds() - before };
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    (cost, String::from_utf8_lossy(&output.stdout).into_owned())
}

/// User and system time of all ended children: fields 16 and 17 of /proc/self/stat, in hundredths.
fn children_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("/proc");
    let rest = text.rsplit_once(") ").expect("a name").1;
    let ticks = rest.split(' ').skip(13).take(2).map(|n| n.parse::<f64>().expect("ticks"));
    ticks.sum::<f64>() / 100.0
}
