use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::*;
use crate::credential::{Explicit, VaultError};
use crate::failure::Kind;
use crate::secret::Candidate;

/// A keyring in memory; `None` when there is none.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<HashMap<String, Secret>>>);

impl Vault for Memory {
    fn put(&self, name: &str, secret: &Secret) -> Result<(), VaultError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), secret.clone());
        Ok(())
    }
    fn get(&self, name: &str) -> Result<Option<Secret>, VaultError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned())
    }
    fn remove(&self, name: &str) -> Result<(), VaultError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }
}

/// No keyring, or a locked one.
struct Failing(fn() -> VaultError);

impl Vault for Failing {
    fn put(&self, _: &str, _: &Secret) -> Result<(), VaultError> {
        Err(self.0())
    }
    fn get(&self, _: &str) -> Result<Option<Secret>, VaultError> {
        Err(self.0())
    }
    fn remove(&self, _: &str) -> Result<(), VaultError> {
        Err(self.0())
    }
}

fn absent() -> Box<dyn Vault> {
    Box::new(Failing(|| VaultError::Absent("no D-Bus".into())))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn settings(folder: &tempfile::TempDir) -> Settings {
    Settings::file_only(folder.path().join("moorline/credentials.json"))
}

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn credential(username: &str, password: &str) -> Credential {
    Credential { username: username.into(), password: Secret::new(password.into()) }
}

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

/// `user:secret` of each candidate, in order.
fn found(chain: &Chain, registry: &str, repository: &str) -> Vec<String> {
    let found = chain.find(&registry.parse().unwrap(), &repository.parse().unwrap()).unwrap();
    let shown =
        |c: &Candidate| format!("{}:{}", c.credential.username, c.credential.password.expose());
    found.offered.iter().map(shown).collect()
}

fn gone(place: Keeper) -> Erased {
    Erased { place, remains: false }
}

fn error(chain: &Chain) -> CredentialError {
    chain.find(&"r.example".parse().unwrap(), &"g/p".parse().unwrap()).unwrap_err()
}

#[test]
fn the_longest_prefix_comes_first_and_never_covers_a_neighbour() {
    let folder = folder();
    let chain = Chain::new(settings(&folder));
    for (at, user) in [
        ("r.example", "all"),
        ("r.example/g/p", "project"),
        ("r.example/g", "group"),
        ("o.example", "other"),
    ] {
        chain.store(&scope(at), &credential(user, "s"), None, Some(Keeper::File)).unwrap();
    }
    assert_eq!(found(&chain, "r.example", "g/p/img"), ["project:s", "group:s", "all:s"]);
    assert_eq!(found(&chain, "R.example:443", "g/p2"), ["group:s", "all:s"]);
    assert_eq!(found(&chain, "r.example:5000", "g/p"), [] as [&str; 0]);
}

#[test]
fn sources_in_their_order() {
    let folder = folder();
    let mut settings = settings(&folder);
    settings.environment = environment(&[
        ("MOORLINE_REGISTRY", "r.example/g"),
        ("MOORLINE_USERNAME", "environment"),
        ("MOORLINE_PASSWORD", "2"),
        ("CI_REGISTRY", "r.example"),
        ("CI_SERVER_URL", "https://gitlab.example/sub"),
        ("CI_DEPLOY_USER", "deploy"),
        ("CI_DEPLOY_PASSWORD", "3"),
        ("CI_REGISTRY_USER", "gitlab-ci-token"),
        ("CI_REGISTRY_PASSWORD", "4"),
        ("CI_JOB_TOKEN", "4"),
        ("DOCKER_AUTH_CONFIG", r#"{"auths":{"r.example":{"auth":"dmFyaWFibGU6Nw=="}}}"#),
    ]);
    settings.keyring = Some(Box::new(Memory::default()));
    let chain = Chain::new(settings);
    let realm: Realm = "https://login.example".parse().unwrap();
    chain
        .store(&scope("r.example/g/p"), &credential("file", "6"), None, Some(Keeper::File))
        .unwrap();
    chain.store(&scope("r.example"), &credential("keyring", "5"), Some(&realm), None).unwrap();
    assert_eq!(
        found(&chain, "r.example", "g/p"),
        ["environment:2", "deploy:3", "gitlab-ci-token:4", "file:6", "keyring:5", "variable:7"],
        "the longest prefix comes first, wherever its secret lies"
    );
    assert_eq!(
        found(&chain, "r.example", "h/p"),
        ["deploy:3", "gitlab-ci-token:4", "keyring:5", "variable:7"]
    );
    assert_eq!(found(&chain, "other.example", "g/p"), [] as [&str; 0]);
    let all = chain.find(&"r.example".parse().unwrap(), &"g/p".parse().unwrap()).unwrap();
    let realms = ["https://gitlab.example".parse().unwrap(), realm];
    assert!(all.offered.iter().all(|c| c.realms == realms), "{:?}", all.offered);
    let shown = format!("{all:?} {:?}", chain.list().unwrap());
    assert!(!shown.contains("\"2\"") && !shown.contains("\"6\""), "{shown}");
}

#[test]
fn a_credential_on_the_command_line_is_an_order() {
    let folder = folder();
    let mut settings = settings(&folder);
    let secret = Secret::new("1".into());
    settings.explicit = Some(Explicit::typed(scope("r.example"), "flag".into(), secret));
    settings.environment = environment(&[("DOCKER_AUTH_CONFIG", "broken")]);
    let chain = Chain::new(settings);
    assert_eq!(found(&chain, "r.example", "g/p"), ["flag:1"]);
    let other = chain.find(&"o.example".parse().unwrap(), &"g/p".parse().unwrap());
    assert!(matches!(other, Err(CredentialError::Foreign { .. })), "{other:?}");
}

#[test]
fn a_credential_file_is_two_lines_that_only_its_owner_reaches() {
    let folder = folder();
    let path = folder.path().join("credential");
    let read = |text: &str, mode| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Explicit::from_file(scope("r.example"), &path)
    };
    let good = read("user\ngldt-hidden\n", 0o600).unwrap();
    assert_eq!(good.credential.username, "user");
    assert_eq!(good.credential.password.expose(), "gldt-hidden");
    assert!(matches!(read("user\ngldt-hidden\n", 0o640), Err(CredentialError::Exposed { .. })));
    for bad in ["", "user", "user\n", "\ngldt-hidden", "user\ngldt-hidden\nmore"] {
        let error = read(bad, 0o600).unwrap_err();
        assert!(!error.to_string().contains("gldt-hidden"), "{error}");
    }
    fs::remove_file(&path).unwrap();
    assert!(Explicit::from_file(scope("r.example"), &path).is_err());
}

#[test]
fn a_debug_trace_in_ci_is_warned_about_once() {
    let folder = folder();
    let told = Arc::new(Mutex::new(Vec::new()));
    for (trace, expected) in [("true", 1), ("false", 0), ("", 0)] {
        told.lock().unwrap().clear();
        let into = Arc::clone(&told);
        let environment = environment(&[
            ("CI_REGISTRY", "r.example"),
            ("CI_JOB_TOKEN", "gldt-hidden"),
            ("CI_DEBUG_TRACE", trace),
        ]);
        let chain = Chain::new(Settings {
            environment,
            warn: Some(Box::new(move |text: &str| into.lock().unwrap().push(text.to_owned()))),
            ..settings(&folder)
        });
        for _ in 0..3 {
            assert_eq!(found(&chain, "r.example", "g/p").len(), 1);
        }
        assert_eq!(found(&chain, "other.example", "g/p").len(), 0);
        let told = told.lock().unwrap();
        assert_eq!(told.len(), expected, "{trace:?}: {told:?}");
        assert!(told.iter().all(|t| t.contains("CI_DEBUG_TRACE") && !t.contains("gldt")));
    }
}

#[test]
fn half_a_credential_in_the_environment_is_broken() {
    let folder = folder();
    for (pairs, has, lacks) in [
        (
            vec![("MOORLINE_USERNAME", "u"), ("MOORLINE_PASSWORD", "p")],
            "MOORLINE_PASSWORD",
            "MOORLINE_REGISTRY",
        ),
        (
            vec![("MOORLINE_REGISTRY", "r.example"), ("MOORLINE_PASSWORD", "p")],
            "MOORLINE_PASSWORD",
            "MOORLINE_USERNAME",
        ),
        (
            vec![("MOORLINE_USERNAME", "u"), ("MOORLINE_PASSWORD", "")],
            "MOORLINE_USERNAME",
            "MOORLINE_PASSWORD",
        ),
    ] {
        let chain = Chain::new(Settings { environment: environment(&pairs), ..settings(&folder) });
        match error(&chain) {
            CredentialError::Incomplete { has: h, lacks: l } => assert_eq!((h, l), (has, lacks)),
            other => panic!("{other}"),
        }
    }
    let alone = environment(&[("MOORLINE_REGISTRY", "r.example")]);
    let chain = Chain::new(Settings { environment: alone, ..settings(&folder) });
    assert_eq!(found(&chain, "r.example", "g/p"), [] as [&str; 0]);
}

#[test]
fn without_a_keyring_the_file_takes_it_and_says_so() {
    let folder = folder();
    let kernel: Box<dyn Vault> =
        Box::new(Failing(|| VaultError::Absent("the kernel keeps none".into())));
    let chain =
        Chain::new(Settings { keyring: Some(absent()), kernel: Some(kernel), ..settings(&folder) });
    let at = scope("r.example/g/p");
    let stored = chain.store(&at, &credential("u", "s"), None, None).unwrap();
    assert_eq!(stored.place, Keeper::File);
    assert_eq!(stored.lasts, None);
    let note = stored.notes.concat();
    assert!(note.contains("no D-Bus") && note.contains("the kernel keeps none"), "{note}");
    assert!(note.contains("credentials.json, mode 0600"), "{note}");
    assert_eq!(found(&chain, "r.example", "g/p"), ["u:s"]);
    let error = chain.store(&at, &credential("u", "s"), None, Some(Keeper::Keyring)).unwrap_err();
    assert!(matches!(error, CredentialError::NoKeyring(_)), "{error}");
}

/// The kernel's keyring, played by memory.
struct Forgetful(Memory);

impl Vault for Forgetful {
    fn put(&self, name: &str, secret: &Secret) -> Result<(), VaultError> {
        self.0.put(name, secret)
    }
    fn get(&self, name: &str) -> Result<Option<Secret>, VaultError> {
        self.0.get(name)
    }
    fn remove(&self, name: &str) -> Result<(), VaultError> {
        self.0.remove(name)
    }
    fn lasts(&self) -> Option<Duration> {
        Some(Duration::from_secs(7))
    }
}

#[test]
fn the_kernel_keeps_what_no_keyring_takes_and_may_forget_it() {
    let folder = folder();
    let memory = Memory::default();
    let with = |keyring: Box<dyn Vault>| {
        let kernel: Box<dyn Vault> = Box::new(Forgetful(memory.clone()));
        Chain::new(Settings { keyring: Some(keyring), kernel: Some(kernel), ..settings(&folder) })
    };
    let at = scope("r.example/g/p");
    for choice in [None, Some(Keeper::Keyring)] {
        let stored = with(absent()).store(&at, &credential("u", "hidden"), None, choice).unwrap();
        assert_eq!((stored.place, stored.lasts), (Keeper::Kernel, Some(Duration::from_secs(7))));
        assert!(stored.notes.concat().contains("no D-Bus"), "{stored:?}");
    }
    assert_eq!(found(&with(absent()), "r.example", "g/p"), ["u:hidden"]);
    let file = folder.path().join("moorline/credentials.json");
    assert!(!fs::read_to_string(&file).unwrap().contains("hidden"));

    // a better place takes it over, and nothing stays behind
    let desktop = Memory::default();
    with(Box::new(desktop.clone())).store(&at, &credential("u", "new"), None, None).unwrap();
    assert!(memory.get("r.example/g/p").unwrap().is_none());
    let stored = with(absent()).store(&at, &credential("u", "again"), None, None).unwrap();
    assert!(stored.notes.concat().contains("the older secret is still in the keyring"));

    // forgotten is no broken source: it is said, and the next source is asked
    memory.remove("r.example/g/p").unwrap();
    let answer = with(absent()).find(&"r.example".parse().unwrap(), &"g/p".parse().unwrap());
    let answer = answer.unwrap();
    assert!(answer.offered.is_empty());
    assert!(answer.skipped[0].contains("moorline login r.example/g/p"), "{:?}", answer.skipped);
    assert_eq!(with(absent()).erase(&at).unwrap(), gone(Keeper::Kernel));
}

#[test]
fn an_absent_keyring_is_skipped_a_locked_one_stops() {
    let folder = folder();
    let memory = Memory::default();
    let chain =
        Chain::new(Settings { keyring: Some(Box::new(memory.clone())), ..settings(&folder) });
    let at = scope("r.example");
    let stored = chain.store(&at, &credential("u", "hidden"), None, None).unwrap();
    assert_eq!(stored, Stored { place: Keeper::Keyring, lasts: None, notes: Vec::new() });
    let file = folder.path().join("moorline/credentials.json");
    assert!(!fs::read_to_string(&file).unwrap().contains("hidden"));

    let chain = Chain::new(Settings { keyring: Some(absent()), ..settings(&folder) });
    let answer = chain.find(&"r.example".parse().unwrap(), &"g/p".parse().unwrap()).unwrap();
    assert!(answer.offered.is_empty());
    assert!(answer.skipped[0].contains("no D-Bus"), "{:?}", answer.skipped);

    let locked = Failing(|| VaultError::Broken("locked".into()));
    let chain = Chain::new(Settings { keyring: Some(Box::new(locked)), ..settings(&folder) });
    let broken = error(&chain).to_string();
    assert!(broken.contains("locked") && broken.contains("r.example"), "{broken}");

    memory.remove("r.example").unwrap();
    let chain = Chain::new(Settings { keyring: Some(Box::new(memory)), ..settings(&folder) });
    assert!(error(&chain).to_string().contains("gone"));
}

/// In a session without D-Bus, as on a login node: the row goes, and it is said that the secret stays.
#[test]
fn logout_without_the_keyring_forgets_and_says_what_remains() {
    let folder = folder();
    let memory = Memory::default();
    let with = |keyring| Chain::new(Settings { keyring: Some(keyring), ..settings(&folder) });
    let at = scope("r.example/g");
    with(Box::new(memory.clone())).store(&at, &credential("u", "s"), None, None).unwrap();
    let erased = with(absent()).erase(&at).unwrap();
    assert_eq!(erased, Erased { place: Keeper::Keyring, remains: true });
    assert!(with(absent()).list().unwrap().is_empty());
    assert!(memory.get("r.example/g").unwrap().is_some());
    // one that is there and refuses keeps the row
    let locked = || Box::new(Failing(|| VaultError::Broken("locked".into())));
    with(Box::new(memory)).store(&at, &credential("u", "s"), None, None).unwrap();
    assert!(with(locked()).erase(&at).is_err());
    assert_eq!(with(absent()).list().unwrap().len(), 1);
}

#[test]
fn a_file_that_others_can_reach_is_refused() {
    let folder = folder();
    let chain = Chain::new(settings(&folder));
    chain.store(&scope("r.example"), &credential("u", "s"), None, Some(Keeper::File)).unwrap();
    let file = folder.path().join("moorline/credentials.json");
    let mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let parent = file.parent().unwrap();
    assert_eq!(fs::metadata(parent).unwrap().permissions().mode() & 0o7777, 0o700);
    mode(&file, 0o640);
    assert!(matches!(error(&chain), CredentialError::Exposed { .. }));
    assert_eq!(error(&chain).kind(), Kind::Configuration);
    mode(&file, 0o600);
    mode(parent, 0o707);
    assert!(matches!(error(&chain), CredentialError::Unsafe { .. }));
    mode(parent, 0o700);
    assert_eq!(found(&chain, "r.example", "g/p"), ["u:s"]);
    // a link is not followed
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert!(matches!(error(&chain), CredentialError::Unsafe { .. }));
}

#[test]
fn a_malformed_file_stops_and_its_content_is_not_told() {
    let folder = folder();
    let chain = Chain::new(settings(&folder));
    chain.store(&scope("r.example"), &credential("u", "s"), None, Some(Keeper::File)).unwrap();
    let file = folder.path().join("moorline/credentials.json");
    for text in [r#"{"schema":1,"entries":"gldt-hidden"}"#, "gldt-hidden", ""] {
        fs::write(&file, text).unwrap();
        let shown = format!("{0} {0:?}", error(&chain));
        assert!(shown.contains("credentials.json") && !shown.contains("gldt-hidden"), "{shown}");
    }
}

#[test]
fn a_newer_file_is_read_and_not_written() {
    let folder = folder();
    let chain = Chain::new(settings(&folder));
    let at = scope("r.example");
    chain.store(&at, &credential("u", "s"), None, Some(Keeper::File)).unwrap();
    let file = folder.path().join("moorline/credentials.json");
    let newer =
        fs::read_to_string(&file).unwrap().replace("\"schema\": 1", "\"schema\": 2, \"new\": true");
    fs::write(&file, &newer).unwrap();
    assert_eq!(found(&chain, "r.example", "g/p"), ["u:s"]);
    let refused = chain.store(&at, &credential("v", "t"), None, Some(Keeper::File)).unwrap_err();
    assert!(matches!(refused, CredentialError::Newer { schema: 2, .. }), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), newer);
}

#[test]
fn logout_forgets_exactly_one() {
    let folder = folder();
    let memory = Memory::default();
    let chain =
        Chain::new(Settings { keyring: Some(Box::new(memory.clone())), ..settings(&folder) });
    chain.store(&scope("r.example/g"), &credential("a", "1"), None, None).unwrap();
    chain.store(&scope("r.example"), &credential("b", "2"), None, Some(Keeper::File)).unwrap();
    assert_eq!(chain.erase(&scope("r.example/g")).unwrap(), gone(Keeper::Keyring));
    assert!(memory.get("r.example/g").unwrap().is_none());
    assert!(matches!(chain.erase(&scope("r.example/g")), Err(CredentialError::NotStored(_))));
    assert_eq!(found(&chain, "r.example", "g/p"), ["b:2"]);
    assert_eq!(chain.erase(&scope("r.example")).unwrap(), gone(Keeper::File));
    assert!(chain.list().unwrap().is_empty());
}
