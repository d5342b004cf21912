//! `convert` where the store has something already: what is asked of the registry, and what is done.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::{Home, PROJECT, Server, images};

#[test]
fn a_known_digest_asks_nobody() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let digest = server.name(&format!("@{}", images().0.manifest_digest));
    let first: Value = serde_json::from_str(&home.ok(&["convert", "--json", &digest])).unwrap();
    assert_eq!(first["known"], false);
    let before = server.running.seen().len();
    let again: Value = serde_json::from_str(&home.ok(&["convert", "--json", &digest])).unwrap();
    assert_eq!(server.running.seen().len(), before, "{:?}", server.running.seen());
    assert_eq!((&again["known"], &again["counters"]), (&Value::Bool(true), &Value::Null));
    for key in ["sif", "path", "size", "manifest"] {
        assert_eq!(again[key], first[key], "{key}");
    }
    for key in ["manifest", "config", "platform", "registry", "repository"] {
        assert_eq!(again["pin"][key], first["pin"][key], "{key}");
    }
    // another platform is the registry's answer, and a tag beside the digest is compared
    home.run(&["convert", &digest, "--platform", "linux/s390x"]).exits(3);
    assert!(server.running.seen().len() > before);
}

#[test]
fn a_known_layer_is_neither_fetched_nor_inflated() {
    let server = Server::with_image();
    server.push(PROJECT, &images().1, &["v2"]);
    let home = Home::logged_in(&server);
    home.ok(&["convert", &server.name(":v1")]);
    let text = home.ok(&["convert", "--json", &server.name(":v2")]);
    let made: Value = serde_json::from_str(&text).unwrap();
    let changed = {
        let digests = |n: usize| {
            let image = if n == 0 { &images().0 } else { &images().1 };
            image.layers.iter().map(|layer| layer.bytes.clone()).collect::<Vec<_>>()
        };
        let (old, new) = (digests(0), digests(1));
        new.iter().filter(|layer| !old.contains(layer)).count()
    };
    let counters = &made["counters"];
    assert_eq!(counters["layers_fetched"], changed, "{counters}");
    assert_eq!(counters["layers_inflated"], changed, "{counters}");
    assert!(counters["blocks_reused"].as_u64() > Some(0), "{counters}");

    // the same bytes as in an empty store
    let other = Home::logged_in(&server);
    let text = other.ok(&["convert", "--json", &server.name(":v2")]);
    let cold: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(cold["sif"], made["sif"]);
}

/// The site's image of a pin: the registry is asked whether this user may read it, and for nothing.
#[test]
fn a_site_hit_costs_one_head() {
    let server = Server::with_image();
    let dir = tempfile::Builder::new().prefix("moorline-site-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let publisher = Home::logged_in(&server);
    let secret = publisher.path("key").display().to_string();
    let key = publisher.ok(&["cache", "key", &secret]);
    let owner = rustix::process::geteuid().as_raw();
    let text = format!(
        "insecure_registries = [{:?}]\n[store]\nsite = {:?}\nsite_owner = {owner}\nsite_keys = [{key:?}]\n",
        server.address(),
        dir.path()
    );
    publisher.write("config/moorline/config.toml", &text);
    publisher.ok(&["convert", &server.name(":v1"), "--site", "--signing-key", &secret]);

    let user = Home::logged_in(&server);
    user.write("config/moorline/config.toml", &text);
    user.write("here/moorline.toml", &format!("[images]\ndemo = {:?}\n", server.name(":v1")));
    user.ok(&["lock"]);
    let before = server.running.seen().len();
    user.ok(&["submit", "--locked", "--dry-run", "demo", "--", "true"]);
    let asked = server.running.seen().split_off(before);
    let of_images = asked.iter().filter(|seen| seen.authorized && seen.target.starts_with("/v2/"));
    let of_images: Vec<_> = of_images.map(|seen| (seen.method.as_str(), seen.status)).collect();
    assert_eq!(of_images, [("HEAD", 200)], "{asked:?}");
}

/// The archive for runtimes that take no SIF: made once, the same bytes everywhere, and one that we read
/// ourselves. Nothing is started, so podman need not be here.
#[test]
fn an_archive_is_made_once() {
    let server = Server::with_image();
    let image = server.name(":v1");
    let archive = |home: &Home| {
        home.ok(&["submit", "--runtime", "podman", "--dry-run", &image, "--", "true"]);
        let manifest = images().0.manifest_digest.to_string();
        home.path("cache/archives").join(format!("{}.tar", &manifest["sha256:".len()..]))
    };
    let home = Home::logged_in(&server);
    let path = archive(&home);
    let before = server.running.seen().len();
    archive(&home);
    let asked = server.running.seen().split_off(before);
    // the configuration, of which a pin is made
    let blobs = asked.iter().filter(|seen| seen.target.contains("/blobs/")).count();
    assert_eq!(blobs, 1, "{asked:?}");
    let other = Home::logged_in(&server);
    assert!(fs::read(&path).unwrap() == fs::read(archive(&other)).unwrap());

    let text = home.ok(&["convert", "--json", &format!("oci-archive:{}", path.display())]);
    let made: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(made["manifest"], images().0.manifest_digest.to_string());
    let docker = format!("docker-archive:{}", path.display());
    other.ok(&["convert", &docker]);
}
