//! `login` on a terminal: a real one, which `script` of util-linux makes. Everything that is shown on
//! it is read, the echo of what is typed too.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::credentials::command::{House, house};
use crate::credentials::common::*;

const PROMPT: &str = "Token or password of gitlab+deploy-token-7: ";
const QUESTION: &str = "Send your secret there? [y/N] ";

/// A command on a terminal of its own.
struct Session {
    child: Child,
    keyboard: Option<ChildStdin>,
    screen: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Session {
    /// `moorline ARGUMENTS`, then whatever `after` is for the shell.
    fn start(house: &House, arguments: &[&str], after: &str) -> Self {
        let program = assert_cmd::cargo::cargo_bin!("moorline").display().to_string();
        let own = house.running.address().to_string();
        let mut words = vec![program.as_str(), "--insecure-registry", &own];
        words.extend(arguments);
        let line = format!("{}{after}", shlex::try_join(words).unwrap());
        let mut child = Command::new("script")
            .args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("SHELL", "/bin/sh")
            .env("HOME", house.home.path())
            .current_dir(house.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("script of util-linux is there");
        let (keyboard, mut output) = (child.stdin.take(), child.stdout.take().unwrap());
        let screen: Arc<Mutex<Vec<u8>>> = Arc::default();
        let shown = Arc::clone(&screen);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            // an error is the end too: of a terminal that is gone
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                shown.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        Self { child, keyboard, screen, reader }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    #[track_caller]
    fn expect(&self, words: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.shown().contains(words) {
            assert!(Instant::now() < deadline, "no {words:?} in {:?}", self.shown());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn type_in(&mut self, keys: &str) {
        self.keyboard.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// No more keys: the exit code, and all that was shown.
    fn end(mut self) -> (i32, String) {
        drop(self.keyboard.take());
        let status = self.child.wait().unwrap();
        self.reader.join().unwrap();
        let shown = String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned();
        assert_clean(&shown, "the terminal");
        (status.code().unwrap(), shown)
    }
}

/// Token requests that carried a credential.
fn with_secret(house: &House) -> usize {
    let seen = house.running.seen();
    seen.iter().filter(|one| one.target.starts_with("/jwt/auth") && one.authorized).count()
}

fn login<'a>(scope: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [more, &["login", scope, "--username", USER, "--store", "file"]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_typed_without_echo() {
    let house = house().await;
    let scope = house.image(PROJECT);
    let mut session = Session::start(&house, &login(&scope, &[]), "");
    session.expect(PROMPT);
    // corrected by line, by a character of two bytes, and by a key that is no character
    session.type_in(&format!("mistyped\x15{SECRET}\u{e9}\x7f\x1b[A\r"));
    session.expect("logged in to");
    let (code, shown) = session.end();
    assert_eq!((code, with_secret(&house)), (0, 1), "{shown}");
    assert!(!shown.contains("mistyped") && !shown.contains(QUESTION), "{shown}");
    let said = house.run(&[], "", &["resolve", &house.image("group/project:v1")]);
    assert_eq!(said.code, 0, "{}", said.err);
}

/// What was typed for nothing goes nowhere, and the terminal is as it was before.
#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_is_left_leaves_the_terminal_as_it_was() {
    let house = house().await;
    let scope = house.image(PROJECT);
    for (keys, code) in [(format!("{SECRET}\x03"), "130"), ("\x04".into(), "2"), ("\r".into(), "2")]
    {
        let after = "; echo \"code $?\"; stty -a";
        let mut session = Session::start(&house, &login(&scope, &[]), after);
        session.expect(PROMPT);
        session.type_in(&keys);
        session.expect(&format!("code {code}\r\n"));
        let (_, shown) = session.end();
        for mode in [" echo ", " icanon ", "isig "] {
            assert!(shown.contains(mode), "{keys:?}: no {mode:?} in {shown}");
        }
    }
    assert_eq!(house.running.seen().iter().filter(|one| one.authorized).count(), 0);
    assert!(house.run(&[], "", &["login", "--list"]).out.is_empty());
}

/// A realm that nobody named before: yes is remembered, anything else sends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_realm_is_asked_about() {
    let house = house().await;
    let named = vec![bearer(&house.running.realm())];
    let registry = Recorder::start(move |head, _| {
        if is_authorized(head) { answer("404 Not Found", "", b"{}") } else { challenge(&named) }
    });
    let host = registry.address.to_string();
    let (first, second) = (format!("{host}/{PROJECT}"), format!("{host}/group/second"));
    let insecure = ["--insecure-registry", &host];

    // "\x04" is the end of the terminal's input
    for (keys, echo) in
        [("n\n", "n\r\n"), ("\n", "\r\n"), ("yes, but\n", "yes, but\r\n"), ("\x04", "")]
    {
        let mut session = Session::start(&house, &login(&first, &insecure), "");
        session.expect(QUESTION);
        session.type_in(keys);
        session.expect("nothing was sent");
        let (code, shown) = session.end();
        assert_eq!(code, 4, "{keys:?}: {shown}");
        let asked = format!("gets its tokens from http://{}. ", house.running.address());
        // what is no secret is echoed: without that, a secret that is not seen would show nothing
        for words in [asked, format!("{QUESTION}{echo}")] {
            assert!(shown.contains(&words), "{keys:?}: no {words:?} in {shown}");
        }
        assert!(!shown.contains(PROMPT), "{keys:?}: {shown}");
    }
    assert_eq!(with_secret(&house), 0);
    assert!(house.run(&[], "", &["login", "--list"]).out.is_empty());

    let mut session = Session::start(&house, &login(&first, &insecure), "");
    session.expect(QUESTION);
    session.type_in("y\n");
    session.expect(PROMPT);
    session.type_in(&format!("{SECRET}\n"));
    session.expect("logged in to");
    let (code, shown) = session.end();
    assert_eq!((code, with_secret(&house)), (0, 1), "{shown}");
    let listed = house.run(&[], "", &["login", "--list"]);
    let realm = format!("http://{}", house.running.address());
    assert!(listed.out.contains(&realm), "{}", listed.out);

    // remembered: the second project of this registry is not asked about
    let mut session = Session::start(&house, &login(&second, &insecure), "");
    session.expect(PROMPT);
    session.type_in(&format!("{SECRET}\n"));
    let (code, shown) = session.end();
    assert_eq!((code, with_secret(&house)), (0, 2), "{shown}");
    assert!(!shown.contains(QUESTION), "{shown}");
    for head in registry.heard() {
        assert!(!head.contains(SECRET) && !head.to_lowercase().contains("basic"), "{head}");
    }
}
