//! The whole line with podman (part `podman`): the image of a registry becomes an archive in the store, never a SIF.

use std::fs;

use crate::support::{Home, PROJECT, Server, am_root, have, images};

/// crun starts nothing on a machine with both versions of cgroups.
const RUNC: &str = "--option=--runtime=runc";

#[test]
fn from_login_to_audit() {
    let there = am_root() && ["podman", "runc"].into_iter().all(in_path);
    if !have("podman", "podman::from_login_to_audit", there) {
        return;
    }
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    let manifest = images().0.manifest_digest;
    let script = "pwd; cat; echo made >output; exit 41";
    let ran = home.run(&["run", "--runtime", "podman", RUNC, &image, "--", "sh", "-c", script]);
    let ran = ran.exits(41);
    assert_eq!(ran.stdout, "/work_dir\n");
    assert_eq!(fs::read_to_string(home.path("here/output")).unwrap(), "made\n");

    // nothing was converted, and the archive is one that we read ourselves
    let archives: Vec<_> = fs::read_dir(home.path("cache").join("archives"))
        .map(|dir| dir.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    let [archive] = archives.as_slice() else { panic!("{archives:?}") };
    let named = format!("oci-archive:{}", archive.display());
    let converted = home.run(&["--json", "convert", &named]).exits(0).json();
    assert_eq!(converted["manifest"], manifest.to_string(), "{converted}");

    let submit =
        ["submit", "--runtime", "podman", RUNC, &image, "--", "sh", "-c", "echo out; exit 5"];
    let before = server.running.seen().len();
    let job = home.ok(&submit);
    home.run(&["wait", "--timeout", "120", &job]).exits(5);
    assert_eq!(home.ok(&["logs", &job]), "out");
    let asked = server.running.seen().split_off(before);
    assert!(!asked.iter().any(|seen| seen.target.contains("/blobs/")), "{asked:?}");

    // the tag moves, the job does not
    server.push(PROJECT, &images().1, &["v1"]);
    let again = home.ok(&["rerun", &job]);
    home.run(&["wait", "--timeout", "120", &again]).exits(5);
    for job in [&job, &again] {
        let answer = home.run(&["--json", "audit", "job", job]).exits(0).json();
        assert_eq!(answer["verdict"], "match", "{answer}");
        let submission = &answer["submissions"][0];
        assert_eq!(submission["image"]["manifest"], manifest.to_string(), "{answer}");
        assert_eq!(submission["attempts"][0]["grade"], "runtime-reported", "{answer}");
    }

    // what podman cannot run is refused at once
    let sif = home.ok(&["convert", &image]);
    let refused = home.run(&["run", "--runtime", "podman", &sif, "--", "true"]).exits(2);
    assert!(refused.stderr.contains("in none"), "{refused}");
    let flags = ["run", "--runtime", "podman", "--require", "measured", RUNC, &image, "--", "true"];
    let refused = home.run(&flags).exits(211);
    assert!(refused.stderr.contains("runtime-reported"), "{refused}");
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    moorline::files::in_path(&path, program).is_some()
}
