//! A server that records every byte it gets, and the forms in which a secret could show up there.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use moorline::credential::{Chain, CredentialError, Settings};
use moorline::registry::{Client, Limits, Options, Patience};
use moorline::secret::{Candidate, Candidates, Credential, Secret};

pub const USER: &str = "gitlab+deploy-token-7";
pub const SECRET: &str = "gldt-canary?/+0a1b2c";
pub const TOKEN: &str = "canary-bearer-token";
pub const PROJECT: &str = "group/project";

/// Answers a request's head and number (from 0) with raw bytes.
type Script = dyn Fn(&str, usize) -> Vec<u8> + Send + Sync;

/// It stops when it is dropped.
pub struct Recorder {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    pub fn start(script: impl Fn(&str, usize) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let over = Arc::new(AtomicBool::new(false));
        let (record, stop) = (Arc::clone(&heard), Arc::clone(&over));
        let script: Arc<Script> = Arc::new(script);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    let (record, script) = (Arc::clone(&record), Arc::clone(&script));
                    std::thread::spawn(move || serve(stream, &record, script.as_ref()));
                }
            }
        });
        Self { address, heard, over, thread: Some(thread) }
    }

    /// Answers everything with 404.
    pub fn silent() -> Self {
        Self::start(|_, _| answer("404 Not Found", "", b""))
    }

    /// The heads of all requests, or whatever else came.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // wakes the thread; when that fails it has ended already
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn serve(mut stream: TcpStream, record: &Mutex<Vec<String>>, script: &Script) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    // what begins like a TLS handshake has no empty line to wait for
    while head.first() != Some(&0x16) && !head.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => head.extend_from_slice(&buffer[..n]),
        }
    }
    if head.is_empty() {
        return; // a connection without a request, as Drop makes one
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let number = {
        let mut record = record.lock().unwrap();
        record.push(head.clone());
        record.len() - 1
    };
    // a client that went away got what it wanted
    let _ = stream.write_all(&script(&head, number));
}

pub fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// A 401 with these `WWW-Authenticate` headers.
pub fn challenge(headers: &[String]) -> Vec<u8> {
    let lines: Vec<String> = headers.iter().map(|h| format!("WWW-Authenticate: {h}\r\n")).collect();
    let headers = lines.concat();
    answer("401 Unauthorized", &headers, b"")
}

/// The challenge of a registry whose tokens come from `realm`.
pub fn bearer(realm: &str) -> String {
    format!("Bearer realm=\"{realm}\",service=\"container_registry\"")
}

pub fn token_answer() -> Vec<u8> {
    let body = format!("{{\"token\":\"{TOKEN}\"}}");
    answer("200 OK", "Content-Type: application/json\r\n", body.as_bytes())
}

pub fn is_authorized(head: &str) -> bool {
    head.to_ascii_lowercase().contains("\r\nauthorization:")
}

/// Every form in which the secret or the token could come to light.
pub fn forms() -> Vec<String> {
    let both = format!("{USER}:{SECRET}");
    let percent: Vec<String> = SECRET.bytes().map(|b| format!("%{b:02X}")).collect();
    let form: String = reqwest::Url::parse_with_params("http://x/", [("a", SECRET)])
        .unwrap()
        .query()
        .unwrap()
        .trim_start_matches("a=")
        .to_owned();
    vec![
        SECRET.to_owned(),
        STANDARD.encode(&both),
        STANDARD.encode(SECRET),
        URL_SAFE_NO_PAD.encode(&both),
        URL_SAFE_NO_PAD.encode(SECRET),
        percent.concat(),
        form,
        TOKEN.to_owned(),
    ]
}

/// Fails when a text holds the secret or the token in any form.
pub fn assert_clean(text: &str, case: &str) {
    for form in forms() {
        assert!(!text.contains(&form), "{case}: {form} in {text}");
    }
}

pub fn candidate(realms: &[&Recorder]) -> Candidate {
    let password = Secret::new(SECRET.into());
    Candidate {
        credential: Credential { username: USER.into(), password },
        source: "the test".into(),
        realms: realms.iter().map(|r| format!("http://{}", r.address).parse().unwrap()).collect(),
    }
}

/// A client that holds the credential, and counts `registry` as started by this process: the
/// weakest case, in which loopback may receive it.
pub fn client(registry: &Recorder, candidate: Candidate) -> Client {
    Client::new(Options {
        started_here: vec![registry.address.to_string().parse().unwrap()],
        credentials: Arc::new(move |_, _| {
            Ok(Candidates { offered: vec![candidate.clone()], skipped: Vec::new() })
        }),
        limits: Limits { manifest: 64 << 10, token: 64 << 10, ..Limits::default() },
        patience: Patience {
            attempts: 2,
            first_pause: Duration::from_millis(1),
            pauses: Duration::from_secs(1),
            ..Patience::default()
        },
        ..Options::default()
    })
    .unwrap()
}

pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A chain that knows these variables only.
pub fn chain(variables: &[(&str, &str)]) -> Chain {
    let environment: BTreeMap<String, String> =
        variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let file = "/nonexistent/moorline/credentials.json".into();
    let helper_patience = Duration::from_millis(700);
    Chain::new(Settings { environment, helper_patience, ..Settings::file_only(file) })
}

/// `user:secret` of each candidate in order.
pub fn find(
    chain: &Chain,
    registry: &str,
    repository: &str,
) -> Result<Vec<String>, CredentialError> {
    let found = chain.find(&registry.parse().unwrap(), &repository.parse().unwrap())?;
    let shown =
        |c: &Candidate| format!("{}:{}", c.credential.username, c.credential.password.expose());
    Ok(found.offered.iter().map(shown).collect())
}

/// An executable script. A shell writes it, so that no other test's child can hold it open for
/// writing when it is started.
pub fn script(path: &Path, text: &str) {
    let mut child = std::process::Command::new("/bin/sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}
