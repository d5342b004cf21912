//! The files of docker, podman and apptainer: which entries are taken, which stop, which are left.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use moorline::credential::CredentialError;
use moorline::failure::{Failure, Kind};
use serde_json::{Value, json};

use crate::credentials::common::*;

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
    stops("not UTF-8");
    put(&path, &json!({ "auths": { "r.example": auth("u:s") } }));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o602)).unwrap();
    stops("everybody may write it");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    stops("not a regular file");
}

/// As people have it: `base64` wraps at 76 columns (banzaicloud/drone-kaniko#6), without padding, URL-safe,
/// as base64 of the whole (Kubernetes' `.dockerconfigjson`), with a line end from `echo`.
#[test]
fn what_is_unambiguous_is_taken() {
    let long = format!("user:{}", "Xy7Qp9".repeat(20));
    let encoded = STANDARD.encode(&long);
    let wrapped = format!("{}\n{}\r\n{}", &encoded[..76], &encoded[76..100], &encoded[100..]);
    let raw = format!("{{\"auths\": {{\"r.example\": {{\"auth\": \"{wrapped}\"}}}}}}");
    let take =
        |text: &str| find(&chain(&[("DOCKER_AUTH_CONFIG", text)]), "r.example", "g/p").unwrap();
    assert_eq!(take(&raw), std::slice::from_ref(&long));
    let escaped = json!({ "auths": { "r.example": { "auth": wrapped } } }).to_string();
    assert_eq!(take(&escaped), std::slice::from_ref(&long));
    let unpadded = |pair: &str| STANDARD.encode(pair).trim_end_matches('=').to_owned();
    for (auth, expected) in [
        (unpadded("u:secret"), "u:secret"),
        (unpadded("u:secret?>"), "u:secret?>"),
        (STANDARD.encode("u:~~~???").replace('+', "-").replace('/', "_"), "u:~~~???"),
        (STANDARD.encode("u:secret\n"), "u:secret"),
    ] {
        let text = json!({ "auths": { "r.example": { "auth": auth } } }).to_string();
        assert_eq!(take(&text), [expected], "{auth}");
        assert_eq!(take(&STANDARD.encode(&text)), [expected], "base64 of the whole");
        assert_eq!(take(&format!("\u{feff}{text}\n")), [expected], "a byte order mark");
    }
    // nothing is meant by these
    for empty in
        [json!({ "auth": STANDARD.encode(":") }), json!({ "username": "", "password": "" })]
    {
        let text = json!({ "auths": { "r.example": empty } }).to_string();
        assert_eq!(take(&text), [""; 0]);
    }
    let text = json!({ "credHelpers": { "r.example": "" }, "auths": { "r.example": auth("u:s") } });
    assert_eq!(take(&text.to_string()), ["u:s"], "an empty helper name");
}

/// A GitLab variable of the type File, one that nobody replaced, a line end behind a secret.
#[test]
fn variables_as_ci_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("DOCKER_AUTH_CONFIG");
    let document = json!({ "auths": { "r.example": auth("u:s") } }).to_string();
    fs::write(&file, format!("{document}\n")).unwrap();
    // the executors' umask is 0000
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let path = file.display().to_string();
    let of = |pairs: &[(&str, &str)]| find(&chain(pairs), "r.example", "g/p");
    assert_eq!(of(&[("DOCKER_AUTH_CONFIG", &path)]).unwrap(), ["u:s"]);

    let secret = folder.path().join("secret");
    fs::write(&secret, "gldt-hidden\n").unwrap();
    let own = [("MOORLINE_REGISTRY", "r.example"), ("MOORLINE_USERNAME", "name\n")];
    let with = |password: &str| of(&[own[0], own[1], ("MOORLINE_PASSWORD", password)]);
    assert_eq!(with("gldt-hidden\r\n").unwrap(), ["name:gldt-hidden"]);
    assert_eq!(with(&secret.display().to_string()).unwrap(), ["name:gldt-hidden"]);
    assert_eq!(with("$ecret").unwrap(), ["name:$ecret"], "a secret may begin with a dollar sign");
    for (name, value) in
        [("MOORLINE_PASSWORD", "$DEPLOY_TOKEN"), ("MOORLINE_PASSWORD", "${DEPLOY_TOKEN}")]
    {
        let error = of(&[own[0], own[1], (name, value)]).unwrap_err().to_string();
        assert!(
            error.contains(name) && error.contains("DEPLOY_TOKEN is not defined here"),
            "{error}"
        );
    }
    let error = of(&[("DOCKER_AUTH_CONFIG", "$DOCKER_AUTH_CONFIG")]).unwrap_err().to_string();
    assert!(error.contains("which nobody replaced"), "{error}");
    let text = json!({ "auths": { "r.example": { "auth": "$AUTH_OF_CI" } } }).to_string();
    let error = of(&[("DOCKER_AUTH_CONFIG", &text)]).unwrap_err().to_string();
    assert!(error.contains("nobody replaced"), "{error}");
}

/// GitLab's dependency proxy is on GitLab's own host, with its own credential.
#[test]
fn ci_has_a_credential_for_its_dependency_proxy() {
    let ci = [
        ("CI_REGISTRY", "registry.example"),
        ("CI_DEPENDENCY_PROXY_SERVER", "gitlab.example:443"),
        ("CI_DEPENDENCY_PROXY_USER", "gitlab-ci-token"),
        ("CI_DEPENDENCY_PROXY_PASSWORD", "of-the-proxy"),
        ("CI_JOB_TOKEN", "of-the-job"),
        ("CI_SERVER_URL", "https://gitlab.example"),
    ];
    let chain = chain(&ci);
    let found = find(&chain, "gitlab.example", "g/dependency_proxy/containers/alpine").unwrap();
    assert_eq!(found, ["gitlab-ci-token:of-the-proxy", "gitlab-ci-token:of-the-job"]);
    assert_eq!(find(&chain, "registry.example", "g/p").unwrap(), ["gitlab-ci-token:of-the-job"]);
    // another host: nothing, and why
    let other = chain.find(&"other.example".parse().unwrap(), &"g/p".parse().unwrap()).unwrap();
    assert!(other.offered.is_empty());
    assert!(other.skipped.concat().contains("CI_REGISTRY, which is registry.example"), "{other:?}");
}

/// What was read, and which keys are about something else: once for each file.
#[test]
fn an_explanation_names_files_and_keys() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".docker/config.json");
    put(&file, &json!({ "auths": { "r.example/g/other": auth("u:s"), "o.example": auth("u:s") } }));
    let chain = chain(&[("HOME", &home.path().display().to_string())]);
    let told = chain.explain(&"r.example".parse().unwrap(), &"g/p".parse().unwrap()).unwrap();
    let read: Vec<&String> = told.sources.iter().flat_map(|source| &source.read).collect();
    let [one] = read.as_slice() else { panic!("{read:?}") };
    for words in [".docker/config.json", "do not cover the image: o.example, r.example/g/other"] {
        assert!(one.contains(words), "{one}");
    }
}
