//! The files of docker, podman and apptainer: which entries are taken, which stop, which are left.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use moorline::credential::CredentialError;
use moorline::failure::{Failure, Kind};
use serde_json::{Value, json};

use crate::common::*;

fn auth(pair: &str) -> Value {
    json!({ "auth": STANDARD.encode(pair) })
}

fn put(path: &Path, document: &Value) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, document.to_string()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// What the variable's text offers for `r.example/g/p`.
fn variable(document: &Value) -> Result<Vec<String>, CredentialError> {
    find(&chain(&[("DOCKER_AUTH_CONFIG", &document.to_string())]), "r.example", "g/p")
}

#[test]
fn the_longest_prefix_comes_first() {
    let document = json!({ "auths": {
        "r.example": auth("all:1"),
        "r.example/g/p": auth("project:2"),
        "r.example/g": { "username": "group", "password": "3" },
        "https://r.example/v1/": auth("url:4"),
        "r.example/g/pp": auth("neighbour:5"),
        "r.example:5000": auth("port:6"),
    }});
    assert_eq!(variable(&document).unwrap(), ["project:2", "group:3", "url:4", "all:1"]);
}

#[test]
fn a_password_may_hold_a_colon_and_zero_bytes_are_padding() {
    let document = json!({ "auths": { "r.example": auth("u:a:b\0\0") } });
    assert_eq!(variable(&document).unwrap(), ["u:a:b"]);
}

#[test]
fn docker_hub_has_more_than_one_name_and_its_realm_is_known() {
    let text = json!({ "auths": { "https://index.docker.io/v1/": auth("hub:1") } }).to_string();
    let chain = chain(&[("DOCKER_AUTH_CONFIG", &text)]);
    let found =
        chain.find(&"docker.io".parse().unwrap(), &"library/fedora".parse().unwrap()).unwrap();
    assert_eq!(found.offered.len(), 1);
    assert_eq!(found.offered[0].realms, ["https://auth.docker.io".parse().unwrap()]);
}

/// Keys that must never be taken for `r.example/g/p`: the canary's part for files.
#[test]
fn keys_of_other_registries_are_left_alone() {
    let keys = [
        "r.example.evil.example",
        "evil.example/r.example",
        "evil.r.example",
        "r.example:444",
        "r.example:80",
        "http://r.example:80",
        "r.example@evil.example",
        "evil@r.example",
        "r.example/g/pp",
        "r.example/g/p/q",
        "r.example/G/p",
        "r.example/g/p.git",
        "r.example/p",
        "r.example/v1",
        "r.example/v1/",
        "https://r.example/v1/search",
        "*.example",
        "*",
        "",
        "https://",
        "ftp://r.example",
        "r.example?x",
        "r.example#x",
        "r.example/../r.example",
        "r .example",
        "\u{ff52}.example",
        "r.example\n",
        "example",
        "//r.example",
        "r.example//g",
    ];
    assert_eq!(keys.len(), 30);
    for key in keys {
        let document = json!({ "auths": { key: auth("u:s") }, "credHelpers": { key: "none" } });
        let found = variable(&document).unwrap_or_else(|error| panic!("{key:?}: {error}"));
        assert_eq!(found, [""; 0], "{key:?}");
    }
}

#[test]
fn broken_entries_stop_by_name_and_are_not_quoted() {
    let entries = [
        json!({ "auth": "gldt-hidden***" }),
        json!({ "auth": STANDARD.encode("gldt-hidden") }),
        json!({ "auth": STANDARD.encode([0xff, b':', 0xfe]) }),
        json!({ "auth": STANDARD.encode(":gldt-hidden") }),
        json!({ "auth": STANDARD.encode("user:") }),
        json!({ "auth": STANDARD.encode("<token>:gldt-hidden") }),
        json!({ "username": "user" }),
        json!({ "password": "gldt-hidden" }),
        json!({ "auth": STANDARD.encode("u:p"), "identitytoken": "gldt-hidden" }),
        json!({ "registrytoken": "gldt-hidden" }),
    ];
    for entry in entries {
        let error = variable(&json!({ "auths": { "r.example": entry } })).unwrap_err();
        let told = format!("{error} {error:?} {:?}", error.hint());
        assert!(told.contains("DOCKER_AUTH_CONFIG") && told.contains("r.example"), "{told}");
        assert!(!told.contains("gldt-hidden"), "{told}");
        assert_eq!(error.kind(), Kind::Configuration);
        // an entry for another registry is nobody's business
        assert_eq!(variable(&json!({ "auths": { "o.example": entry } })).unwrap(), [""; 0]);
    }
    let named = variable(&json!({ "auths": { "r.example": { "identitytoken": "x" } } }));
    assert!(named.unwrap_err().to_string().contains("identitytoken"));
    for text in
        ["", "gldt-hidden", "[]", r#"{"auths":"gldt-hidden"}"#, r#"{"auths":{"gldt-hidden":7}}"#]
    {
        let error = find(
            &chain(&[("HOME", "/nonexistent"), ("DOCKER_AUTH_CONFIG", text)]),
            "r.example",
            "g/p",
        );
        match error {
            // an empty variable is one that is not set
            Ok(found) => assert!(text.is_empty() && found.is_empty(), "{text}"),
            Err(error) => assert!(!error.to_string().contains("gldt-hidden"), "{error}"),
        }
    }
}

#[test]
fn files_in_the_order_of_the_programs() {
    let home = tempfile::tempdir().unwrap();
    let at = |path: &str| home.path().join(path);
    let of = |user: &str| json!({ "auths": { "r.example": auth(&format!("{user}:s")) } });
    for path in [
        ".docker/config.json",
        "docker/config.json",
        "run/containers/auth.json",
        "auth",
        ".config/containers/auth.json",
        "config/containers/auth.json",
        ".apptainer/docker-config.json",
        "apptainer/docker-config.json",
    ] {
        put(&at(path), &of(path));
    }
    let text = |path: &str| at(path).display().to_string();
    let (root, docker, run, auth) = (text(""), text("docker"), text("run"), text("auth"));
    let (config, apptainer) = (text("config"), text("apptainer"));
    let names = |variables: &[(&str, &str)]| find(&chain(variables), "r.example", "g/p").unwrap();
    assert_eq!(
        names(&[("HOME", &root)]),
        [
            ".docker/config.json:s",
            ".config/containers/auth.json:s",
            ".apptainer/docker-config.json:s"
        ]
    );
    assert_eq!(
        names(&[
            ("HOME", &root),
            ("DOCKER_CONFIG", &docker),
            ("XDG_RUNTIME_DIR", &run),
            ("XDG_CONFIG_HOME", &config),
            ("APPTAINER_CONFIGDIR", &apptainer),
        ]),
        [
            "docker/config.json:s",
            "run/containers/auth.json:s",
            "config/containers/auth.json:s",
            "apptainer/docker-config.json:s",
        ]
    );
    assert_eq!(names(&[("REGISTRY_AUTH_FILE", &auth), ("XDG_RUNTIME_DIR", &run)]), ["auth:s"]);
    assert_eq!(names(&[("HOME", "/nonexistent")]), [""; 0]);
    let gone = chain(&[("REGISTRY_AUTH_FILE", "/nonexistent/auth.json")]);
    let found = gone.find(&"r.example".parse().unwrap(), &"g/p".parse().unwrap()).unwrap();
    assert!(found.skipped[0].contains("REGISTRY_AUTH_FILE"), "{:?}", found.skipped);
}

#[test]
fn a_file_that_is_broken_or_that_others_can_write_stops_by_its_name() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".docker/config.json");
    let root = home.path().display().to_string();
    let stops = |why: &str| {
        let error = find(&chain(&[("HOME", &root)]), "r.example", "g/p").unwrap_err();
        let told = error.to_string();
        assert!(told.contains(".docker/config.json") && told.contains(why), "{told}");
        assert!(!told.contains("gldt-hidden"), "{told}");
    };
    put(&path, &json!({}));
    fs::write(&path, "gldt-hidden").unwrap();
    stops("malformed");
    fs::write(&path, "").unwrap();
    stops("malformed");
    fs::write(&path, [0xff]).unwrap();
    stops("cannot read");
    put(&path, &json!({ "auths": { "r.example": auth("u:s") } }));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
    stops("others can write");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    stops("no regular file");
}
