//! A real keyring: gnome-keyring in a D-Bus session of its own.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::command::house;
use crate::common::*;

const PROGRAMS: [&str; 3] = ["dbus-run-session", "gnome-keyring-daemon", "secret-tool"];

/// Whether the programs are there; loud when not, an error when the part is required.
fn available(test: &str) -> bool {
    let there = |name: &str| {
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|folder| folder.join(name).is_file())
    };
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|name| !there(name)).collect();
    if missing.is_empty() {
        return true;
    }
    let required = std::env::var("MOORLINE_TESTS_REQUIRE").unwrap_or_default();
    let line = format!("SKIPPED: {test}: {} not installed\n", missing.join(", "));
    assert!(!required.split(',').any(|part| part == "keyring"), "{line}");
    // not through the test harness, which would hide it
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    false
}

/// Everything happens in one session: its keyring ends with it.
const SESSION: &str = r#"
set -eu
printf %s "$UNLOCK" | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>keyring.log
moorline() { "$PROGRAM" --insecure-registry "$REGISTRY" "$@"; }
moorline login "$REGISTRY/group/project" --username "$NAME" --password-stdin <secret 2>login.err
moorline login --list >list
secret-tool search --all service moorline >found 2>found.err
moorline resolve "$REGISTRY/group/project:v1" >resolved
moorline auth-explain "$REGISTRY/group/project:v1" >explained
cp .config/moorline/credentials.json stored.json
moorline logout "$REGISTRY/group/project"
secret-tool search --all service moorline >after 2>&1 || true
if moorline resolve "$REGISTRY/group/project:v1" 2>refused; then exit 9; fi
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_keyring_keeps_the_secret_and_the_file_does_not() {
    if !available("keyring::a_real_keyring_keeps_the_secret_and_the_file_does_not") {
        return;
    }
    let house = house().await;
    let home = house.home.path();
    fs::write(home.join("secret"), SECRET).unwrap();
    let run = home.join("run");
    fs::create_dir(&run).unwrap();
    let done = Command::new("dbus-run-session")
        .args(["--", "/bin/sh", "-c", SESSION])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", &run)
        .env("PROGRAM", assert_cmd::cargo::cargo_bin!("moorline"))
        .env("REGISTRY", house.running.address().to_string())
        .env("NAME", USER)
        .env("UNLOCK", "a password of the keyring")
        .current_dir(home)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let read = |name: &str| fs::read_to_string(home.join(name)).unwrap_or_default();
    let shown = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{shown}\n{}\n{}", read("keyring.log"), read("login.err"));
    assert!(read("login.err").contains("kept in the keyring"), "{}", read("login.err"));
    assert!(read("list").contains("keyring") && read("list").contains(USER), "{}", read("list"));
    // another program finds it there, so it really is in the keyring
    assert!(read("found").contains(SECRET), "{}{}", read("found"), read("found.err"));
    assert!(!read("after").contains(SECRET));
    assert!(read("resolved").contains("@sha256:"));
    assert!(read("explained").contains("the keyring (login"), "{}", read("explained"));
    for name in ["login.err", "list", "stored.json", "explained", "refused"] {
        assert!(!read(name).is_empty(), "{name}");
        assert_clean(&read(name), name);
    }
}
