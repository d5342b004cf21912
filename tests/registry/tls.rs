//! Which certificates are taken, and what is said of those that are not: against real TLS servers.

use std::path::PathBuf;

use moorline::failure::{Failure, Kind};
use moorline::registry::{Client, Options, RegistryError};
use rcgen::{DnType, ExtendedKeyUsagePurpose, IsCa, date_time_ymd};

use crate::common::*;
use crate::tls_server::{Identity, serve};

const HERE: &str = "127.0.0.1";
const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// What comes of asking `/v2/` of a server that presents this certificate.
async fn ask(presented: &Identity, ca_files: Vec<PathBuf>) -> Result<(), RegistryError> {
    ask_with_key(presented, presented, ca_files).await
}

async fn ask_with_key(
    presented: &Identity,
    key: &Identity,
    ca_files: Vec<PathBuf>,
) -> Result<(), RegistryError> {
    let address = serve(presented, key, EMPTY);
    let client = Client::new(Options { ca_files, ..offering(vec![]) })?;
    client.challenge(&registry(address), None).await.map(|asked| assert!(asked.is_none()))
}

/// The error's text and its hint.
fn told(error: &RegistryError) -> String {
    assert_eq!(error.kind(), Kind::Network, "{error}");
    assert!(matches!(error, RegistryError::Certificate { .. }), "{error:?}");
    format!("{error}. {}", error.hint().unwrap())
}

/// `openssl req -x509` says CA:TRUE; docker, podman and curl take it where it is trusted itself
/// (rustls/webpki#205, lightningnetwork/lnd#5450).
#[tokio::test]
async fn what_is_trusted_byte_for_byte_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let own = Identity::own(&[HERE, "localhost"], |_| {});
    let file = own.file(&folder, "own.pem");
    ask(&own, vec![file.clone()]).await.unwrap();

    // as `openssl x509 -outform der` writes it
    let binary = folder.path().join("own.crt");
    std::fs::write(&binary, &own.der).unwrap();
    ask(&own, vec![binary]).await.unwrap();

    // not a CA's
    let plain = Identity::own(&[HERE], |params| params.is_ca = IsCa::ExplicitNoCa);
    ask(&plain, vec![file.clone(), plain.file(&folder, "plain.pem")]).await.unwrap();

    // -subj /CN=127.0.0.1 and no subjectAltName: openssl's default
    let named = |name: &str| {
        let name = name.to_owned();
        Identity::own(&[], |params| params.distinguished_name.push(DnType::CommonName, name))
    };
    let common = named(HERE);
    ask(&common, vec![common.file(&folder, "common.pem")]).await.unwrap();
    let other = named("r.example");
    let error = ask(&other, vec![other.file(&folder, "other.pem")]).await.unwrap_err();
    assert!(told(&error).contains("it lists no names at all"), "{}", told(&error));

    // of an authority that is not known here, but itself known
    let authority = Identity::own(&[], |_| {});
    let leaf = authority.signs(&[HERE], |_| {});
    ask(&leaf, vec![leaf.file(&folder, "leaf.pem")]).await.unwrap();
    ask(&leaf, vec![authority.file(&folder, "authority.pem")]).await.unwrap();
}

#[tokio::test]
async fn only_the_very_bytes_and_only_who_has_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = Identity::own(&[HERE], |_| {});
    let file = trusted.file(&folder, "trusted.pem");
    // the same names and subject, another key
    let like_it = Identity::own(&[HERE], |_| {});
    let error = ask(&like_it, vec![file.clone()]).await.unwrap_err();
    assert!(told(&error).contains("authority (CA:TRUE)"), "{}", told(&error));
    // its bytes, without its key
    let error = ask_with_key(&trusted, &like_it, vec![file]).await.unwrap_err();
    assert!(matches!(error, RegistryError::Certificate { .. } | RegistryError::Unreachable { .. }));
}

#[tokio::test]
async fn each_reason_has_its_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let past = |params: &mut rcgen::CertificateParams| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 3);
    };
    let future =
        |params: &mut rcgen::CertificateParams| params.not_before = date_time_ymd(4000, 1, 2);
    let client_only = |params: &mut rcgen::CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let authority = Identity::own(&[], |params| {
        params.distinguished_name.push(DnType::CommonName, "moorline test authority");
    });
    let ca = authority.file(&folder, "authority.pem");
    let other = Identity::own(&["r.example"], |_| {});
    let other_file = other.file(&folder, "other.pem");
    let old = Identity::own(&[HERE], past);
    let old_file = old.file(&folder, "old.pem");
    let old_other = Identity::own(&[], |_| {}).file(&folder, "old-other.pem");
    for (presented, files, expected) in [
        // trusted byte for byte: name and date count all the same
        (&other, vec![other_file.clone()], ["it is for r.example", "subjectAltName=DNS:127.0.0.1"]),
        (&old, vec![old_file], ["expired on 2020-02-03", "the date of this machine"]),
        // nobody is asked to give a CA file where that would not help
        (&authority.signs(&[HERE], past), vec![ca.clone()], ["expired on 2020-02-03", "renew"]),
        (&authority.signs(&[HERE], future), vec![ca.clone()], ["begins on 4000-01-02", "date"]),
        (&authority.signs(&["a.example"], |_| {}), vec![ca.clone()], ["for a.example", "names"]),
        (&authority.signs(&[HERE], client_only), vec![ca], ["not for servers", "serverAuth"]),
        // where it would
        (&authority.signs(&[HERE], |_| {}), vec![], ["unknown issuer", "with --ca-file FILE"]),
        (&authority.signs(&[HERE], |_| {}), vec![other_file], ["unknown issuer", "do not hold"]),
        (&Identity::own(&[HERE], |_| {}), vec![], ["CA:TRUE", "give it itself with --ca-file"]),
        // an authority whose certificate was made anew under its old name
        (
            &other.signs(&[HERE], |_| {}),
            vec![old_other],
            ["with another key", "in place of the old"],
        ),
    ] {
        let error = ask(presented, files).await.unwrap_err();
        let told = told(&error);
        for words in expected {
            assert!(told.contains(words), "{words}: {told}");
        }
    }
}

/// Field report 34: GitLab's runner writes the authority of its server into a file and names it.
#[test]
fn the_authority_that_a_runner_names_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let own = Identity::own(&[HERE], |_| {});
    let file = own.file(&folder, "runner.pem");
    let address = serve(
        &own,
        &own,
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    for (variable, says) in
        [("UNRELATED", "certificate"), ("CI_SERVER_TLS_CA_FILE", "HTTP status 404")]
    {
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_moorline"))
            .args(["resolve", &format!("{address}/a/b:v1")])
            .current_dir(folder.path())
            .env_clear()
            .env("HOME", folder.path())
            .env(variable, &file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success() && said.contains(says), "{variable}: {said}");
    }
}
