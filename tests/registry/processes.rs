//! Several processes of one user and one host: they share a budget, and what it said of waiting.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::common::image;
use moorline::oci::{Digest, Sha256Digest};

/// What the server saw, by its own clock.
#[derive(Default)]
struct Seen {
    now: usize,
    most: usize,
    arrivals: Vec<Instant>,
    refused: Option<Instant>,
}

/// A public registry of one image that answers slowly: each request stays until another one is on
/// its way too, or for a moment.
struct Slow {
    address: SocketAddr,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

impl Slow {
    /// With `refusal` the first request gets a 429 with this `Retry-After`.
    fn start(together: usize, refusal: Option<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<(Mutex<Seen>, Condvar)> = Arc::default();
        let shared = Arc::clone(&seen);
        // it ends with the test program: nobody waits for it
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || answer(stream.unwrap(), &shared, together, refusal));
            }
        });
        Self { address, seen }
    }
}

fn answer(
    mut stream: std::net::TcpStream,
    shared: &(Mutex<Seen>, Condvar),
    together: usize,
    refusal: Option<u64>,
) {
    use std::io::{Read, Write};
    let mut top = Vec::new();
    let mut byte = [0];
    while !top.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            // TLS is tried first: it is not spoken here
            Ok(1) if !top.is_empty() || byte[0] != 0x16 => top.push(byte[0]),
            _ => return,
        }
    }
    let text = String::from_utf8(top).unwrap();
    let target = text.split(' ').nth(1).unwrap();
    let (seen, changed) = shared;
    let mut state = seen.lock().unwrap();
    state.arrivals.push(Instant::now());
    state.now += 1;
    state.most = state.most.max(state.now);
    changed.notify_all();
    let refuse = refusal.filter(|_| state.refused.is_none());
    let wait = if refusal.is_some() { Duration::ZERO } else { Duration::from_millis(300) };
    let (mut state, _) =
        changed.wait_timeout_while(state, wait, |state| state.now < together).unwrap();
    // counted as gone before it is answered: the client cannot know earlier
    state.now -= 1;
    let (manifest, config, _) = image("x", "linux/amd64");
    let head = |status: &str, more: &str, length: usize| {
        format!("HTTP/1.1 {status}\r\nConnection: close\r\n{more}Content-Length: {length}\r\n\r\n")
    };
    let (head, body) = if let Some(seconds) = refuse {
        state.refused = Some(Instant::now());
        (head("429 Too Many Requests", &format!("Retry-After: {seconds}\r\n"), 0), Vec::new())
    } else if target.contains("/manifests/") {
        let digest = Digest::of(&manifest);
        (head("200 OK", &format!("Docker-Content-Digest: {digest}\r\n"), manifest.len()), manifest)
    } else {
        (head("200 OK", "", config.len()), config)
    };
    drop(state);
    let body = if text.starts_with("HEAD ") { Vec::new() } else { body };
    // the client may have given up
    let _ = stream.write_all(&[head.as_bytes(), &body].concat());
}

fn moorline(home: &Path, runtime: &Path, address: SocketAddr, images: usize) -> Child {
    std::fs::create_dir_all(home.join(".config/moorline")).unwrap();
    std::fs::write(home.join(".config/moorline/config.toml"), "requests_at_once = 2\n").unwrap();
    Command::new(env!("CARGO_BIN_EXE_moorline"))
        .args(["--insecure-registry", &address.to_string(), "resolve", "--platform", "linux/amd64"])
        .args((0..images).map(|i| format!("{address}/a/b{i}:v1")))
        .env_clear()
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", runtime)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn ended_well(child: Child, images: usize) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), images);
}

#[test]
fn several_processes_share_one_budget() {
    const IMAGES: usize = 6;
    let folder = tempfile::tempdir().unwrap();
    let runtime = folder.path().join("runtime");
    std::fs::create_dir(&runtime).unwrap();
    let server = Slow::start(2, None);
    // each has a home, and so a cache, of its own: the runtime directory is what they share
    let children: Vec<_> = (0..4)
        .map(|i| moorline(&folder.path().join(i.to_string()), &runtime, server.address, IMAGES))
        .collect();
    for child in children {
        ended_well(child, IMAGES);
    }
    let seen = server.seen.0.lock().unwrap();
    assert!(seen.arrivals.len() >= 4 * IMAGES, "{} requests", seen.arrivals.len());
    assert_eq!(seen.most, 2, "requests at the same time");
}

#[test]
fn a_retry_after_holds_for_all_processes() {
    const SECONDS: u64 = 3;
    let folder = tempfile::tempdir().unwrap();
    let runtime = folder.path().join("runtime");
    std::fs::create_dir(&runtime).unwrap();
    let server = Slow::start(1, Some(SECONDS));
    let first = moorline(&folder.path().join("a"), &runtime, server.address, 1);
    let noted = || {
        let found = std::fs::read_dir(runtime.join("moorline/hosts"));
        found.is_ok_and(|mut files| {
            files.any(|file| file.unwrap().path().extension().is_some_and(|end| end == "wait"))
        })
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !noted() {
        assert!(Instant::now() < deadline, "nothing was noted");
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = moorline(&folder.path().join("b"), &runtime, server.address, 1);
    ended_well(first, 1);
    ended_well(second, 1);
    let seen = server.seen.0.lock().unwrap();
    let refused = seen.refused.unwrap();
    // the note has whole milliseconds
    let again = refused + Duration::from_millis(1000 * SECONDS - 50);
    let later = seen.arrivals.iter().filter(|at| **at > refused);
    assert!(later.clone().count() >= 2);
    for at in later {
        assert!(*at >= again, "asked {:?} too early", again - *at);
    }
}
