//! A docker credential helper, run once for each registry.
//!
//! ```text
//!  docker-credential-NAME get     stdin: the registry as the file writes it
//!    exit 0, stdout {"Username": "...", "Secret": "..."}     the credential
//!    exit 1, stdout "credentials not found ..."              none: no error
//!    anything else                                           an error that names the helper
//! ```
//!
//! The name is letters, digits, `_`, `.` and `-`, and is looked for in the absolute folders of
//! `PATH`. It sees a short list of variables and no others. What it writes is never repeated in a
//! message, because it may be the secret. Source: the protocol of docker's "credential helpers"
//! (`docker login` reference).

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::file::Written;
use super::{Chain, CredentialError};
use crate::secret::Credential;

/// How long a helper may take by default, a question to its user included.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A credential is small; what is larger is something else. In bytes.
const LARGEST: u64 = 64 << 10;

/// The user name that stands for "the secret is an identity token".
const TOKEN_USER: &str = "<token>";

/// The longest name; a file name has at most 255 bytes.
const LONGEST_NAME: usize = 100;

/// What a helper may see: where its own files are, how to ask its user, how to reach the network.
const VARIABLES: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "GNUPGHOME",
    "GPG_TTY",
    "PASSWORD_STORE_DIR",
    "DOCKER_CONFIG",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "CLOUDSDK_CONFIG",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// What a helper answered, kept for the run: the error is its reason.
pub(super) type Answered = Result<Option<Credential>, String>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: Written,
}

/// The credential that a helper has for a registry; `None` when it says that it has none.
/// `place` is the file that named it.
pub(super) fn ask(
    chain: &Chain,
    name: &str,
    server: &str,
    place: &str,
) -> Result<Option<Credential>, CredentialError> {
    let failed = |reason: &str| CredentialError::Helper {
        // a name that is no name may be anything
        name: name.chars().take(LONGEST_NAME).collect(),
        place: place.to_owned(),
        server: server.to_owned(),
        reason: reason.to_owned(),
    };
    if !is_name(name) {
        return Err(failed("this is no name of a helper"));
    }
    // held while it runs: whoever else needs it waits for this one answer
    let mut helped = chain.helped.lock().unwrap_or_else(PoisonError::into_inner);
    helped
        .entry((name.to_owned(), server.to_owned()))
        .or_insert_with(|| get(chain, name, server))
        .clone()
        .map_err(|reason| failed(&reason))
}

pub(super) fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// Whether a pair, of a helper or of a file, can be used as one.
pub(super) fn check(found: &Credential) -> Result<(), &'static str> {
    match found.username.as_str() {
        TOKEN_USER => Err("it holds an identity token (user <token>), which is not supported"),
        "" => Err("its user name is empty"),
        _ if found.password.is_empty() => Err("its password is empty"),
        _ => Ok(()),
    }
}

fn get(chain: &Chain, name: &str, server: &str) -> Answered {
    let environment = &chain.settings.environment;
    let program = which(environment, &format!("docker-credential-{name}"))
        .ok_or("it is not in PATH (only absolute folders count)")?;
    let (status, out) = run(&program, server, environment, chain.settings.helper_patience)?;
    if !status.success() {
        let none = out.trim_ascii_start().starts_with(b"credentials not found");
        return if none { Ok(None) } else { Err(format!("it ended with {status}")) };
    }
    let answer: Answer = serde_json::from_slice(&out)
        .map_err(|_| "its answer is not the JSON of a credential".to_owned())?;
    let found = Credential { username: answer.username, password: answer.secret.0 };
    check(&found)?;
    Ok(Some(found))
}

/// What of the environment a helper sees; a proxy's user and password are not its business.
fn seen(environment: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, String)> {
    let listed = environment.iter().filter(|(name, _)| VARIABLES.contains(&name.as_str()));
    listed.map(|(name, value)| {
        let is_proxy = name.eq_ignore_ascii_case("HTTPS_PROXY");
        (name.as_str(), if is_proxy { without_user(value) } else { value.clone() })
    })
}

/// `http://user:password@proxy:3128` without what is before the `@`.
fn without_user(proxy: &str) -> String {
    let (scheme, rest) = match proxy.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), proxy),
    };
    // a password that was not encoded may hold a slash, so the last @ counts
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}{rest}")
}

fn which(environment: &BTreeMap<String, String>, program: &str) -> Option<PathBuf> {
    let is_program = |file: &PathBuf| {
        file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(environment.get("PATH")?)
        // a relative folder would be the current one, where a cloned repository lies
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(is_program)
}

/// Runs the helper to its end or the end of its time; then it is killed with what it started.
fn run(
    program: &Path,
    server: &str,
    environment: &BTreeMap<String, String>,
    patience: Duration,
) -> Result<(ExitStatus, Zeroizing<Vec<u8>>), String> {
    let deadline = Instant::now() + patience;
    let mut child = Command::new(program)
        .arg("get")
        .current_dir("/")
        .env_clear()
        .envs(seen(environment))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|e| format!("it cannot be started: {e}"))?;
    let answer = talk(&mut child, server, deadline);
    let status = answer.and_then(|out| Ok((wait(&mut child, deadline)?, out)));
    if status.is_err() {
        stop(&mut child);
    }
    let late = || format!("it gave no answer within {} s", patience.as_secs_f32());
    status.map_err(|error| error.unwrap_or_else(late))
}

/// Writes the question and reads the answer; the error is `None` when the time is over.
fn talk(
    child: &mut Child,
    server: &str,
    deadline: Instant,
) -> Result<Zeroizing<Vec<u8>>, Option<String>> {
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Some("it has no pipes".into()));
    };
    // a helper that does not read its question may still answer; a pipe holds a name of any length
    let _ = input.write_all(server.as_bytes());
    drop(input);
    let (send, receive) = mpsc::channel();
    let read = move || {
        let mut out = Zeroizing::new(Vec::new());
        let done = output.take(LARGEST + 1).read_to_end(&mut out).map(|_| out);
        // nobody listens any more when the time was over
        let _ = send.send(done);
    };
    std::thread::Builder::new()
        .name("helper".into())
        .spawn(read)
        .map_err(|e| Some(e.to_string()))?;
    let left = deadline.saturating_duration_since(Instant::now());
    let out = receive.recv_timeout(left).map_err(|_| None)?.map_err(|e| Some(e.to_string()))?;
    if out.len() as u64 > LARGEST {
        return Err(Some(format!("its answer is longer than {LARGEST} bytes")));
    }
    Ok(out)
}

/// It closed its output, so it is about to end.
fn wait(child: &mut Child, deadline: Instant) -> Result<ExitStatus, Option<String>> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() >= deadline => return Err(None),
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Err(error) => return Err(Some(error.to_string())),
        }
    }
}

/// Its process group and itself; both may be gone already.
fn stop(child: &mut Child) {
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path() {
        for good in ["pass", "ecr-login", "osx.keychain", "a_b"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "../x", "a/b", "a b", "a;b", "$(x)", "a\n", "ä", &"x".repeat(101)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn no_variable_with_a_secret_is_handed_on() {
        for name in VARIABLES {
            let secret = ["TOKEN", "PASSWORD", "SECRET", "AUTH_CONFIG", "KEY"];
            assert!(!secret.iter().any(|word| name.ends_with(word)), "{name}");
        }
    }
}
