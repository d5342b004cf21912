//! Many references, few connections: order, bounds, reuse, IPv6, registries below a path.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use moorline::registry::{Client, Grant, Options};
use moorline::resolve::{resolve, resolve_many};
use moorline::standin::{Config, StandIn};
use tokio::net::{TcpListener, TcpStream};

use crate::common::*;
use crate::liar::{Liar, challenge, ok, with};
use crate::server::{available, start};

/// Hands connections on, and counts them.
struct Counter {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Counter {
    async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            loop {
                let (mut from, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut to = TcpStream::connect(to).await.unwrap();
                    // either side may hang up
                    let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                });
            }
        });
        Self { address, connections, task }
    }

    fn count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_references_in_one_call() {
    const PROJECTS: usize = 4;
    const IMAGES: usize = 5;
    const TAGS: usize = 50;
    let mut known = config();
    for p in 0..PROJECTS {
        let path = format!("group/project{p}");
        known.projects.push(project(&path, moorline::standin::Visibility::Private));
    }
    known.deploy_tokens[0].project = None;
    known.deploy_tokens[0].group = Some("group".into());
    let server = StandIn::start(known).await.unwrap();
    let counter = Counter::start(server.address()).await;
    let (mut wanted, mut expected) = (Vec::new(), Vec::new());
    for number in 0..PROJECTS * IMAGES * TAGS {
        let name =
            format!("group/project{}/image{}", number % PROJECTS, number / PROJECTS % IMAGES);
        let made = put(server.images(), &name, &number.to_string(), "linux/amd64");
        let tag = format!("t{number}");
        server.images().tag(&name, &tag, made.manifest);
        wanted.push((reference(counter.address, &format!("{name}:{tag}")), amd64()));
        expected.push(Some(made.manifest));
    }
    // three that fail and three that come again, in between
    for at in [0, 333, 1000] {
        wanted.insert(at, (reference(counter.address, "group/project0/image0:gone"), amd64()));
        expected.insert(at, None);
        wanted.push(wanted[at + 1].clone());
        expected.push(expected[at + 1]);
    }
    let started_here = vec![registry(counter.address)];
    let offered = vec![candidate(USER, SECRET, &[&server.realm()])];
    let client = Client::new(Options { started_here, ..offering(offered) }).unwrap();
    let answers = resolve_many(&client, &wanted).await;
    let got: Vec<_> = answers.iter().map(|a| a.as_ref().ok().map(|r| r.pin.manifest)).collect();
    assert_eq!(got.len(), 1006);
    assert!(got == expected, "not in the order of the questions");
    let tokens = server.seen().iter().filter(|s| s.target.starts_with("/jwt/auth")).count();
    assert_eq!(tokens, PROJECTS, "one token for a project");
    // 32 questions at a time; a connection whose last bytes are being read is not free yet
    let connections = counter.count();
    assert!((1..=64).contains(&connections), "{connections} connections");
    let gone = server.seen().iter().filter(|s| s.target.ends_with("/manifests/gone")).count();
    assert!(gone <= 4, "a repeated question is asked once");
}

/// One token request names forty repositories: a project with more of them needs more, and every
/// reference is asked for with the token that opens it.
#[tokio::test(flavor = "multi_thread")]
async fn a_project_of_many_repositories_needs_a_token_for_each_forty() {
    for (repositories, expected) in [(40, 1), (41, 2), (95, 3)] {
        let server = stand_in().await;
        let (mut wanted, mut manifests) = (Vec::new(), Vec::new());
        for number in 0..repositories {
            let name = format!("{PROJECT}/image{number}");
            for tag in ["v1", "v2"] {
                let made = put(server.images(), &name, &format!("{name} {tag}"), "linux/amd64");
                server.images().tag(&name, tag, made.manifest);
                wanted.push((reference(server.address(), &format!("{name}:{tag}")), amd64()));
                manifests.push(made.manifest);
            }
        }
        let answers = resolve_many(&client(&server, good()), &wanted).await;
        for ((answer, manifest), (asked, _)) in answers.iter().zip(&manifests).zip(&wanted) {
            assert_eq!(answer.as_ref().unwrap().pin.manifest, *manifest, "{asked}");
        }
        let seen = server.seen();
        let tokens = seen.iter().filter(|s| s.target.starts_with("/jwt/auth"));
        let scopes: Vec<usize> = tokens.map(|s| s.target.matches("scope=").count()).collect();
        assert_eq!(scopes.len(), expected, "{repositories} repositories: {scopes:?}");
        assert_eq!(scopes.iter().sum::<usize>(), repositories, "{scopes:?}");
        // a token that opens something else would have been turned away first
        let refused = seen.iter().filter(|s| s.authorized && s.status == 401).count();
        assert_eq!(refused, 0, "{repositories} repositories");
    }
}

/// A broken credential source of one project is that project's error.
#[tokio::test]
async fn a_broken_source_loses_no_other_repository() {
    let server = stand_in().await;
    let made = put(server.images(), PROJECT, "one", "linux/amd64");
    server.images().tag(PROJECT, "v1", made.manifest);
    let started_here = vec![registry(server.address())];
    let credentials: moorline::registry::Lookup = Arc::new(|_, repository| {
        if repository.as_str().starts_with("broken/") {
            let why = moorline::credential::CredentialError::NoKeyring("test".into());
            return Err(Arc::new(why));
        }
        Ok(moorline::secret::Candidates { offered: good(), skipped: Vec::new() })
    });
    let options = Options { started_here, credentials, ..offering(vec![]) };
    let asked = |rest: &str| (reference(server.address(), rest), amd64());
    let wanted = [asked("broken/one:v1"), asked("group/project:v1"), asked("broken/two:v1")];
    let answers = resolve_many(&Client::new(options).unwrap(), &wanted).await;
    assert_eq!(answers[1].as_ref().unwrap().pin.manifest, made.manifest);
    for at in [0, 2] {
        let error = answers[at].as_ref().unwrap_err().to_string();
        assert!(error.contains("there is no keyring: test"), "{error}");
    }
}

#[tokio::test]
async fn one_after_the_other_on_one_connection() {
    let server = stand_in().await;
    let counter = Counter::start(server.address()).await;
    let offered = vec![candidate(USER, SECRET, &[&server.realm()])];
    let started_here = vec![registry(counter.address)];
    let client = Client::new(Options { started_here, ..offering(offered) }).unwrap();
    for i in 0..10 {
        let made = put(server.images(), PROJECT, &format!("image {i}"), "linux/amd64");
        server.images().tag(PROJECT, "v1", made.manifest);
        let v1 = reference(counter.address, "group/project:v1");
        assert_eq!(resolve(&client, &v1, &amd64()).await.unwrap().pin.manifest, made.manifest);
    }
    assert_eq!(counter.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_carries_all_on_one_connection() {
    if !available("many::http_2_carries_all_on_one_connection") {
        return;
    }
    let server = start(300, true).await;
    let _layout = server.filled().await;
    let counter = Counter::start(server.address).await;
    let realm_listed = server.stand_in.address().to_string().parse().unwrap();
    let ca_files = vec![server.folder.path().join("ca.pem")];
    let options = Options { ca_files, insecure: vec![realm_listed], ..offering(server.reader()) };
    let client = Client::new(options).unwrap();
    let v1 = reference(counter.address, &format!("{PROJECT}:v1"));
    let pin = resolve(&client, &v1, &amd64()).await.unwrap().pin;
    let first = counter.count();
    let pulls = (0..20).map(|_| client.image(&pin));
    for pulled in futures_util::future::join_all(pulls).await {
        pulled.unwrap();
    }
    assert_eq!((first, counter.count()), (1, 1));
}

#[tokio::test]
async fn an_ipv6_address_with_a_port() {
    let listen: SocketAddr = "[::1]:0".parse().unwrap();
    if std::net::TcpListener::bind(listen).is_err() {
        let line = b"SKIPPED: many::an_ipv6_address_with_a_port: no IPv6 on loopback\n";
        std::io::Write::write_all(&mut std::io::stderr(), line).unwrap();
        return;
    }
    let server = StandIn::start(Config { listen, ..config() }).await.unwrap();
    let made = put(server.images(), PROJECT, "one", "linux/amd64");
    server.images().tag(PROJECT, "v1", made.manifest);
    let asked_for = reference(server.address(), "group/project:v1");
    assert!(asked_for.to_string().starts_with("[::1]:"), "{asked_for}");
    let resolved = resolve(&client(&server, good()), &asked_for, &amd64()).await.unwrap();
    assert_eq!(resolved.pin.manifest, made.manifest);
    let insecure = vec![server.address().to_string().parse().unwrap()];
    let listed = Client::new(Options { insecure, ..offering(good()) }).unwrap();
    assert!(resolve(&listed, &asked_for, &amd64()).await.is_ok());
}

/// The registry is below /oci; its tokens are for names without that.
#[tokio::test]
async fn a_registry_below_a_path() {
    let (manifest, config, _) = image("x", "linux/amd64");
    let digest = <moorline::oci::Digest as moorline::oci::Sha256Digest>::of(&manifest);
    let liar = Liar::start(move |heard, _| {
        let target = heard.target.as_str();
        if target.starts_with("/oci/token") {
            return if target.ends_with("scope=repository%3Agroup%2Fproject%3Apull") {
                ok("", br#"{"token":"right"}"#)
            } else {
                ok("", br#"{"token":"wrong"}"#)
            };
        }
        let Some(path) = target.strip_prefix("/oci/v2/") else {
            return with("404 Not Found", "Content-Length: 0\r\n", b"");
        };
        if heard.authorization.is_none() {
            let at = heard.host.as_deref().unwrap();
            return challenge(&format!("http://{at}/oci/token"));
        }
        assert_eq!(heard.authorization.as_deref(), Some("Bearer right"));
        match path.rsplit_once('/').unwrap() {
            ("group/project/manifests", _) => {
                let of = format!("Docker-Content-Digest: {digest}\r\n");
                ok(&of, if heard.method == "HEAD" { b"" } else { &manifest })
            }
            ("group/project/blobs", _) => ok("", &config),
            _ => with("404 Not Found", "Content-Length: 0\r\n", b""),
        }
    })
    .await;
    let path_prefixes = vec![format!("{}/oci", liar.address).parse().unwrap()];
    let started_here = vec![registry(liar.address)];
    let options = Options { path_prefixes, started_here, ..offering(good()) };
    let client = Client::new(options).unwrap();
    let asked_for = reference(liar.address, "oci/group/project:v1");
    let resolved = resolve(&client, &asked_for, &amd64()).await.unwrap();
    // the name stays whole: it is what users type, and what credentials belong to
    let name = format!("{}/oci/group/project@{digest}", liar.address);
    assert_eq!(resolved.pin.reference().to_string(), name);
    let answers = resolve_many(&client, &[(asked_for, amd64())]).await;
    assert!(answers[0].is_ok());
    // a login for the whole of it asks the registry there
    let whole = candidate(USER, SECRET, &[]);
    let granted = client.check(&registry(liar.address), &[repository("oci")], whole).await;
    assert_eq!(granted.unwrap(), Grant::Known);
    // a name that only begins alike is not below it
    let other = reference(liar.address, "ocicats/project:v1");
    assert!(resolve(&client, &other, &amd64()).await.is_err());
    assert!(liar.heard().iter().any(|heard| heard.target.starts_with("/v2/ocicats/project/")));
}
