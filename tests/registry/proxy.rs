//! Through a proxy that records every byte it gets, and through Debian's tinyproxy.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use moorline::failure::{Failure, Kind};
use moorline::net::Proxies;
use moorline::oci::{Digest, Sha256Digest, media_type};
use moorline::registry::{Client, Names, Options, RegistryError};
use moorline::resolve::{ResolveError, resolve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::*;
use crate::liar::{Liar, challenge, descriptor, manifest_type, ok, with};
use crate::server::{Server, available, start};

/// A proxy that leads every name to one server, and hears what passes.
struct Proxy {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Without `tunnels` it refuses CONNECT; `refusal` is the status of everything else.
    async fn start(to: SocketAddr, tunnels: bool, refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
        let log = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let log = Arc::clone(&log);
                // whoever hangs up ends it
                tokio::spawn(async move { serve(client, to, tunnels, refusal, &log).await.ok() });
            }
        });
        Self { address, heard, task }
    }

    fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }

    /// Everything goes through it, but for loopback and `none`.
    fn proxies(&self, user: &str, none: &str) -> Proxies {
        let url = format!("http://{user}{}", self.address);
        Proxies::read(|name| match name {
            "all_proxy" => Some(&url),
            "no_proxy" => Some(none),
            _ => None,
        })
        .unwrap()
    }
}

async fn serve(
    mut client: TcpStream,
    to: SocketAddr,
    tunnels: bool,
    refusal: Option<&str>,
    log: &Mutex<Vec<u8>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    log.lock().unwrap().extend_from_slice(&head);
    let connect = head.starts_with(b"CONNECT ");
    if let Some(status) = refusal.or((connect && !tunnels).then_some("403 Forbidden")) {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        return client.write_all(answer.as_bytes()).await;
    }
    let mut server = TcpStream::connect(to).await?;
    if connect {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    } else {
        // the absolute form becomes the path; the rest is passed on as it is
        let text = String::from_utf8_lossy(&head);
        let (first, rest) = text.split_once("\r\n").unwrap();
        let [method, url, version] = first.split(' ').collect::<Vec<_>>()[..] else { panic!() };
        let path = &url[url.match_indices('/').nth(2).map_or(url.len(), |(at, _)| at)..];
        server.write_all(format!("{method} {path} {version}\r\n{rest}").as_bytes()).await?;
    }
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = async {
        let mut buffer = [0; 4096];
        loop {
            let n = from_client.read(&mut buffer).await?;
            if n == 0 {
                return to_server.shutdown().await;
            }
            log.lock().unwrap().extend_from_slice(&buffer[..n]);
            to_server.write_all(&buffer[..n]).await?;
        }
    };
    let down = async {
        tokio::io::copy(&mut from_server, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::try_join!(up, down).map(|_| ())
}

/// Nothing of the registry's credential, in any form.
fn hears_no_credential(heard: &str) {
    for form in [
        SECRET.to_owned(),
        STANDARD.encode(SECRET),
        STANDARD.encode(format!("{USER}:{SECRET}")),
        "Bearer ".to_owned(),
    ] {
        assert!(!heard.contains(&form), "the proxy heard {form:?} in {heard}");
    }
    let own = heard.to_ascii_lowercase().replace("proxy-authorization:", "");
    assert!(!own.contains("authorization:"), "{heard}");
}

/// For the registry of docker-registry's own certificate; its realm is plain http on loopback.
fn trusting(server: &Server, proxies: Proxies) -> Options {
    Options {
        proxies,
        ca_files: vec![server.folder.path().join("ca.pem")],
        insecure: vec![server.stand_in.address().to_string().parse().unwrap()],
        ..offering(server.reader())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_hears_its_own_credential_and_nothing_else() {
    if !available("proxy::a_tunnel_hears_its_own_credential_and_nothing_else") {
        return;
    }
    let server = start(300, true).await;
    let _layout = server.filled().await;
    let proxy = Proxy::start(server.address, true, None).await;
    let proxies = proxy.proxies("me:hunter%202@", "");
    let client = Client::new(trusting(&server, proxies)).unwrap();
    // a name that only the proxy can look up
    let name = format!("registry.test:{}", server.address.port());
    let asked_for = reference(&name, &format!("{PROJECT}:v1"));
    let resolved = resolve(&client, &asked_for, &amd64()).await.unwrap();
    let documents = client.image(&resolved.pin).await.unwrap();
    let mut layer = Vec::new();
    let first = &documents.manifest.layers[0];
    let (at, repository) = (&resolved.pin.registry, &resolved.pin.repository);
    client.blob(at, repository, first, &mut layer).await.unwrap();
    assert_eq!(Digest::of(&layer), first.digest);
    let heard = proxy.heard();
    let own = format!("Basic {}", STANDARD.encode("me:hunter 2"));
    assert!(heard.starts_with(&format!("CONNECT {name} HTTP/1.1\r\n")), "{heard}");
    assert!(
        heard
            .to_ascii_lowercase()
            .contains(&format!("proxy-authorization: {own}").to_ascii_lowercase()),
        "{heard}"
    );
    hears_no_credential(&heard);
    assert!(!heard.contains("/v2/"), "it reads what passes: {heard}");
    let shown = client.proxy(at, repository).await.unwrap();
    assert_eq!(shown, Some(format!("http://{} (all_proxy)", proxy.address)));
    // loopback, and what no_proxy names, goes straight
    let before = proxy.heard().len();
    let straight = reference(server.address, &format!("{PROJECT}:v1"));
    resolve(&client, &straight, &amd64()).await.unwrap();
    assert_eq!(proxy.heard().len(), before);
    let excepted = proxy.proxies("", "registry.test");
    let names: Names = Arc::new(|_| Ok(vec![IpAddr::from([127, 0, 0, 1])]));
    let options = Options { names, ..trusting(&server, excepted) };
    resolve(&Client::new(options).unwrap(), &asked_for, &amd64()).await.unwrap();
    assert_eq!(proxy.heard().len(), before);
}

/// Debian's tinyproxy, as it is installed.
struct Tinyproxy {
    port: u16,
    child: std::process::Child,
    folder: tempfile::TempDir,
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        // already gone is fine
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Tinyproxy {
    fn start(more: &str) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let text = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nLogLevel Connect\nLogFile \"{}\"\n{more}",
            at("log").display(),
        );
        std::fs::write(at("tinyproxy.conf"), text).unwrap();
        let mut tinyproxy = Command::new("tinyproxy");
        tinyproxy.arg("-d").arg("-c").arg(at("tinyproxy.conf")).stdout(Stdio::null());
        let child = tinyproxy.spawn().unwrap();
        let started = Self { port, child, folder };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(std::time::Instant::now() < deadline, "tinyproxy did not start");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        started
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

fn has_tinyproxy(test: &str) -> bool {
    let there = Command::new("tinyproxy").arg("-v").stdout(Stdio::null()).status().is_ok();
    if !there {
        let line = format!("SKIPPED: {test}: tinyproxy not installed\n");
        let required = std::env::var("MOORLINE_TESTS_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|part| part == "tinyproxy"), "{line}");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    there
}

/// Field report 34: many proxies connect to port 443 alone. Registry and API say who refused.
#[test]
fn a_proxy_that_refuses_to_connect_is_named() {
    if !has_tinyproxy("proxy::a_proxy_that_refuses_to_connect_is_named") {
        return;
    }
    let tinyproxy = Tinyproxy::start("ConnectPort 443\nBasicAuth me hunter2\n");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join(".config/moorline");
    std::fs::create_dir_all(&config).unwrap();
    let text = "[gitlab]\nurl = \"https://gitlab.test:8443\"\nregistry = \"registry.test:5050\"\n";
    std::fs::write(config.join("config.toml"), text).unwrap();
    let proxy = format!("http://me:hunter2@127.0.0.1:{}", tinyproxy.port);
    for (args, host) in [
        (&["resolve", "registry.test:5050/a/b:v1"][..], "registry.test:5050"),
        (&["resolve", "--project", "a/b", "--pipeline", "7"], "gitlab.test:8443"),
    ] {
        let began = std::time::Instant::now();
        let out = Command::new(env!("CARGO_BIN_EXE_moorline"))
            .args(args)
            .current_dir(folder.path())
            .env_clear()
            .env("HOME", folder.path())
            .env("MOORLINE_GITLAB_TOKEN", "glpat-canary")
            .env("https_proxy", &proxy)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(5), "{said}");
        let named = format!("through the proxy http://127.0.0.1:{} (https_proxy)", tinyproxy.port);
        for words in
            [named.as_str(), host, "it refuses to connect there", "port 443 only", "no_proxy"]
        {
            assert!(said.contains(words), "{words:?} is not in: {said}");
        }
        assert!(!said.contains("hunter2"), "{said}");
        // another try would only repeat it
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
    }
    assert_eq!(tinyproxy.log().matches("): CONNECT ").count(), 2, "{}", tinyproxy.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn through_tinyproxy() {
    const TEST: &str = "proxy::through_tinyproxy";
    if !available(TEST) {
        return;
    }
    if !has_tinyproxy(TEST) {
        return;
    }
    let server = start(300, true).await;
    let _layout = server.filled().await;
    // it looks names up, and this one is known to the next proxy only
    let next = Proxy::start(server.address, true, None).await;
    let upstream = format!("Upstream http {} \".test\"\n", next.address);
    let tinyproxy = Tinyproxy::start(&format!("BasicAuth me hunter2\n{upstream}"));
    let port = tinyproxy.port;
    let name = format!("registry.test:{}", server.address.port());
    let asked_for = reference(&name, &format!("{PROJECT}:v1"));
    let mut answers = Vec::new();
    for user in ["", "me:wrong@", "me:hunter2@"] {
        let url = format!("http://{user}127.0.0.1:{port}");
        let proxies = Proxies::read(|name| (name == "https_proxy").then_some(&*url)).unwrap();
        let client = Client::new(trusting(&server, proxies)).unwrap();
        answers.push(resolve(&client, &asked_for, &amd64()).await);
    }
    let pin = answers.pop().unwrap().unwrap().pin;
    assert_eq!(pin.reference().to_string(), format!("{name}/{PROJECT}@{}", pin.manifest));
    for refused in answers {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), Kind::Network, "{error}");
        let words = format!("through the proxy http://127.0.0.1:{port} (https_proxy)");
        assert!(error.to_string().contains(&words), "{error}");
    }
    let logged = tinyproxy.log();
    assert!(logged.contains(&format!("CONNECT {name}")), "{logged}");
    hears_no_credential(&next.heard());
}

#[tokio::test]
async fn plain_http_through_a_proxy_gets_no_credential() {
    let (manifest, config, _) = image("x", "linux/amd64");
    let asks = Arc::new(AtomicUsize::new(0));
    let answers = Arc::clone(&asks);
    let liar = Liar::start(move |heard, _| {
        if heard.target.contains("/private/") {
            answers.fetch_add(1, Ordering::SeqCst);
            return challenge("http://registry.test/token");
        }
        match heard.target.contains("/manifests/") {
            true if heard.method == "HEAD" => ok("", b""),
            true => ok(&manifest_type(media_type::OCI_MANIFEST), &manifest),
            false => ok("", &config),
        }
    })
    .await;
    let proxy = Proxy::start(liar.address, false, None).await;
    let options = Options {
        proxies: proxy.proxies("me:hunter2@", ""),
        insecure: vec!["registry.test:80".parse().unwrap()],
        ..offering(vec![candidate(USER, SECRET, &["http://registry.test"])])
    };
    let client = Client::new(options).unwrap();
    let open = reference("registry.test:80", "a/b:v1");
    resolve(&client, &open, &amd64()).await.unwrap();
    let closed = reference("registry.test:80", "private/b:v1");
    let error = resolve(&client, &closed, &amd64()).await.unwrap_err();
    assert!(
        matches!(&error, ResolveError::Registry { reason: RegistryError::PlainHttp { .. }, .. }),
        "{error}"
    );
    let said = format!("{error} {}", error.hint().unwrap());
    assert!(said.contains("through the proxy") && said.contains("no_proxy"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    assert!(asks.load(Ordering::SeqCst) > 0);
    hears_no_credential(&proxy.heard());
    assert!(proxy.heard().contains("GET http://registry.test/v2/a/b/manifests/v1"));
    // and the registry does not hear the proxy's
    assert!(liar.heard().iter().all(|heard| heard.authorization.is_none()));
}

#[tokio::test]
async fn errors_name_the_proxy_and_not_its_password() {
    let nowhere = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let asked_for = reference("registry.test", "a/b:v1");
    for (status, words) in
        [("407 Proxy Authentication Required", "authorization"), ("403 Forbidden", "unsuccessful")]
    {
        let proxy = Proxy::start(nowhere, true, Some(status)).await;
        let proxies = proxy.proxies("me:hunter2@", "");
        let client = Client::new(Options { proxies, ..offering(good()) }).unwrap();
        let error = resolve(&client, &asked_for, &amd64()).await.unwrap_err();
        let said = format!("{error} {error:?} {}", error.hint().unwrap());
        let named = format!("through the proxy http://{} (all_proxy)", proxy.address);
        assert!(said.contains(&named) && said.contains(words), "{said}");
        assert!(!said.contains("hunter2") && said.contains("no_proxy"), "{said}");
        hears_no_credential(&proxy.heard());
    }
    for (value, kind, words) in [
        ("http://127.0.0.1:1", Kind::Network, "through the proxy http://127.0.0.1:1 (https_proxy)"),
        ("http://proxy.invalid:3128", Kind::Network, "through the proxy http://proxy.invalid:3128"),
        ("socks5://me:hunter2@p.example", Kind::Configuration, "socks5 proxies are not supported"),
    ] {
        let proxies = Proxies::read(|name| (name == "https_proxy").then_some(value)).unwrap();
        let client = Client::new(Options { proxies, ..offering(good()) }).unwrap();
        let error = resolve(&client, &asked_for, &amd64()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

/// A public registry, behind a proxy here, names a realm by a name that leads inside.
#[tokio::test]
async fn a_realm_whose_name_leads_inside_is_not_asked() {
    let thief = Liar::start(|_, _| ok("", br#"{"token":"stolen"}"#)).await;
    let port = thief.address.port();
    let registry =
        Liar::start(move |_, _| challenge(&format!("https://gitlab.test:{port}/t"))).await;
    let proxy = Proxy::start(registry.address, false, None).await;
    let public = IpAddr::from([93, 184, 216, 34]);
    for (inside, rebinds) in
        [("127.0.0.1", false), ("10.0.0.1", false), ("169.254.169.254", false), ("127.0.0.1", true)]
    {
        let inside: IpAddr = inside.parse().unwrap();
        let looked_up = AtomicUsize::new(0);
        let names: Names = Arc::new(move |host| {
            if host != "gitlab.test" {
                return Ok(vec![public]);
            }
            let first = looked_up.fetch_add(1, Ordering::SeqCst) == 0;
            Ok(vec![if rebinds && first { public } else { inside }])
        });
        let client = Client::new(Options {
            names,
            proxies: proxy.proxies("", "gitlab.test"),
            insecure: vec!["registry.test:80".parse().unwrap()],
            ..offering(vec![])
        })
        .unwrap();
        let asked_for = reference("registry.test:80", "a/b:v1");
        let error = resolve(&client, &asked_for, &amd64()).await.unwrap_err();
        let words = if rebinds { "no address that may be asked" } else { "an internal network" };
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(thief.heard().len(), 0);
    }
}

/// A storage that a registry on the network names by a name that leads to this machine or its link.
#[tokio::test]
async fn a_redirect_whose_name_leads_to_this_machine_is_not_followed() {
    let thief = Liar::start(|_, _| ok("", b"blob")).await;
    let port = thief.address.port();
    let away = format!("Location: https://storage.test:{port}/x\r\nContent-Length: 0\r\n");
    let registry = Liar::start(move |_, _| with("307 Temporary Redirect", &away, b"")).await;
    let proxy = Proxy::start(registry.address, false, None).await;
    let blob = descriptor(b"blob");
    for own in ["93.184.216.34", "10.0.0.1"] {
        let own: IpAddr = own.parse().unwrap();
        for inside in ["127.0.0.1", "169.254.169.254", "::1"] {
            let inside: IpAddr = inside.parse().unwrap();
            let names: Names =
                Arc::new(move |host| Ok(vec![if host == "storage.test" { inside } else { own }]));
            let client = Client::new(Options {
                names,
                proxies: proxy.proxies("", "storage.test"),
                insecure: vec!["registry.test:80".parse().unwrap()],
                ..offering(vec![])
            })
            .unwrap();
            let at = "registry.test:80".parse().unwrap();
            let error = client.blob(&at, &repository("a/b"), &blob, &mut Vec::new()).await;
            let error = error.unwrap_err().to_string();
            assert!(error.contains("no address that may be asked"), "{own} {inside}: {error}");
            assert_eq!(thief.heard().len(), 0);
        }
    }
}
