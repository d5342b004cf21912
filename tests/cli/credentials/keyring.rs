//! Real keyrings: gnome-keyring in a D-Bus session of its own, and the kernel's.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::credentials::command::house;
use crate::credentials::common::*;

const PROGRAMS: [&str; 3] = ["dbus-run-session", "gnome-keyring-daemon", "secret-tool"];

/// Whether the programs are there; loud when not, an error when the part is required.
fn available(test: &str, programs: &[&str]) -> bool {
    let there = |name: &str| {
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|folder| folder.join(name).is_file())
    };
    let missing: Vec<_> = programs.iter().copied().filter(|name| !there(name)).collect();
    if missing.is_empty() {
        return true;
    }
    skipped(test, &format!("{} not installed", missing.join(", ")), "keyring");
    false
}

fn skipped(test: &str, why: &str, of: &str) {
    let required = std::env::var("MOORLINE_TESTS_REQUIRE").unwrap_or_default();
    let line = format!("SKIPPED: {test}: {why}\n");
    assert!(!required.split(',').any(|part| part == of), "{line}");
    // not through the test harness, which would hide it
    std::io::stderr().write_all(line.as_bytes()).unwrap();
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
    let test = "keyring::a_real_keyring_keeps_the_secret_and_the_file_does_not";
    if !cfg!(feature = "desktop-keyring") {
        skipped(test, "moorline was built without the feature desktop-keyring", "keyring");
        return;
    }
    if !available(test, &PROGRAMS) {
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

/// A kernel session of its own, so that only what `login` kept can be found. The persistent keyring
/// is this user's real one: the scope has a port that nobody else has now, and is removed again.
const KERNEL_SESSION: &str = r#"
set -eu
moorline() { "$PROGRAM" --insecure-registry "$REGISTRY" "$@"; }
moorline login "$REGISTRY/group/project" --username "$NAME" --password-stdin <secret 2>login.err
moorline login --list >list
keyctl get_persistent @s >/dev/null
id=$(keyctl search @s user "moorline:$REGISTRY/group/project")
keyctl pipe "$id" >found
keyctl describe "$id" >described
moorline resolve "$REGISTRY/group/project:v1" >resolved
moorline auth-explain "$REGISTRY/group/project:v1" >explained
cp .config/moorline/credentials.json stored.json
# as after a restart: the kernel has forgotten it
keyctl invalidate "$id"
if moorline resolve "$REGISTRY/group/project:v1" 2>forgotten; then exit 9; fi
moorline login "$REGISTRY/group/project" --username "$NAME" --password-stdin --store keyring <secret 2>again.err
moorline logout "$REGISTRY/group/project" 2>logout.err
if keyctl search @s user "moorline:$REGISTRY/group/project" >after 2>&1; then exit 8; fi
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_kernels_keyring_keeps_the_secret_where_there_is_no_other() {
    let test = "keyring::the_kernels_keyring_keeps_the_secret_where_there_is_no_other";
    if !available(test, &["keyctl"]) {
        return;
    }
    let probe =
        Command::new("keyctl").args(["session", "-", "keyctl", "get_persistent", "@s"]).output();
    if !probe.as_ref().is_ok_and(|done| done.status.success()) {
        // containers often forbid it, and no program that could be installed changes that: a name
        // of its own, which the part requires where everything is
        skipped(test, "the kernel gives no persistent keyring", "kernel-keyring");
        return;
    }
    let house = house().await;
    let home = house.home.path();
    fs::write(home.join("secret"), SECRET).unwrap();
    let done = Command::new("keyctl")
        .args(["session", "-", "/bin/sh", "-c", KERNEL_SESSION])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home)
        .env("PROGRAM", assert_cmd::cargo::cargo_bin!("moorline"))
        .env("REGISTRY", house.running.address().to_string())
        .env("NAME", USER)
        .current_dir(home)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let read = |name: &str| fs::read_to_string(home.join(name)).unwrap_or_default();
    let shown = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{:?} {shown}\n{}", done.status, read("login.err"));
    for words in ["no other keyring answers here", "kept in the kernel's keyring", "--store file"] {
        assert!(read("login.err").contains(words), "{}", read("login.err"));
    }
    assert!(read("list").contains("kernel keyring"), "{}", read("list"));
    // another program finds it there, and only who possesses it may read it
    assert_eq!(read("found"), SECRET);
    assert!(read("described").contains("alswrv-----v"), "{}", read("described"));
    assert!(read("resolved").contains("@sha256:"));
    assert!(read("explained").contains("the kernel's keyring (login"), "{}", read("explained"));
    assert!(read("forgotten").contains("moorline login"), "{}", read("forgotten"));
    assert!(read("again.err").contains("kept in the kernel's keyring"), "{}", read("again.err"));
    assert!(read("logout.err").contains("the kernel's keyring"), "{}", read("logout.err"));
    for name in ["login.err", "list", "stored.json", "explained", "forgotten", "again.err"] {
        assert!(!read(name).is_empty(), "{name}");
        assert_clean(&read(name), name);
    }
}

/// A machine with neither keyring: no D-Bus in this session, and a kernel that refuses each of its
/// keyring's calls, as one without it (`ENOSYS`) or a container's filter (`EPERM`) does.
#[tokio::test(flavor = "multi_thread")]
async fn without_any_keyring_the_file_is_taken_and_named() {
    if !available("keyring::without_any_keyring_the_file_is_taken_and_named", &["strace"]) {
        return;
    }
    for refusal in ["ENOSYS", "EPERM"] {
        let house = house().await;
        let home = house.home.path();
        let trace = home.join("trace");
        let scope = house.image(PROJECT);
        let login = ["login", &scope, "--username", USER, "--password-stdin"];
        let run = |arguments: &[&str], stdin: &str| {
            let calls = "keyctl,add_key,request_key";
            let mut command = assert_cmd::Command::new("strace");
            let done = command
                .args(["-f", "-qq", "-e", &format!("trace={calls}")])
                .args(["-e", &format!("inject={calls}:error={refusal}"), "-o"])
                .arg(&trace)
                .arg(assert_cmd::cargo::cargo_bin!("moorline"))
                .args(["--insecure-registry", &house.running.address().to_string()])
                .args(arguments)
                .env_clear()
                .env("HOME", home)
                .current_dir(home)
                .write_stdin(stdin.to_owned())
                .output()
                .unwrap();
            let said = String::from_utf8(done.stderr).unwrap();
            let out = String::from_utf8(done.stdout).unwrap();
            assert_clean(&said, refusal);
            assert_clean(&out, refusal);
            (done.status.code().unwrap(), out, said)
        };
        let file = home.join(".config/moorline/credentials.json");

        // who asks for a keyring gets none, and no file in its place
        let (code, _, said) = run(&[&login[..], &["--store", "keyring"]].concat(), SECRET);
        assert_eq!(code, 12, "{said}");
        assert!(said.contains("there is no keyring"), "{said}");
        assert!(!file.exists());

        let (code, _, said) = run(&login, SECRET);
        assert_eq!(code, 0, "{said}");
        let named = format!("kept in {}, mode 0600", file.display());
        for words in [
            "no keyring answers here (keyring: ",
            "kernel keyring: the kernel keeps none",
            &named,
            "kept in a file that only you can read, until moorline logout",
        ] {
            assert!(said.contains(words), "{refusal}: no {words:?} in {said}");
        }
        // the kernel was asked, and it refused
        let traced = fs::read_to_string(&trace).unwrap();
        assert!(traced.contains(&format!("-1 {refusal}")), "{traced}");
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&file) & 0o7777, 0o600);
        assert_eq!(mode(file.parent().unwrap()) & 0o077, 0);
        assert!(fs::read_to_string(&file).unwrap().contains(SECRET), "it is kept nowhere else");

        let (code, out, said) = run(&["login", "--list"], "");
        assert!(code == 0 && out.contains("file"), "{out}{said}");
        let (code, out, said) = run(&["resolve", &house.image("group/project:v1")], "");
        assert!(code == 0 && out.contains("@sha256:"), "{out}{said}");
        let (code, _, said) = run(&["logout", &scope], "");
        assert_eq!(code, 0, "{said}");
        assert!(!fs::read_to_string(&file).unwrap_or_default().contains(SECRET));
    }
}
