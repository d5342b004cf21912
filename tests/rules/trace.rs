//! Nothing secret is printed: not by errors, not by `Debug`, not in a trace of everything.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use moorline::registry::Client;
use moorline::resolve::resolve;
use tracing_subscriber::fmt::MakeWriter;

use crate::common::*;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Memory {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Memory {
    /// Everything that is traced in this process, the HTTP libraries' `log` records included.
    /// The program has no other tests that use the network, because a subscriber of one thread loses events while
    /// other threads register theirs.
    fn listen() -> Self {
        static ALL: LazyLock<Memory> = LazyLock::new(|| {
            let memory = Memory::default();
            tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_writer(memory.clone())
                .with_ansi(false)
                .init();
            memory
        });
        ALL.clone()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// The forms in which a secret could come to light.
fn forms(user: &str, secret: &str) -> Vec<String> {
    let both = format!("{user}:{secret}");
    let percent = secret.bytes().map(|b| format!("%{b:02X}")).collect::<Vec<_>>().concat();
    let form: String = secret
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-._".contains(c) {
                c.to_string()
            } else {
                format!("%{:02X}", c as u32)
            }
        })
        .collect();
    vec![
        secret.to_owned(),
        STANDARD.encode(&both),
        STANDARD.encode(secret),
        URL_SAFE_NO_PAD.encode(&both),
        URL_SAFE_NO_PAD.encode(secret),
        percent,
        form,
    ]
}

fn assert_clean(text: &str) {
    for hidden in [forms(USER, SECRET), forms(USER, "gldt-wrong-one")].concat() {
        assert!(!text.contains(&hidden), "{hidden} in {text}");
    }
    // every token of the stand-in is a JWT, which begins like this
    assert!(!text.contains("eyJ"), "a token in {text}");
}

async fn run(client: &Client, address: std::net::SocketAddr, out: &mut Memory) {
    for rest in ["group/project:v1", "group/project:gone", "other/closed:v1"] {
        match resolve(client, &reference(address, rest), &amd64()).await {
            Ok(resolved) => {
                write!(out, "{resolved:?} {}", serde_json::to_string(&resolved).unwrap()).unwrap();
                let documents = client.image(&resolved.pin).await.unwrap();
                write!(out, "{documents:?}").unwrap();
            }
            Err(error) => write!(out, "{error} {error:?}").unwrap(),
        }
    }
    write!(out, "{client:?}").unwrap();
}

#[tokio::test]
async fn a_trace_of_everything_holds_no_secret() {
    let mut out = Memory::listen();
    let server = stand_in().await;
    let made = put(server.images(), PROJECT, "one", "linux/amd64");
    server.images().tag(PROJECT, "v1", made.manifest);
    let wrong = candidate(USER, "gldt-wrong-one", &[]);
    write!(out, "{wrong:?}").unwrap();
    for offered in [good(), vec![wrong], vec![]] {
        let client = client(&server, offered);
        run(&client, server.address(), &mut out).await;
        server.expire_tokens();
        run(&client, server.address(), &mut out).await;
    }
    let text = out.text();
    // the trace was really there, the HTTP libraries' part included
    for word in ["asking for a token", "starting new connection", "hyper_util", "refused user"] {
        assert!(text.contains(word), "no {word:?} in the trace");
    }
    assert_clean(&text);
}

#[tokio::test]
async fn nor_does_one_of_http_2() {
    if !crate::server::available("secrets::nor_does_one_of_http_2") {
        return;
    }
    let mut out = Memory::listen();
    let server = crate::server::start(300, true).await;
    let _layout = server.filled().await;
    let client = server.client(server.reader());
    run(&client, server.address, &mut out).await;
    let text = out.text();
    assert!(text.contains("h2::"), "HTTP/2 was not spoken");
    assert_clean(&text);
}

#[test]
fn the_search_finds_every_form() {
    let clean = |text: &str| std::panic::catch_unwind(|| assert_clean(text)).is_ok();
    for form in forms(USER, SECRET) {
        assert!(!clean(&format!("before {form} after")), "{form}");
    }
    assert!(!clean("Bearer eyJ0eXAi"));
    assert!(clean(USER));
}
