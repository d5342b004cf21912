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
//! `PATH`. It sees a short list of variables, those of its service where it is a well-known one, and
//! those that the user's configuration adds (`helper_variables`). What it writes on stdout is never
//! repeated in a message, because it may be the secret; of its stderr the first line is, without
//! anything that may be one. Source: the protocol of docker's "credential helpers"
//! (`docker login` reference).

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::CredentialError;
use super::file::Written;
use super::helper_name::{LONGEST_NAME, is_name};
use super::run::{Answered, Run};
use super::variable::plain;
use crate::secret::{Credential, Secret};
use crate::text::{Foreign, Hidden};

/// A credential is small; what is larger is something else. In bytes.
const LARGEST: u64 = 64 << 10;

/// The user name that stands for "the secret is an identity token".
const TOKEN_USER: &str = "<token>";

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
    "GNOME_KEYRING_CONTROL",
    "KRB5CCNAME",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// What the well-known helpers of services need besides: a part of the helper's name, and the
/// beginnings of its service's variables. These may be secrets, so no other helper sees them.
const SERVICES: &[(&str, &[&str])] = &[
    ("ecr", &["AWS_"]),
    ("acr", &["AZURE_", "ARM_", "IDENTITY_", "MSI_"]),
    // it can log in to Vault with AWS
    ("vault", &["VAULT_", "AWS_", "DCVL_"]),
    ("gcr", GOOGLE),
    ("gcloud", GOOGLE),
    ("gar", GOOGLE),
    ("google", GOOGLE),
    ("ghcr", &["GH_TOKEN", "GITHUB_TOKEN"]),
    ("gh", &["GH_TOKEN", "GITHUB_TOKEN"]),
    ("oci", &["OCI_"]),
];

const GOOGLE: &[&str] = &["CLOUDSDK_", "GOOGLE_", "GCLOUD_", "GCE_METADATA_"];

/// How much of what a helper says on stderr is read, in bytes.
const MOST_WORDS: u64 = 8 << 10;

/// A word of this length with letters and digits may be a secret that nobody told us of.
const LONG_WORD: usize = 16;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: Written,
}

/// The credential that a helper has for a registry; `None` when it says that it has none.
/// `place` is the file that named it.
pub(super) fn ask(
    shared: &Run,
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
        return Err(failed("this is not a name of a helper"));
    }
    // held while it runs: whoever else needs it waits for this one answer
    let mut helped = shared.helped.lock().unwrap_or_else(PoisonError::into_inner);
    helped
        .entry((name.to_owned(), server.to_owned()))
        .or_insert_with(|| get(shared, name, server))
        .clone()
        .map_err(|reason| failed(&reason))
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

fn get(shared: &Run, name: &str, server: &str) -> Answered {
    let environment = &shared.settings.environment;
    let program = which(environment, &format!("docker-credential-{name}"))
        .ok_or("it is not in PATH (only absolute folders count)")?;
    let seen: Vec<(&str, String)> =
        seen(environment, name, &shared.settings.helper_variables).collect();
    let (status, out, words) = run(&program, server, &seen, shared.settings.helper_patience)?;
    let said = || match said(&words, &out, &seen) {
        words if words.is_empty() => String::new(),
        words => format!("; it says: {words}"),
    };
    if !status.success() {
        let none = out.trim_ascii_start().starts_with(b"credentials not found");
        return if none { Ok(None) } else { Err(format!("it ended with {status}{}", said())) };
    }
    let answer: HelperAnswer = serde_json::from_slice(&out)
        .map_err(|_| format!("its answer is not the JSON of a credential{}", said()))?;
    let password = plain(answer.secret.0.expose()).to_owned();
    let found = Credential { username: answer.username, password: Secret::new(password) };
    // neither of them: it has none (Windows' and some companies' own helpers say it so)
    if found.username.is_empty() && found.password.is_empty() {
        return Ok(None);
    }
    check(&found)?;
    Ok(Some(found))
}

/// What of the environment a helper sees; a proxy's user and password are not its business.
fn seen<'a>(
    environment: &'a BTreeMap<String, String>,
    helper: &'a str,
    more: &'a [String],
) -> impl Iterator<Item = (&'a str, String)> {
    let parts: Vec<String> = helper.split(['-', '_', '.']).map(str::to_ascii_lowercase).collect();
    let services = SERVICES.iter().filter(move |(part, _)| {
        parts.iter().any(|own| own == part || (part.len() > 2 && own.starts_with(part)))
    });
    let begins: Vec<&str> = services.flat_map(|(_, begins)| begins.iter().copied()).collect();
    let listed = environment.iter().filter(move |(name, _)| {
        VARIABLES.contains(&name.as_str())
            || more.contains(*name)
            || begins.iter().any(|begin| name.starts_with(begin))
    });
    listed.map(|(name, value)| {
        let proxy = ["HTTPS_PROXY", "HTTP_PROXY"].iter().any(|p| name.eq_ignore_ascii_case(p));
        (name.as_str(), if proxy { without_user(value) } else { value.clone() })
    })
}

/// The first line of a helper's stderr, harmless: without what it wrote as its answer, without the
/// secrets among the variables that it saw, and without words that look like secrets.
fn said(stderr: &[u8], out: &[u8], seen: &[(&str, String)]) -> String {
    let hidden = Hidden::default();
    let text = String::from_utf8_lossy(out);
    let in_answer = text.split(['"', ' ', '\n', ',', ':', '{', '}']).filter(|w| w.len() > 3);
    in_answer.for_each(|word| hidden.add(word.trim()));
    for (name, value) in seen {
        let words = ["TOKEN", "SECRET", "PASSWORD", "KEY", "HEADER"];
        if words.iter().any(|word| name.contains(word)) {
            hidden.add(value.trim());
        }
    }
    let first = stderr.split(|b| *b == b'\n').find(|line| !line.trim_ascii().is_empty());
    let line = String::from(Foreign::bytes(first.unwrap_or_default()).words(&hidden, 200));
    line.split(' ')
        .map(|word| if may_be_secret(word) { "***" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether a word may be a token: a known beginning, or long with letters and digits, and neither a
/// path nor a host.
fn may_be_secret(word: &str) -> bool {
    const BEGINNINGS: &[&str] = &[
        "gldt-", "glpat-", "glcbt-", "glrt-", "gloas-", "ghp_", "gho_", "ghs_", "eyJ", "hvs.",
        "AKIA", "ASIA", "ya29.",
    ];
    let word = word.rsplit(['=', ':']).next().unwrap_or(word);
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let has = |is: fn(&u8) -> bool| word.bytes().any(|b| is(&b));
    let plain_name =
        word.contains('/') && !word.contains('+') || word.contains(".com") || word.contains(".org");
    BEGINNINGS.iter().any(|begin| word.starts_with(begin))
        || (word.len() >= LONG_WORD
            && has(u8::is_ascii_digit)
            && has(u8::is_ascii_alphabetic)
            && !plain_name)
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
    crate::files::in_path(environment.get("PATH")?.as_ref(), program)
}

/// What a helper wrote, which may be a secret.
type Said = Zeroizing<Vec<u8>>;

/// Runs the helper to its end or the end of its time; then it is killed with what it started.
fn run(
    program: &Path,
    server: &str,
    seen: &[(&str, String)],
    patience: Duration,
) -> Result<(ExitStatus, Said, Said), String> {
    let deadline = Instant::now() + patience;
    let mut child = Command::new(program)
        .arg("get")
        .current_dir("/")
        .env_clear()
        .envs(seen.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|e| format!("it cannot be started: {e}"))?;
    let words = child.stderr.take().map(listen);
    let answer = talk(&mut child, server, deadline);
    let status = answer.and_then(|out| {
        let status = wait(&mut child, deadline)?;
        // what it started may keep its stderr open
        let left = Duration::from_millis(200);
        let words = words.and_then(|words| words.recv_timeout(left).ok()).unwrap_or_default();
        Ok((status, out, words))
    });
    if status.is_err() {
        stop(&mut child);
    }
    let late = || format!("it gave no answer within {} s", patience.as_secs_f32());
    status.map_err(|error| error.unwrap_or_else(late))
}

/// Reads what a helper says on stderr: a limited part is kept, and the rest read, so that it can write.
fn listen(mut stderr: ChildStderr) -> mpsc::Receiver<Zeroizing<Vec<u8>>> {
    let (send, receive) = mpsc::channel();
    let read = move || {
        let mut kept = Zeroizing::new(Vec::new());
        // what came before an error is all that there is
        let _ = (&mut stderr).take(MOST_WORDS).read_to_end(&mut kept);
        let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        let _ = send.send(kept);
    };
    // without a thread there are no words, and the helper fails when its pipe is full
    let _ = std::thread::Builder::new().name("helper".into()).spawn(read);
    receive
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

    #[test]
    fn a_services_variables_are_for_its_own_helper() {
        let all = [
            "AWS_SECRET_ACCESS_KEY",
            "AZURE_CLIENT_SECRET",
            "VAULT_TOKEN",
            "CLOUDSDK_CONFIG",
            "HOME",
            "OWN",
        ];
        let environment: BTreeMap<String, String> =
            all.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
        let seen = |helper: &str, more: &[String]| -> Vec<String> {
            seen(&environment, helper, more).map(|(name, _)| name.to_owned()).collect()
        };
        assert_eq!(seen("ecr-login", &[]), ["AWS_SECRET_ACCESS_KEY", "HOME"]);
        assert_eq!(seen("acr-env", &[]), ["AZURE_CLIENT_SECRET", "HOME"]);
        assert_eq!(seen("vault-login", &[]), ["AWS_SECRET_ACCESS_KEY", "HOME", "VAULT_TOKEN"]);
        assert_eq!(seen("gcloud", &[]), ["CLOUDSDK_CONFIG", "HOME"]);
        assert_eq!(seen("secretservice", &[]), ["HOME"]);
        assert_eq!(seen("pass", &["OWN".to_owned()]), ["HOME", "OWN"]);
    }

    #[test]
    fn a_helpers_words_without_what_may_be_a_secret() {
        let seen =
            [("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI".to_owned()), ("HOME", "/home/u".into())];
        for (line, expected) in [
            ("\nError: no AWS profile named dev\nmore", "Error: no AWS profile named dev"),
            ("bad key wJalrXUtnFEMI here", "bad key *** here"),
            ("token gldt-hidden refused", "token *** refused"),
            ("got s3cr3t-of-the-answer", "got ***"),
            (
                "cannot reach https://1234.dkr.ecr.eu-west-1.amazonaws.com/v2/",
                "cannot reach https://1234.dkr.ecr.eu-west-1.amazonaws.com/v2/",
            ),
            ("key=A1b2C3d4E5f6G7h8I9j0", "***"),
            ("\x1b[31mred\x1b[0m", "red"),
        ] {
            let out = br#"{"Username":"u","Secret":"s3cr3t-of-the-answer"}"#;
            assert_eq!(said(line.as_bytes(), out, &seen), expected, "{line:?}");
        }
    }
}
