//! A ledger that a newer program wrote (made up: `tests/jobs/ledger/records-3.jsonl`), as people see it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Home, Server, config};

#[test]
fn jobs_of_a_newer_program_are_listed_and_it_is_said_once() {
    let home = Home::new(&Server::start(config())).with("PATH", "/nowhere");
    let ledger = home.path("ledger");
    fs::create_dir_all(&ledger).unwrap();
    fs::set_permissions(&ledger, fs::Permissions::from_mode(0o700)).unwrap();
    let file = ledger.join("cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd-000001.jsonl");
    fs::write(file, include_str!("../jobs/ledger/records-3.jsonl")).unwrap();
    let run = |words: &[&str]| home.run(words);
    let said = "8 records need a newer moorline";

    let listed = run(&["jobs"]).exits(0);
    assert_eq!(listed.stderr.matches(said).count(), 1, "{listed}");
    for n in 1..=4 {
        assert!(listed.stdout.contains(&format!("01hf7yat00000000000000000{n}")), "{listed}");
    }
    assert!(listed.stdout.contains("suspended"), "{listed}");

    let audited = run(&["audit", "job", "01hf7yat000000000000000002"]).exits(0);
    assert!(audited.stdout.contains("verdict: Unproven - a newer moorline"), "{audited}");
    assert!(audited.stdout.contains("enroot"), "{audited}");
    assert_eq!(audited.stderr.matches(said).count(), 1, "{audited}");

    let verified = run(&["audit", "verify"]).exits(0);
    assert!(verified.stdout.contains("consistent: 10 records in 1 file"), "{verified}");
    assert!(verified.stdout.contains("missing: 4 of 4 payloads"), "{verified}");
    assert!(verified.stdout.contains("added a writer's file"), "{verified}");
}
