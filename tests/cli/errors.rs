//! Every error says what failed, on what, why, and what to try; and what it proposes helps in that state.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use moorline::failure::Kind;

use crate::support::{Home, NOBODY, Server, am_root};

/// The blocks of the goldens: a command and what it said.
fn goldens() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/bad_input");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts: Vec<String> = files.map(|file| fs::read_to_string(file).unwrap()).collect();
    let blocks = texts.iter().flat_map(|text| text.split("\n# ")).map(str::to_owned);
    blocks.filter(|block| block.contains("error: ")).collect()
}

#[test]
fn each_known_error_has_its_four_parts() {
    let goldens = goldens();
    assert!(goldens.len() > 60, "{}", goldens.len());
    for block in goldens {
        let error = block.lines().find_map(|line| line.strip_prefix("error: ")).unwrap();
        // what, on what and why take some words
        assert!(error.split_whitespace().count() >= 3, "{block}");
        // clap's own errors lead to the help, which begins with examples
        let tries = block.lines().any(|line| {
            line.strip_prefix("hint: ").is_some_and(|hint| hint.split_whitespace().count() >= 3)
                || line.starts_with("For more information, try '--help'")
        });
        assert!(tries, "nothing to try: {block}");
    }
}

#[test]
fn each_kind_knows_what_to_try() {
    for kind in Kind::ALL {
        assert!(kind.hint().len() > 10 && !kind.name().is_empty(), "{kind:?}");
    }
}

#[test]
fn a_credential_file_that_others_can_read_is_closed_by_its_hint() {
    let server = Server::with_image();
    let home = Home::new(&server);
    // without an extension, as people name it
    let file = home
        .write("here/token", &format!("{}\n{}\n", crate::support::USER, crate::support::SECRET));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let image = server.name(":v1");
    let args = ["resolve", "--credential-file", "token", &image];
    let words = ["mode 0644", "hint: make a new token", "chmod 600"];
    let refused = home.run(&args).says(12, &words);
    let hint = refused.stderr.lines().find_map(|line| line.split_once("then: ")).unwrap().1;
    // the hint is what it says: a command that helps
    let done =
        std::process::Command::new("sh").args(["-c", hint]).current_dir(home.path("here")).status();
    assert!(done.unwrap().success(), "{hint}");
    home.run(&args).exits(0);
}

#[test]
fn a_damaged_store_is_mended_by_its_hint() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let sif = home.ok(&["convert", &server.name(":v1")]);
    let mut bytes = fs::read(&sif).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(&sif, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&sif, bytes).unwrap();
    let found = home.run(&["cache", "verify"]).exits(6);
    assert!(found.stdout.contains("moved to the trash"), "{found}");
    home.run(&["cache", "verify"]).exits(0);
    home.run(&["run", &server.name(":v1"), "sh", "-c", "true"]).exits(0);
}

#[test]
fn an_input_that_cannot_be_read_leads_to_the_file() {
    let server = Server::with_image();
    // root reads everything
    let home = Home::of(&server, am_root().then_some(NOBODY)).log_in(&server);
    let file = home.write("here/secret", "x");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let args = ["submit", "--input", "secret", &server.name(":v1"), "true"];
    let words = ["cannot read secret", "Permission denied", "hint:", "a copy that you can read"];
    let refused = home.run(&args).fails(2, &words);
    assert!(!refused.stderr.contains("jobs_dir"), "{refused}");
    // and a program
    let args = ["submit", "--exe", "secret", &server.name(":v1")];
    home.run(&args).fails(2, &["cannot read secret", "a copy that you can read"]);
}
