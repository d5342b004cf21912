//! Against Debian's docker-registry 2.8.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use moorline::failure::{Failure, Kind};
use moorline::oci::{Digest, Sha256Digest};
use moorline::registry::{Client, HostPort, Options, RegistryError};
use moorline::resolve::{ResolveError, resolve, resolve_many};

use crate::common::*;
use crate::server::{Server, available, certificate_of, restart, skipped, start};

#[tokio::test(flavor = "multi_thread")]
async fn pushed_by_skopeo_resolved_and_pulled() {
    if !available("docker_registry::pushed_by_skopeo_resolved_and_pulled") {
        return;
    }
    let server = start(300, false).await;
    let layout = server.filled().await;
    let client = server.client(server.reader());
    let before = server.stand_in.seen().len();
    let single = reference(server.address, &format!("{PROJECT}:v1"));
    let multi = reference(server.address, &format!("{PROJECT}/sub/img:multi"));
    let arm64 = "linux/arm64".parse().unwrap();
    let wanted = vec![
        (single.clone(), amd64()),
        (multi.clone(), amd64()),
        (multi, arm64),
        (single, amd64()),
    ];
    let answers = resolve_many(&client, &wanted).await;
    let pins: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().pin).collect();
    assert_eq!(server.stand_in.seen().len() - before, 1, "{:?}", server.stand_in.seen());
    assert_eq!(pins[0].manifest, pins[1].manifest, "the index holds the same image");
    assert!(pins[0].index.is_none() && pins[1].index == pins[2].index && pins[1].index.is_some());
    assert_ne!(pins[1].manifest, pins[2].manifest);
    for pin in &pins {
        let documents = client.image(pin).await.unwrap();
        for layer in &documents.manifest.layers {
            let mut bytes = Vec::new();
            client.blob(&pin.registry, &pin.repository, layer, &mut bytes).await.unwrap();
            assert_eq!(Digest::of(&bytes), layer.digest);
        }
    }
    let on_disk = layout.path().join("blobs/sha256").join(pins[0].manifest.hex());
    assert_eq!(client.image(&pins[0]).await.unwrap().manifest_bytes, fs::read(on_disk).unwrap());
    let tags = client.tags(&pins[0].registry, &pins[0].repository).await.unwrap();
    assert_eq!(tags.iter().map(moorline::oci::Tag::as_str).collect::<Vec<_>>(), ["v1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_told_as_with_the_stand_in() {
    if !available("docker_registry::what_goes_wrong_is_told_as_with_the_stand_in") {
        return;
    }
    let server = start(300, false).await;
    let _layout = server.filled().await;
    let realm = server.stand_in.realm();
    let nowhere = Digest::of(b"nowhere");
    let code_only = vec![candidate("code-only", "gldt-code", &[&realm])];
    let wrong = vec![candidate(USER, "gldt-wrong", &[&realm])];
    let unconfirmed = vec![candidate(USER, SECRET, &[])];
    for (offered, rest, kind, words) in [
        (server.reader(), format!("{PROJECT}:gone"), Kind::NotFound, "tag gone does not exist"),
        (server.reader(), format!("{PROJECT}@{nowhere}"), Kind::NotFound, "does not exist"),
        (server.reader(), "other/closed:v1".into(), Kind::NotFound, "or may not be read"),
        (vec![], format!("{PROJECT}:v1"), Kind::NotFound, "anonymous"),
        (wrong, format!("{PROJECT}:v1"), Kind::Denied, "refused user"),
        (code_only, format!("{PROJECT}:v1"), Kind::Denied, "no registry scope"),
        (unconfirmed, format!("{PROJECT}:v1"), Kind::Denied, "not confirmed"),
    ] {
        let client = server.client(offered);
        let asked_for = reference(server.address, &rest);
        let error = resolve(&client, &asked_for, &amd64()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_takes_no_token_ends() {
    if !available("docker_registry::a_registry_that_takes_no_token_ends") {
        return;
    }
    let server = start(300, false).await;
    let _layout = server.filled().await;
    // another stand-in signs with a key that the registry does not know
    let stranger = stand_in().await;
    fs::write(server.folder.path().join("token.pem"), certificate_of(&stranger)).unwrap();
    let other = restart(&server).await;
    let client = Client::new(Options {
        insecure: vec![other.0.to_string().parse().unwrap()],
        ..offering(vec![candidate(USER, SECRET, &[&server.stand_in.realm()])])
    })
    .unwrap();
    let before = server.stand_in.seen().len();
    let asked_for = reference(other.0, &format!("{PROJECT}:v1"));
    let error = resolve(&client, &asked_for, &amd64()).await.unwrap_err();
    assert!(
        matches!(&error, ResolveError::Registry { reason: RegistryError::Answer { .. }, .. }),
        "{error}"
    );
    assert_eq!(server.stand_in.seen().len() - before, 3, "asked, once more, and as nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_a_ca_file_with_the_flag_and_with_neither() {
    if !available("docker_registry::tls_with_a_ca_file_with_the_flag_and_with_neither") {
        return;
    }
    let server = start(300, true).await;
    let _layout = server.filled().await;
    let asked_for = reference(server.address, &format!("{PROJECT}:v1"));
    let realm = server.stand_in.realm();
    let realm_listed: HostPort = server.stand_in.address().to_string().parse().unwrap();
    let ca_files = vec![server.folder.path().join("ca.pem")];
    // a plain-http realm gets the credential only because it is listed itself
    let with_ca = Client::new(Options {
        ca_files,
        insecure: vec![realm_listed],
        ..offering(server.reader())
    })
    .unwrap();
    let pin = resolve(&with_ca, &asked_for, &amd64()).await.unwrap().pin;
    let flagged = server.client(server.reader());
    assert_eq!(resolve(&flagged, &asked_for, &amd64()).await.unwrap().pin.manifest, pin.manifest);
    let neither = Client::new(offering(vec![candidate(USER, SECRET, &[&realm])])).unwrap();
    let error = resolve(&neither, &asked_for, &amd64()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Network);
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(error.hint().unwrap().contains("--ca-file"));
    // the program: the flag, and the realm of the user's configuration
    let program = Program::new(&server);
    let ca = server.folder.path().join("ca.pem").display().to_string();
    let done = program.run(&[], &["--ca-file", &ca], &[]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let expected = format!("{}\n", pin.reference());
    assert_eq!(String::from_utf8_lossy(&done.stdout), expected);
    assert_eq!(program.run(&[], &[], &[]).status.code(), Some(5));
}

/// The program, in a home whose configuration confirms the stand-in as realm.
struct Program<'a> {
    server: &'a Server,
    home: std::path::PathBuf,
}

impl<'a> Program<'a> {
    fn new(server: &'a Server) -> Self {
        let home = server.folder.path().join("home");
        fs::create_dir_all(home.join(".config/moorline")).unwrap();
        let realm = server.stand_in.address();
        let realms = format!("[realms]\n\"{}\" = \"http://{realm}\"\n", server.address);
        fs::write(home.join(".config/moorline/config.toml"), realms).unwrap();
        Self { server, home }
    }

    /// `BEFORE moorline FLAGS resolve IMAGE`; the registry itself is not listed as insecure.
    fn run(&self, before: &[&str], flags: &[&str], variables: &[(&str, &str)]) -> Output {
        let host = self.server.address.to_string();
        let words: Vec<&str> =
            before.iter().copied().chain([env!("CARGO_BIN_EXE_moorline")]).collect();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .args(flags)
            .args(["--insecure-registry", &self.server.stand_in.address().to_string()])
            .args(["resolve", "--platform", "linux/amd64", &format!("{host}/{PROJECT}:v1")])
            .current_dir(&self.home)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .env("MOORLINE_REGISTRY", &host)
            .env("MOORLINE_USERNAME", USER)
            .env("MOORLINE_PASSWORD", SECRET)
            .envs(variables.iter().copied());
        // the stand-in answers on another thread of this runtime
        tokio::task::block_in_place(|| command.output()).unwrap()
    }
}

/// An authority that only the system trusts: the variables that OpenSSL reads too, and the place where
/// Debian keeps its roots, seen by this process alone.
#[tokio::test(flavor = "multi_thread")]
async fn tls_with_the_systems_roots() {
    const TEST: &str = "docker_registry::tls_with_the_systems_roots";
    if !available(TEST) {
        return;
    }
    let server = start(300, true).await;
    let _layout = server.filled().await;
    let roots = server.folder.path().join("roots");
    fs::create_dir(&roots).unwrap();
    let ca = server.folder.path().join("ca.pem");
    fs::copy(&ca, roots.join("ca-certificates.crt")).unwrap();
    let (ca, roots) = (ca.display().to_string(), roots.display().to_string());
    let program = Program::new(&server);
    let trusts = |case: &str, done: &Output| {
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{case}: {said}");
        assert!(String::from_utf8_lossy(&done.stdout).contains("@sha256:"), "{case}: {said}");
    };
    // 12: there are no roots at all
    let refuses = |case: &str, done: &Output, code: i32| {
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{case}: {said}");
        assert!(said.contains("certificate") && said.contains("--ca-file"), "{case}: {said}");
    };
    let asked = server.stand_in.seen().len();
    refuses("without", &program.run(&[], &[], &[]), 5);
    let empty = tempfile::tempdir().unwrap();
    let none = empty.path().display().to_string();
    refuses("an empty SSL_CERT_DIR", &program.run(&[], &[], &[("SSL_CERT_DIR", &none)]), 12);
    assert_eq!(server.stand_in.seen().len(), asked, "a token was asked for");
    trusts("SSL_CERT_FILE", &program.run(&[], &[], &[("SSL_CERT_FILE", &ca)]));
    trusts("SSL_CERT_DIR", &program.run(&[], &[], &[("SSL_CERT_DIR", &roots)]));
    // what --ca-file names is trusted as well, and not instead
    trusts("both", &program.run(&[], &["--ca-file", &ca], &[("SSL_CERT_DIR", &none)]));

    let own = ["unshare", "--map-root-user", "--mount"];
    let there = Command::new(own[0]).args(&own[1..]).arg("true").output();
    if !there.is_ok_and(|done| done.status.success()) || !Path::new("/etc/ssl/certs").is_dir() {
        skipped(TEST, "no mount namespace, or no /etc/ssl/certs", "docker-registry");
        return;
    }
    let mounted = |over: &str| format!("mount --bind '{over}' /etc/ssl/certs && exec \"$@\"");
    for (over, trusted) in [(&roots, true), (&none, false)] {
        let script = mounted(over);
        let done = program.run(&[&own[..], &["/bin/sh", "-c", &script, "sh"]].concat(), &[], &[]);
        if trusted { trusts(over, &done) } else { refuses(over, &done, 12) }
    }
}
