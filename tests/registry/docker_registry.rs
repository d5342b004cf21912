//! Against Debian's docker-registry 2.8 with the stand-in as its token server; images come from
//! skopeo, so that the client under test did not write what it reads.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use moorline::failure::{Failure, Kind};
use moorline::oci::{Digest, Sha256Digest};
use moorline::registry::{Client, HostPort, Options, RegistryError};
use moorline::resolve::{ResolveError, resolve, resolve_many};
use moorline::standin::{Config, Running, Scope, StandIn};

use crate::common::*;

const PUSHER: &str = "pusher";
const PUSH_SECRET: &str = "gldt-push-secret";

/// Whether the programs are there; loud when not, an error when the part is required.
fn available(test: &str) -> bool {
    let there = |program: &str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok()
    };
    let missing: Vec<_> = ["docker-registry", "skopeo"].into_iter().filter(|p| !there(p)).collect();
    if missing.is_empty() {
        return true;
    }
    let required = std::env::var("MOORLINE_TESTS_REQUIRE").unwrap_or_default();
    let line = format!("SKIPPED: {test}: {} not installed\n", missing.join(", "));
    assert!(!required.split(',').any(|part| part == "docker-registry"), "{line}");
    // not through the test harness, which would hide it
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    false
}

struct Server {
    child: Child,
    stand_in: Running,
    address: std::net::SocketAddr,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // already gone is fine
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts both; `tls` serves https with a certificate of its own, `ca.pem` in the folder.
async fn start(token_seconds: u64, tls: bool) -> Server {
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
    fs::write(at("token.pem"), stand_in.certificate()).unwrap();
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
            text += &format!(
                "  tls: {{certificate: {}, key: {}}}\n",
                at("server.pem"),
                at("server.key")
            );
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
    let signed = parameters(&["127.0.0.1", "localhost"]).signed_by(&key, &issuer).unwrap();
    fs::write(folder.join("ca.pem"), root.pem()).unwrap();
    fs::write(folder.join("server.pem"), signed.pem()).unwrap();
    fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
}

impl Server {
    fn push(&self, layout: &Path, name: &str, repository: &str, tag: &str) {
        // skopeo reads the secret from a file: nothing in argv
        let auth = self.folder.path().join("auth.json");
        let encoded = {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(format!("{PUSHER}:{PUSH_SECRET}"))
        };
        let auths = serde_json::json!({
            "auths": { self.address.to_string(): { "auth": encoded } }
        });
        fs::write(&auth, auths.to_string()).unwrap();
        let policy = self.folder.path().join("policy.json");
        fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
        let done = Command::new("skopeo")
            .arg("--policy")
            .arg(&policy)
            .args(["copy", "--all", "--preserve-digests", "--dest-tls-verify=false", "--authfile"])
            .arg(&auth)
            .arg(format!("oci:{}:{name}", layout.display()))
            .arg(format!("docker://{}/{repository}:{tag}", self.address))
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// A client that was told with a flag that this registry may be plain http.
    fn client(&self, offered: Vec<moorline::secret::Candidate>) -> Client {
        Client::new(Options { insecure: vec![self.listed()], ..offering(offered) }).unwrap()
    }

    fn listed(&self) -> HostPort {
        self.address.to_string().parse().unwrap()
    }

    /// The deploy token that reads, with the realm that `login` would have confirmed.
    fn reader(&self) -> Vec<moorline::secret::Candidate> {
        vec![candidate(USER, SECRET, &[&self.stand_in.realm()])]
    }

    fn filled(&self) -> tempfile::TempDir {
        let layout = tempfile::tempdir().unwrap();
        write_layout(layout.path());
        self.push(layout.path(), "single", PROJECT, "v1");
        self.push(layout.path(), "multi", &format!("{PROJECT}/sub/img"), "multi");
        layout
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pushed_by_skopeo_resolved_and_pulled() {
    if !available("docker_registry::pushed_by_skopeo_resolved_and_pulled") {
        return;
    }
    let server = start(300, false).await;
    let layout = server.filled();
    let client = server.client(server.reader());
    let before = server.stand_in.seen().len();
    let single = reference(server.address, &format!("{PROJECT}:v1"));
    let multi = reference(server.address, &format!("{PROJECT}/sub/img:multi"));
    let arm64 = "linux/arm64".parse().unwrap();
    let wanted = vec![
        (single.clone(), amd64()),
        (multi.clone(), amd64()),
        (multi, arm64),
        (single, amd64()),
    ];
    let answers = resolve_many(&client, &wanted).await;
    let pins: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().pin).collect();
    assert_eq!(server.stand_in.seen().len() - before, 1, "{:?}", server.stand_in.seen());
    assert_eq!(pins[0].manifest, pins[1].manifest, "the index holds the same image");
    assert!(pins[0].index.is_none() && pins[1].index == pins[2].index && pins[1].index.is_some());
    assert_ne!(pins[1].manifest, pins[2].manifest);
    for pin in &pins {
        let documents = client.image(pin).await.unwrap();
        for layer in &documents.manifest.layers {
            let mut bytes = Vec::new();
            client.blob(&pin.registry, &pin.repository, layer, &mut bytes).await.unwrap();
            assert_eq!(Digest::of(&bytes), layer.digest);
        }
    }
    let on_disk = layout.path().join("blobs/sha256").join(pins[0].manifest.hex());
    assert_eq!(client.image(&pins[0]).await.unwrap().manifest_bytes, fs::read(on_disk).unwrap());
    let tags = client.tags(&pins[0].registry, &pins[0].repository).await.unwrap();
    assert_eq!(tags.iter().map(moorline::oci::Tag::as_str).collect::<Vec<_>>(), ["v1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_told_as_with_the_stand_in() {
    if !available("docker_registry::what_goes_wrong_is_told_as_with_the_stand_in") {
        return;
    }
    let server = start(300, false).await;
    let _layout = server.filled();
    let realm = server.stand_in.realm();
    let nowhere = Digest::of(b"nowhere");
    let code_only = vec![candidate("code-only", "gldt-code", &[&realm])];
    let wrong = vec![candidate(USER, "gldt-wrong", &[&realm])];
    let unconfirmed = vec![candidate(USER, SECRET, &[])];
    for (offered, rest, kind, words) in [
        (server.reader(), format!("{PROJECT}:gone"), Kind::NotFound, "tag gone does not exist"),
        (server.reader(), format!("{PROJECT}@{nowhere}"), Kind::NotFound, "does not exist"),
        (server.reader(), "other/closed:v1".into(), Kind::NotFound, "or may not be read"),
        (vec![], format!("{PROJECT}:v1"), Kind::NotFound, "anonymous"),
        (wrong, format!("{PROJECT}:v1"), Kind::Denied, "refused user"),
        (code_only, format!("{PROJECT}:v1"), Kind::Denied, "no registry scope"),
        (unconfirmed, format!("{PROJECT}:v1"), Kind::Denied, "never confirmed"),
    ] {
        let client = server.client(offered);
        let asked_for = reference(server.address, &rest);
        let error = resolve(&client, &asked_for, &amd64()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// docker-registry grants a minute of leeway, so a token that is already 61 seconds old when it is
/// made is refused with `invalid_token`; the client must renew once and then say what it got.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_takes_no_token_ends() {
    if !available("docker_registry::a_registry_that_takes_no_token_ends") {
        return;
    }
    let server = start(300, false).await;
    let _layout = server.filled();
    // another stand-in signs with a key that the registry does not know
    let stranger = stand_in().await;
    let realm = server.stand_in.realm();
    fs::write(server.folder.path().join("token.pem"), stranger.certificate()).unwrap();
    let _ = realm;
    let other = restart(&server).await;
    let client = Client::new(Options {
        insecure: vec![other.0.to_string().parse().unwrap()],
        ..offering(vec![candidate(USER, SECRET, &[&server.stand_in.realm()])])
    })
    .unwrap();
    let before = server.stand_in.seen().len();
    let asked_for = reference(other.0, &format!("{PROJECT}:v1"));
    let error = resolve(&client, &asked_for, &amd64()).await.unwrap_err();
    assert!(
        matches!(&error, ResolveError::Registry { reason: RegistryError::Answer { .. }, .. }),
        "{error}"
    );
    assert_eq!(server.stand_in.seen().len() - before, 2, "asked, and asked once more");
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A second docker-registry over the same files, with whatever certificate lies there now.
async fn restart(server: &Server) -> (std::net::SocketAddr, Killed) {
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

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_a_ca_file_with_the_flag_and_with_neither() {
    if !available("docker_registry::tls_with_a_ca_file_with_the_flag_and_with_neither") {
        return;
    }
    let server = start(300, true).await;
    let _layout = server.filled();
    let asked_for = reference(server.address, &format!("{PROJECT}:v1"));
    let realm = server.stand_in.realm();
    let realm_listed: HostPort = server.stand_in.address().to_string().parse().unwrap();
    let ca_files = vec![server.folder.path().join("ca.pem")];
    // a plain-http realm gets the credential only because it is listed itself
    let with_ca = Client::new(Options {
        ca_files,
        insecure: vec![realm_listed],
        ..offering(server.reader())
    })
    .unwrap();
    let pin = resolve(&with_ca, &asked_for, &amd64()).await.unwrap().pin;
    let flagged = server.client(server.reader());
    assert_eq!(resolve(&flagged, &asked_for, &amd64()).await.unwrap().pin.manifest, pin.manifest);
    let neither = Client::new(offering(vec![candidate(USER, SECRET, &[&realm])])).unwrap();
    let error = resolve(&neither, &asked_for, &amd64()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Network);
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(error.hint().unwrap().contains("--ca-file"));
}
