//! What `submit` copied is kept with its hash: `rerun` runs that, or says what is lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::{Home, Server};

fn executable(home: &Home, name: &str, text: &str) {
    let path = home.write(name, text);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn replace(path: &Path, text: &str) {
    fs::remove_file(path).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_repetition_runs_the_same_bytes_or_nothing() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    executable(&home, "here/exe", "#!/bin/sh\necho one\n");
    let job = home.ok(&["submit", &image, "--", "./exe"]);
    home.run(&["wait", "--timeout", "60", &job]).exits(0);
    let plan = fs::read_to_string(home.job(&job).join("control/plan.json")).unwrap();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let digest = plan["job"]["inputs"][0]["sha256"].as_str().unwrap().to_owned();
    assert_eq!((&plan["job"]["inputs"][0]["name"], digest.len()), (&"exe".into(), 71), "{plan}");

    // the submitter's own file, and the copy that the program could write, are changed
    executable(&home, "here/exe", "#!/bin/sh\necho two\n");
    let (work, kept) = (home.job(&job).join("work/exe"), home.job(&job).join("control/inputs/exe"));
    replace(&work, "#!/bin/sh\necho three\n");
    let again = home.ok(&["rerun", "--wait", &job]);
    assert_eq!(home.ok(&["logs", &again]), "one");
    // a repetition can be repeated
    let third = home.ok(&["rerun", "--wait", "last"]);
    assert_eq!((home.ok(&["logs", &third]).as_str(), third == again), ("one", false));

    // the kept copy is lost, the other one is changed: named, and nothing is submitted
    let count = || home.run(&["--json", "jobs"]).json().as_array().unwrap().len();
    let before = count();
    fs::remove_file(&kept).unwrap();
    home.run(&["rerun", &job]).fails(6, &["./exe", "was changed", &digest, "hint:"]);
    fs::remove_file(&work).unwrap();
    home.run(&["rerun", &job]).fails(3, &["./exe", "is lost", &job, "hint:"]);
    fs::remove_dir_all(home.job(&job)).unwrap();
    home.run(&["rerun", &job]).fails(3, &["./exe", "is lost", "hint:"]);
    assert_eq!(count(), before);
}

#[test]
fn a_working_directory_of_the_user_is_looked_at_too() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    executable(&home, "here/exe", "#!/bin/sh\necho one\n");
    home.run(&["run", &image, "--", "./exe"]).exits(0);
    let again = home.ok(&["rerun", "--wait", "last"]);
    assert_eq!(home.ok(&["logs", &again]), "one");
    executable(&home, "here/exe", "#!/bin/sh\necho two\n");
    home.run(&["rerun", &again]).fails(6, &["./exe", "was changed"]);
    fs::remove_file(home.path("here/exe")).unwrap();
    home.run(&["rerun", &again]).fails(3, &["./exe", "is lost"]);
    let dir = home.mkdir("elsewhere").display().to_string();
    let job = home.ok(&["submit", "--wait", "--workdir", &dir, &image, "--", "true"]);
    fs::remove_dir(&dir).unwrap();
    home.run(&["rerun", &job]).fails(3, &["working directory", "is lost", &dir]);
}

/// CRLF line ends, a byte order mark, no `#!`, no x: each is said before the job is handed over.
#[test]
fn scripts_that_cannot_start_get_a_hint() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    home.ok(&["convert", &image]);
    for (text, words) in [
        ("#!/bin/sh\r\necho\r\n", "Windows line ends"),
        ("\u{feff}#!/bin/sh\n", "byte order mark"),
        ("echo hello\n", "#!/bin/sh"),
    ] {
        executable(&home, "here/script", text);
        for verb in [&["run"][..], &["submit", "--dry-run"]] {
            let answer = home.run(&[verb, &[&image, "--", "./script"]].concat());
            assert!(answer.stderr.contains("warning: script"), "{answer}");
            assert!(answer.stderr.contains(words), "{answer}");
        }
    }
    executable(&home, "here/script", "#!/bin/sh\necho fine\n");
    let answer = home.run(&["run", &image, "--", "./script"]).exits(0);
    assert!(!answer.stderr.contains("warning"), "{answer}");
    fs::set_permissions(home.path("here/script"), fs::Permissions::from_mode(0o644)).unwrap();
    let answer = home.run(&["run", &image, "--", "./script"]);
    assert!(answer.stderr.contains("chmod +x script"), "{answer}");
}
