//! A ledger that a newer program wrote (made up: `tests/jobs/ledger/records-3.jsonl`), as people see it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Home, Server, config};

/// The program with that ledger, and nothing else on the machine.
fn home() -> Home {
    let home = Home::new(&Server::start(config())).with("PATH", "/nowhere");
    let ledger = home.path("ledger");
    fs::create_dir_all(&ledger).unwrap();
    fs::set_permissions(&ledger, fs::Permissions::from_mode(0o700)).unwrap();
    let file = ledger.join("cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd-000001.jsonl");
    fs::write(file, include_str!("../jobs/ledger/records-3.jsonl")).unwrap();
    home
}

#[test]
fn jobs_of_a_newer_program_are_listed_and_it_is_said_once() {
    let home = home();
    let run = |words: &[&str]| home.run(words);
    let said = "8 records need a newer moorline";

    let listed = run(&["jobs"]).exits(0);
    assert_eq!(listed.stderr.matches(said).count(), 1, "{listed}");
    for n in 1..=4 {
        assert!(listed.stdout.contains(&format!("01hf7yat00000000000000000{n}")), "{listed}");
    }
    assert!(listed.stdout.contains("suspended"), "{listed}");
    // a state that is shown can be asked for; one that no job is in is rather a slip
    let suspended = run(&["--json=job", "jobs", "--state", "suspended"]).exits(0).json();
    assert_eq!(suspended, serde_json::json!([{ "job": "01hf7yat000000000000000004" }]));
    run(&["jobs", "--state", "suspendet"]).fails(2, &["known states:", "running"]);

    let audited = run(&["audit", "job", "01hf7yat000000000000000002"]).exits(0);
    assert!(audited.stdout.contains("verdict: Unproven - a newer moorline"), "{audited}");
    assert!(audited.stdout.contains("enroot"), "{audited}");
    assert_eq!(audited.stderr.matches(said).count(), 1, "{audited}");

    let verified = run(&["audit", "verify"]).exits(0);
    assert!(verified.stdout.contains("consistent: 12 records in 1 file"), "{verified}");
    assert_eq!(verified.stderr.matches(said).count(), 1, "{verified}");
    assert!(!verified.stderr.contains("note:"), "{verified}");
    let as_json = run(&["--json", "audit", "verify"]).exits(0).json();
    assert_eq!(as_json["newer_records"].as_array().unwrap().len(), 8, "{as_json}");
    assert!(verified.stdout.contains("missing: 5 of 5 payloads"), "{verified}");
    assert!(verified.stdout.contains("added a writer's file"), "{verified}");
}

/// A job that a newer program gave to an engine that this one does not know.
#[test]
fn nobody_can_be_asked_for_a_job_of_an_unknown_engine() {
    let home = home();
    let job = "01hf7yat000000000000000001";
    let said = "this moorline knows no backend of-tomorrow";
    let listed = home.run(&["--json", "jobs"]).exits(0);
    assert_eq!(listed.stderr.matches(said).count(), 1, "{listed}");
    let rows = listed.json();
    let row = rows.as_array().unwrap().iter().find(|row| row["job"] == job).unwrap();
    assert_eq!(row["state"], "unknown", "{row}");
    assert!(row["reason"].as_str().unwrap().contains("at last it was suspended"), "{row}");
    // what ledger and receipts do not say is waited for in vain, and the wait ends
    let waited = home.run(&["wait", "--unknown", "1", "--silent", "1", job]);
    waited.fails(10, &[job, said, "hint:"]);
    let cancelled = home.run(&["cancel", job]);
    cancelled.fails(10, &[said, "hint:", "newer moorline"]);
    let recovered = home.run(&["recover"]);
    assert!(recovered.stderr.contains(said), "{recovered}");
    assert!(recovered.stderr.contains(&format!("{job}: unknown")), "{recovered}");
    assert!(!recovered.stderr.contains("runs"), "{recovered}");
}
