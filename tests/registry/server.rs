//! Debian's docker-registry 2.8 with the stand-in as its token server, filled by skopeo, so that
//! the client under test did not write what it reads.
// two test programs share this file, each uses a part of it
#![allow(dead_code)]

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use moorline::registry::{Client, HostPort, Options};
use moorline::secret::Candidate;
use moorline::standin::{Config, Running, Scope, StandIn};

use crate::common::*;

pub const PUSHER: &str = "pusher";
pub const PUSH_SECRET: &str = "gldt-push-secret";

/// Whether the programs are there; loud when not, an error when the part is required.
pub fn available(test: &str) -> bool {
    let there = |program: &str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok()
    };
    let missing: Vec<_> = ["docker-registry", "skopeo"].into_iter().filter(|p| !there(p)).collect();
    if missing.is_empty() {
        return true;
    }
    skipped(test, &format!("{} not installed", missing.join(", ")), "docker-registry");
    false
}

/// Says that a test, or the rest of one, cannot be run here; an error when its part is required.
pub fn skipped(test: &str, why: &str, of: &str) {
    let required = std::env::var("MOORLINE_TESTS_REQUIRE").unwrap_or_default();
    let line = format!("SKIPPED: {test}: {why}\n");
    assert!(!required.split(',').any(|part| part == of), "{line}");
    // not through the test harness, which would hide it
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

pub struct Server {
    child: Child,
    pub stand_in: Running,
    pub address: std::net::SocketAddr,
    pub folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // already gone is fine
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts both; `tls` serves https with a certificate of its own, `ca.pem` in the folder.
pub async fn start(token_seconds: u64, tls: bool) -> Server {
    let mut known = config();
    known.registry = false;
    known.token_lifetime = Duration::from_secs(token_seconds);
    known.deploy_tokens.push(token(
        PUSHER,
        PUSH_SECRET,
        &[Scope::ReadRegistry, Scope::WriteRegistry],
        PROJECT,
    ));
    let stand_in = StandIn::start(Config { ..known }).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("token.pem"), certificate_of(&stand_in)).unwrap();
    // asking for a free port and using it is a race with everybody else: try again when lost
    for _ in 0..10 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut text = format!(
            "version: 0.1\nlog: {{level: warn, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n\
             auth:\n  token: {{realm: '{}', service: container_registry, issuer: gitlab-issuer, rootcertbundle: {}}}\n\
             http:\n  addr: '{address}'\n",
            at("data"),
            stand_in.realm(),
            at("token.pem"),
        );
        if tls {
            write_certificate(folder.path());
            writeln!(
                text,
                "  tls: {{certificate: {}, key: {}}}",
                at("server.pem"),
                at("server.key")
            )
            .unwrap();
        }
        fs::write(at("registry.yml"), text).unwrap();
        let log = fs::File::create(at("registry.log")).unwrap();
        let mut child = Command::new("docker-registry")
            .args(["serve", &at("registry.yml")])
            .env_clear()
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if std::net::TcpStream::connect(address).is_ok() {
                return Server { child, stand_in, address, folder };
            }
            if child.try_wait().unwrap().is_some() {
                break; // somebody else took the port
            }
            assert!(
                Instant::now() < deadline,
                "{}",
                fs::read_to_string(at("registry.log")).unwrap()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    panic!("docker-registry did not start");
}

/// The certificate of the key that signs tokens, for docker-registry's `rootcertbundle`.
pub fn certificate_of(stand_in: &Running) -> String {
    let key = rcgen::KeyPair::try_from(stand_in.signing_key()).unwrap();
    let params = rcgen::CertificateParams::new(vec!["gitlab-stand-in".to_owned()]).unwrap();
    params.self_signed(&key).unwrap().pem()
}

/// An authority (`ca.pem`) and a certificate for loopback signed by it.
fn write_certificate(folder: &Path) {
    let parameters = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        rcgen::CertificateParams::new(names).unwrap()
    };
    let mut authority = parameters(&["authority"]);
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let signed =
        parameters(&["127.0.0.1", "localhost", "registry.test"]).signed_by(&key, &issuer).unwrap();
    fs::write(folder.join("ca.pem"), root.pem()).unwrap();
    fs::write(folder.join("server.pem"), signed.pem()).unwrap();
    fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
}

impl Server {
    /// Copies a layout into the registry.
    pub async fn push(&self, layout: &Path, name: &str, repository: &str, tag: &str) {
        let from = format!("oci:{}:{name}", layout.display());
        let to = format!("docker://{}/{repository}:{tag}", self.address);
        self.copy(&["--all", "--preserve-digests", "--dest-tls-verify=false"], &from, &to).await;
    }

    /// Copies a tag of the project into a directory: a file for each blob, named by its hex digest.
    pub async fn pull(&self, tag: &str) -> tempfile::TempDir {
        let into = tempfile::tempdir().unwrap();
        let from = format!("docker://{}/{PROJECT}:{tag}", self.address);
        let to = format!("dir:{}", into.path().display());
        self.copy(&["--src-tls-verify=false"], &from, &to).await;
        into
    }

    /// Not on this thread: the stand-in that answers skopeo may live on it.
    async fn copy(&self, flags: &[&str], from: &str, to: &str) {
        // skopeo reads the secret from a file: nothing in argv
        let auth = self.folder.path().join("auth.json");
        let encoded = STANDARD.encode(format!("{PUSHER}:{PUSH_SECRET}"));
        let auths = serde_json::json!({
            "auths": { self.address.to_string(): { "auth": encoded } }
        });
        fs::write(&auth, auths.to_string()).unwrap();
        let policy = self.folder.path().join("policy.json");
        fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
        let mut skopeo = Command::new("skopeo");
        skopeo.arg("--policy").arg(&policy).arg("copy").args(flags);
        skopeo.arg("--authfile").arg(&auth).args([from, to]);
        let done = tokio::task::spawn_blocking(move || skopeo.output()).await.unwrap().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// A client that was told with a flag that this registry may be plain http.
    pub fn client(&self, offered: Vec<Candidate>) -> Client {
        Client::new(Options { insecure: vec![self.listed()], ..offering(offered) }).unwrap()
    }

    fn listed(&self) -> HostPort {
        self.address.to_string().parse().unwrap()
    }

    /// The deploy token that reads, with the realm that `login` would have confirmed.
    pub fn reader(&self) -> Vec<Candidate> {
        vec![candidate(USER, SECRET, &[&self.stand_in.realm()])]
    }

    pub async fn filled(&self) -> tempfile::TempDir {
        let layout = tempfile::tempdir().unwrap();
        write_layout(layout.path());
        self.push(layout.path(), "single", PROJECT, "v1").await;
        self.push(layout.path(), "multi", &format!("{PROJECT}/sub/img"), "multi").await;
        layout
    }
}

pub struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A second docker-registry over the same files, with whatever certificate lies there now.
pub async fn restart(server: &Server) -> (std::net::SocketAddr, Killed) {
    let configuration = fs::read_to_string(server.folder.path().join("registry.yml")).unwrap();
    for _ in 0..10 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let file = server.folder.path().join("second.yml");
        let text = configuration.replace(&server.address.to_string(), &address.to_string());
        fs::write(&file, text).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .env_clear()
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut child = Killed(child);
        let deadline = Instant::now() + Duration::from_secs(30);
        while child.0.try_wait().unwrap().is_none() {
            if std::net::TcpStream::connect(address).is_ok() {
                return (address, child);
            }
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    panic!("docker-registry did not start again");
}
