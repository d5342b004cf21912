//! Source: what docker, podman and apptainer keep, in `DOCKER_AUTH_CONFIG` and in their files.
//!
//! ```json
//! {"auths": {"registry.example": {"auth": "<base64 of user:password>"},
//!            "registry.example/group/project": {"username": "...", "password": "..."},
//!            "https://registry.example/v1/": {}},
//!  "credHelpers": {"other.example": "pass"},
//!  "credsStore": "secretservice"}
//! ```
//!
//! | program | file |
//! |---|---|
//! | docker | `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json` |
//! | podman, buildah, skopeo | `$REGISTRY_AUTH_FILE`, else `$XDG_RUNTIME_DIR/containers/auth.json` and `~/.config/containers/auth.json` |
//! | apptainer | `$APPTAINER_CONFIGDIR/docker-config.json`, else `~/.apptainer/docker-config.json` |
//!
//! The longest prefix comes first. `credHelpers` names a helper for a registry; `credsStore` is
//! asked only for registries that `auths` lists (docker writes an empty entry at login), so that no
//! program is started for a registry that the file does not speak of. Sources: docker's
//! "docker login" reference, containers-auth.json(5).

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::file::{LARGEST, Written};
use super::variable::{plain, unreplaced};
use super::{CredentialError, Scope, SourceQuestion, helper, read_sentence};
use crate::files::{ForeignError, ForeignFile, Writers, barred};
use crate::oci::DOCKER_HUB;
use crate::secret::{Candidates, Credential, Secret};

/// What docker writes for its own hub.
const HUB_NAMES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

const VARIABLE: &str = "DOCKER_AUTH_CONFIG";

/// The document, as far as it matters here. Maps are sorted, so that answers do not depend on the
/// order of a file.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Document {
    auths: Option<BTreeMap<String, Entry>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

/// What `auths` has for one key.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<Auth>,
    username: Option<String>,
    password: Option<Written>,
    identitytoken: Option<Written>,
    registrytoken: Option<Written>,
}

/// `auth`, decoded when it is read. A broken one is an error only for those who want this entry.
enum Auth {
    Empty,
    Pair(Credential),
    Bad(&'static str),
}

impl<'de> Deserialize<'de> for Auth {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let encoded = Zeroizing::new(String::deserialize(d)?);
        if encoded.trim().is_empty() {
            return Ok(Self::Empty);
        }
        if unreplaced(&encoded).is_some() {
            return Ok(Self::Bad("its auth is the name of a variable, which nobody replaced"));
        }
        let Some(bytes) = decoded(&encoded) else {
            return Ok(Self::Bad("its auth is not base64 of user:password"));
        };
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return Ok(Self::Bad("its auth is not text"));
        };
        Ok(match text.split_once(':') {
            // docker pads some with zero bytes; `echo` without -n leaves a line end
            Some((name, password)) => match (name, plain(password.trim_matches('\0'))) {
                ("", "") => Self::Empty,
                (name, password) => Self::Pair(Credential {
                    username: name.to_owned(),
                    password: Secret::new(password.to_owned()),
                }),
            },
            None => Self::Bad("its auth has no colon between user and password"),
        })
    }
}

/// Base64 as it is found in files: wrapped at 76 columns, without padding, of either alphabet.
fn decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let kept = text.chars().filter(|c| !c.is_whitespace() && *c != '=');
    let plain = kept.map(|c| match c {
        '-' => '+',
        '_' => '/',
        c => c,
    });
    let plain = Zeroizing::new(plain.collect::<String>());
    STANDARD_NO_PAD.decode(&*plain).ok().map(Zeroizing::new)
}

/// A document as people have it in a variable: as it is, or as base64 of it, as Kubernetes keeps it.
fn document(text: &str) -> Cow<'_, str> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('{') {
        return Cow::Borrowed(text);
    }
    let inner = decoded(text).and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    match inner {
        Some(inner) if inner.trim_start().starts_with('{') => Cow::Owned(inner),
        _ => Cow::Borrowed(text),
    }
}

/// The same document without line ends inside strings, where JSON has none and `base64` puts them.
fn unwrapped(text: &str) -> Zeroizing<String> {
    let (mut inside, mut escaped) = (false, false);
    let mut kept = Zeroizing::new(String::with_capacity(text.len()));
    for c in text.chars() {
        match c {
            '"' if !escaped => inside = !inside,
            '\n' | '\r' if inside => continue,
            _ => {}
        }
        escaped = inside && c == '\\' && !escaped;
        kept.push(c);
    }
    kept
}

impl Entry {
    /// User and password; `None` for an empty entry.
    fn credential(&self) -> Result<Option<Credential>, &'static str> {
        let is_set = |token: &Option<Written>| token.as_ref().is_some_and(|t| !t.0.is_empty());
        if is_set(&self.identitytoken) {
            return Err("it holds an identitytoken, which is not supported");
        }
        if is_set(&self.registrytoken) {
            return Err("it holds a registrytoken, which is not supported");
        }
        let found = match (&self.auth, &self.username, &self.password) {
            (Some(Auth::Bad(why)), _, _) => return Err(why),
            (Some(Auth::Pair(pair)), _, _) => pair.clone(),
            // written by tools that have nothing to write
            (_, Some(name), Some(password)) if name.is_empty() && password.0.is_empty() => {
                return Ok(None);
            }
            (_, Some(name), Some(Written(password))) => {
                Credential { username: name.clone(), password: password.clone() }
            }
            (_, Some(name), None) if !name.is_empty() => return Err("it has no password"),
            (_, None, Some(password)) if !password.0.is_empty() => {
                return Err("it has no username");
            }
            _ => return Ok(None),
        };
        helper::check(&found)?;
        Ok(Some(found))
    }
}

/// Where a document came from, for messages.
enum AuthSource<'a> {
    Variable,
    File(&'a Path),
}

impl fmt::Display for AuthSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => f.write_str(VARIABLE),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The variable's text.
pub(super) fn find_variable(
    question: &SourceQuestion<'_>,
    found: &mut Candidates,
) -> Result<(), CredentialError> {
    match question.text(VARIABLE)? {
        Some(text) => offer(question, &AuthSource::Variable, &text, found).map(drop),
        None => Ok(()),
    }
}

/// The files.
pub(super) fn find(
    question: &SourceQuestion<'_>,
    found: &mut Candidates,
) -> Result<(), CredentialError> {
    for (path, named_by) in places(question) {
        let Some((text, mode)) = read(&path, named_by.is_some())? else {
            found
                .skipped
                .extend(named_by.map(|name| {
                    format!("{name}: it names {}, which is not there", path.display())
                }));
            continue;
        };
        if offer(question, &AuthSource::File(&path), &text, found)? && mode & 0o044 != 0 {
            question.run.warn(&format!(
                "{} holds a secret and others can read it (mode {:04o}): chmod 600 {0}",
                path.display(),
                mode & 0o7777
            ));
        }
    }
    Ok(())
}

/// The files that may be there, and the variable that named one.
fn places(question: &SourceQuestion<'_>) -> Vec<(PathBuf, Option<&'static str>)> {
    let home = |below: &str| question.variable("HOME").map(|home| Path::new(home).join(below));
    let named = |variable: &'static str, file: &str| {
        question.variable(variable).map(|folder| (Path::new(folder).join(file), Some(variable)))
    };
    let default = |path: Option<PathBuf>| path.map(|path| (path, None));
    let mut all = Vec::new();
    all.extend(
        named("DOCKER_CONFIG", "config.json").or_else(|| default(home(".docker/config.json"))),
    );
    if let Some(path) = question.variable("REGISTRY_AUTH_FILE") {
        all.push((path.into(), Some("REGISTRY_AUTH_FILE")));
    } else {
        let below = |folder: &str| Path::new(folder).join("containers/auth.json");
        all.extend(default(question.variable("XDG_RUNTIME_DIR").map(below)));
        let config = question.variable("XDG_CONFIG_HOME").map(below);
        all.extend(default(config.or_else(|| home(".config/containers/auth.json"))));
    }
    let apptainer = named("APPTAINER_CONFIGDIR", "docker-config.json");
    all.extend(apptainer.or_else(|| default(home(".apptainer/docker-config.json"))));
    all
}

/// A file's text and mode; `None` when there is none. Links of this user or root are followed, since dotfiles
/// often are some; what was opened is checked, because whoever can write there can name a helper.
fn read(path: &Path, named: bool) -> Result<Option<(Zeroizing<String>, u32)>, CredentialError> {
    let refused = CredentialError::of_file(path);
    let writers = Writers::of_caller();
    let opened = match ForeignFile::written_by(&writers, LARGEST).through_links().open(path) {
        Err(ForeignError::Io(e))
            if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        // `su` keeps XDG_RUNTIME_DIR and HOME: a default place in somebody else's directory holds nothing of ours
        Err(ForeignError::Io(e))
            if !named
                && e.kind() == ErrorKind::PermissionDenied
                && barred(path).is_some_and(|dir| is_anothers(&dir)) =>
        {
            return Ok(None);
        }
        other => other.map_err(&refused)?,
    };
    let mode = opened.meta().mode();
    let mut text = Zeroizing::new(String::new());
    opened.text_into(&mut text).map_err(&refused)?;
    Ok(Some((text, mode)))
}

fn is_anothers(dir: &Path) -> bool {
    let me = rustix::process::geteuid().as_raw();
    std::fs::metadata(dir).is_ok_and(|meta| meta.uid() != me)
}

/// What a document says of one key that covers the repository.
enum Says<'a> {
    Helper(&'a str),
    Entry(&'a Entry),
}

/// Offers what a document has for the question; says whether a secret stood in the document itself.
fn offer(
    question: &SourceQuestion<'_>,
    place: &AuthSource<'_>,
    text: &str,
    found: &mut Candidates,
) -> Result<bool, CredentialError> {
    let malformed = |line: usize, column: usize| CredentialError::Foreign {
        // the parser's own words may quote what it read
        place: place.to_string(),
        reason: format!("malformed at line {line}, column {column}"),
    };
    let text = document(text);
    // the parser would take an empty list for an empty document
    if !text.starts_with('{') {
        return Err(malformed(1, 1));
    }
    let document: Document = match serde_json::from_str(&text) {
        Ok(document) => document,
        Err(error) => serde_json::from_str(&unwrapped(&text))
            .map_err(|_| malformed(error.line(), error.column()))?,
    };
    let auths = document.auths.as_ref();
    let helpers = document.cred_helpers.as_ref();
    let mut rows: Vec<(Scope, &str, Says<'_>)> = Vec::new();
    // an empty name is none, as docker has it
    for (key, name) in helpers.into_iter().flatten().filter(|(_, name)| !name.trim().is_empty()) {
        rows.extend(scope_of(key).map(|scope| (scope, key.as_str(), Says::Helper(name))));
    }
    for (key, entry) in auths.into_iter().flatten() {
        rows.extend(scope_of(key).map(|scope| (scope, key.as_str(), Says::Entry(entry))));
    }
    let covers = |key: &str| {
        scope_of(key).is_some_and(|scope| scope.covers(question.registry, question.repository))
    };
    let keys = helpers.into_iter().flatten().map(|(key, _)| key);
    let keys: BTreeSet<&String> =
        keys.chain(auths.into_iter().flatten().map(|(key, _)| key)).collect();
    let others: Vec<String> = keys.into_iter().filter(|key| !covers(key)).cloned().collect();
    question.read.borrow_mut().push(read_sentence(&place.to_string(), &others));
    rows.retain(|(scope, _, _)| scope.covers(question.registry, question.repository));
    // stable: of one length a helper stays before an entry
    rows.sort_by_key(|(scope, _, _)| Reverse(scope.prefix_len()));
    let helped: Vec<Scope> = rows
        .iter()
        .filter(|(_, _, says)| matches!(says, Says::Helper(_)))
        .map(|(scope, _, _)| scope.clone())
        .collect();
    let mut written_here = false;
    for (scope, key, says) in rows {
        let inline = match says {
            Says::Helper(_) => None,
            Says::Entry(entry) => {
                entry.credential().map_err(|reason| CredentialError::Foreign {
                    place: place.to_string(),
                    reason: format!("the entry {key:?}: {reason}"),
                })?
            }
        };
        let program = match says {
            Says::Helper(name) => Some(name),
            Says::Entry(_) if inline.is_some() || helped.contains(&scope) => None,
            Says::Entry(_) => {
                document.creds_store.as_deref().filter(|name| !name.trim().is_empty())
            }
        };
        if let Some(pair) = inline {
            let source = format!("{place} (entry {key})");
            found.offered.push(question.candidate(&pair.username, pair.password, source));
            written_here = true;
        } else if let Some(name) = program {
            match helper::ask(question.run, name, key, &place.to_string())? {
                Some(pair) => {
                    let source = format!("docker-credential-{name} ({place}, {key})");
                    found.offered.push(question.candidate(&pair.username, pair.password, source));
                }
                None => found
                    .skipped
                    .push(format!("docker-credential-{name} ({place}): it has none for {key}")),
            }
        } else if !helped.contains(&scope) {
            found.skipped.push(format!("{place}: the entry {key} is empty"));
        }
    }
    Ok(written_here)
}

/// What a key is about: `host`, `host/prefix`, `https://host/v1/`. `None` for what names no registry.
fn scope_of(key: &str) -> Option<Scope> {
    let bare = ["https://", "http://"].iter().find_map(|scheme| key.strip_prefix(scheme));
    let text = bare.unwrap_or(key).trim_end_matches('/');
    let (host, rest) = text.split_once('/').map_or((text, None), |(h, rest)| (h, Some(rest)));
    // the version of the protocol, not a project
    let rest = rest.filter(|rest| bare.is_none() || !matches!(*rest, "v1" | "v2"));
    let host = if HUB_NAMES.contains(&host) { DOCKER_HUB } else { host };
    match rest {
        Some(rest) => format!("{host}/{rest}").parse().ok(),
        None => host.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_as_the_programs_write_them() {
        for (key, meant) in [
            ("registry.example", "registry.example"),
            ("registry.example:5000/group/project", "registry.example:5000/group/project"),
            ("https://registry.example/v1/", "registry.example"),
            ("https://registry.example/v2", "registry.example"),
            ("http://registry.example", "registry.example"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("https://registry.example/group", "registry.example/group"),
            ("registry.example/v1", "registry.example/v1"),
        ] {
            assert_eq!(scope_of(key).map(|s| s.to_string()).as_deref(), Some(meant), "{key}");
        }
        for bad in ["", "https://", "a b", "user@registry.example", "registry.example?x", "r#x"] {
            assert!(scope_of(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_key_and_any_document_end(key in ".{0,60}", text in ".{0,200}") {
            let _ = scope_of(&key);
            let _ = serde_json::from_str::<Document>(&text);
            let entry = serde_json::json!({ "auths": { &key: { "auth": text } } }).to_string();
            let document: Document = serde_json::from_str(&entry).unwrap();
            for entry in document.auths.unwrap().values() {
                let _ = entry.credential();
            }
        }
    }
}
