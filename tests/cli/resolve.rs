//! `resolve`: order, repeats, failures among successes, one token for a project, the whole pin.

use std::collections::BTreeSet;

use moorline::oci::{Digest, Platform, Sha256Digest, media_type};
use serde_json::{Value, json};

use crate::support::{Home, PROJECT, Server, images};

/// An index with this machine's image and one for another architecture.
pub fn push_index(server: &Server, tag: &str) -> Digest {
    let image = &images().0;
    let host = Platform::host();
    server.push(PROJECT, image, &[]);
    let index = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_INDEX,
        "manifests": [{
            "mediaType": image.media_type,
            "digest": image.manifest_digest.to_string(),
            "size": image.manifest.len(),
            "platform": { "os": host.os, "architecture": host.architecture },
        }, {
            "mediaType": media_type::OCI_MANIFEST,
            "digest": Digest::of(b"elsewhere").to_string(),
            "size": 9,
            "platform": { "os": "linux", "architecture": "s390x" },
        }],
    });
    let store = server.running.images();
    let bytes = serde_json::to_vec(&index).unwrap();
    let digest = store.put_manifest(PROJECT, media_type::OCI_INDEX, bytes);
    store.tag(PROJECT, tag, digest);
    digest
}

#[test]
fn answers_stand_in_the_order_of_the_questions() {
    let server = Server::with_image();
    server.push(PROJECT, &images().1, &["v2"]);
    let home = Home::logged_in(&server);
    let before = server.token_requests();
    let [v1, v2, gone] = [":v1", ":v2", ":gone"].map(|tag| server.name(tag));
    let answer = home.run(&["resolve", &v2, &v1, &gone, &v2]);
    let pin = |image: &moorline::demo::image::OciImage| {
        format!("{}@{}", server.name(""), image.manifest_digest)
    };
    let (old, new) = (pin(&images().0), pin(&images().1));
    let answer = answer.says(3, &["tag gone"]);
    assert_eq!(answer.stdout, format!("{new}\n{old}\n\n{new}\n"));
    assert_eq!(server.token_requests() - before, 1, "one token for one project");

    // the worst of several failures: 5 is more than 3
    let unreachable = "127.0.0.1:1/group/project:v1";
    let answer = home.run(&["resolve", &gone, unreachable, &v1]).exits(5);
    assert_eq!(answer.stdout, format!("\n\n{old}\n"));
    assert_eq!(answer.stderr.lines().filter(|l| l.starts_with("error:")).count(), 2, "{answer}");
}

#[test]
fn json_holds_the_whole_pin() {
    let server = Server::with_image();
    let index = push_index(&server, "multi");
    let home = Home::logged_in(&server);
    let image = &images().0;
    let asked = server.name(":multi");
    let answer = home.run(&["--json", "resolve", &asked]).exits(0).json();
    let text = |key: &str| answer[key].as_str().unwrap_or_else(|| panic!("{key}: {answer}"));
    assert_eq!(text("index"), index.to_string());
    assert_eq!(text("manifest"), image.manifest_digest.to_string());
    assert_eq!(text("config"), image.config_digest.to_string());
    assert_eq!(text("reference"), format!("{}@{}", server.name(""), image.manifest_digest));
    assert!(answer["asked"].to_string().contains("multi"), "{answer}");
    assert!(answer["platform"].to_string().contains("linux"), "{answer}");
    assert_eq!(answer["tag_points_here"], Value::Bool(true));
    assert!(answer["labels"].is_object(), "{answer}");
    let layers: usize = image.layers.iter().map(|layer| layer.bytes.len()).sum();
    assert_eq!(answer["size"], layers + image.config.len());
    assert!(text("created").starts_with("20") || text("created").starts_with("19"), "{answer}");

    // a digest and a tag that moved away
    let moved = server.name(&format!(":v1@{}", image.manifest_digest));
    server.push(PROJECT, &images().1, &["v1"]);
    let answer = home.run(&["resolve", "--json", &moved]).exits(0);
    assert_eq!(answer.json()["tag_points_here"], Value::Bool(false));
    assert!(answer.stderr.starts_with("warning:"), "{answer}");

    // several: a list, with null where one failed
    let list = home.run(&["--json", "resolve", &asked, &server.name(":gone")]).exits(3).json();
    assert!(list[0].is_object() && list[1].is_null(), "{list}");
}

#[test]
fn quiet_leaves_data_and_errors() {
    let server = Server::with_image();
    let home = Home::new(&server);
    let scope = server.name("");
    let login = ["-q", "login", &scope, "--username", crate::support::USER, "--password-stdin"];
    let login = [&login[..], &["--store", "file"]].concat();
    let image = server.name(":v1");
    let said: Vec<_> = [
        home.run_with(&login, crate::support::SECRET),
        home.run(&["-q", "resolve", &image]),
        home.run(&["convert", "--quiet", &image]),
        home.run(&["-q", "jobs"]),
        home.run(&["-q", "recover"]),
        home.run(&["-q", "ledger", "collect"]),
        home.run(&["-q", "audit", "verify"]),
        home.run(&["-q", "config", "show"]),
        home.run(&["-q", "login", "--list"]),
    ]
    .into_iter()
    .map(|answer| answer.exits(0))
    .filter(|answer| !answer.stderr.is_empty())
    .collect();
    assert!(said.is_empty(), "{said:?}");
    // and they do speak without it
    assert!(!home.run(&["convert", &image]).exits(0).stderr.is_empty());
    home.run(&["-q", "resolve", &server.name(":gone")]).fails(3, &["gone"]);
}

#[test]
fn every_answer_can_be_json() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    let converted = home.run(&["--json", "convert", &image]).exits(0).json();
    let keys: BTreeSet<&str> = converted.as_object().unwrap().keys().map(String::as_str).collect();
    for key in ["path", "sif", "size", "known", "recipe", "pin"] {
        assert!(keys.contains(key), "{key}: {converted}");
    }
    assert_eq!(converted["known"], false);
    assert_eq!(home.run(&["--json", "convert", &image]).exits(0).json()["known"], true);
    let list = home.run(&["login", "--list", "--json"]).exits(0);
    assert_eq!(list.json()[0]["username"], crate::support::USER);
    assert!(!list.stdout.contains(crate::support::SECRET), "{list}");
    assert_eq!(home.run(&["--json", "jobs"]).exits(0).json(), json!([]));
    let verified = home.run(&["--json", "audit", "verify"]).exits(0).json();
    assert_eq!(verified["findings"], json!([]));
    let shown = home.run(&["--json", "config", "show"]).exits(0).json();
    assert!(shown.as_array().unwrap().iter().any(|entry| entry["key"] == "jobs_dir"), "{shown}");
    let digest = images().0.manifest_digest.to_string();
    let used = home.run(&["--json", "audit", "image", &digest]).exits(0).json();
    assert_eq!(used["jobs"], json!([]));
}
