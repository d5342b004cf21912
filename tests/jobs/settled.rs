//! The receipt of this submission settles state and exit code; the engine's word stands beside it.

use std::fs;

use serde_json::Value;

use crate::simulated::{Simulated, receipts};
use crate::support::{Home, Server};

fn row(home: &Home, job: &str) -> Value {
    home.run(&["--json", "status", job]).exits(0).json()[0].clone()
}

/// Slurm's accounting keeps exit codes below 128 only: 200 becomes 72 and 137 becomes 9. Seen with
/// Slurm 22.05 and 26.05.
#[test]
fn an_exit_code_that_the_accounting_lost() {
    let server = Server::with_image();
    let image = server.name(":v1");
    for (code, lost) in [(200, "72:0"), (137, "9:0"), (255, "127:0"), (128, "0:0"), (7, "7:0")] {
        let mut home = Home::logged_in(&server);
        let slurm = Simulated::new(&mut home);
        let script = format!("exit {code}");
        let args = ["submit", "--backend", "slurm", &image, "--", "sh", "-c", &script];
        let job = home.ok(&args);
        receipts(&home, &job);
        slurm.says("FAILED", lost);
        // whichever verb comes first
        let verbs: [&[&str]; 5] = [
            &["wait", "--timeout", "60", &job],
            &["jobs"],
            &["logs", &job],
            &["audit", "job", &job],
            &["ledger", "collect"],
        ];
        let first = usize::try_from(code).unwrap() % verbs.len();
        home.run(verbs[first]);
        let waited = home.run(&["wait", "--timeout", "60", &job]).exits(code);
        assert!(waited.stderr.contains(&format!("exit code {code}")), "{waited}");
        let shown = row(&home, &job);
        assert_eq!((&shown["state"], &shown["exit_code"]), (&"failed".into(), &code.into()));
        assert_eq!(
            (&shown["settled_by"], &shown["engine_state"]),
            (&"receipt".into(), &"FAILED".into())
        );
        let word: i32 = lost.split(':').next().unwrap().parse().unwrap();
        // "0:0" of a job that did not complete is no code
        let word = if word == 0 { Value::Null } else { word.into() };
        assert_eq!(shown["engine_exit_code"], word, "{shown}");
        let answer = home.run(&["--json", "audit", "job", &job]).exits(0).json();
        assert_eq!((&answer["exit_code"], &answer["engine_exit_code"]), (&code.into(), &word));
        assert_eq!((&answer["state"], &answer["verdict"]), (&"failed".into(), &"match".into()));
        if code != 7 && word != Value::Null {
            let said = home.run(&["status", &job]).exits(0);
            assert!(
                said.stderr.contains(&format!("slurm says FAILED, exit code {word}")),
                "{said}"
            );
        }
        assert_eq!(home.run(&["--json", "jobs"]).json()[0]["exit_code"], code);
    }
}

/// The worker's own codes (210 to 218) are above 127: all of them were lost.
#[test]
fn a_refusal_of_the_worker_reaches_the_user() {
    let server = Server::with_image();
    let mut home = Home::logged_in(&server);
    let slurm = Simulated::new(&mut home);
    let gone = format!("{}:/d:required", home.path("gone").display());
    let args =
        ["submit", "--backend", "slurm", "--mount", &gone, &server.name(":v1"), "--", "true"];
    let job = home.ok(&args);
    receipts(&home, &job);
    slurm.says("FAILED", "84:0");
    let waited = home.run(&["wait", "--timeout", "60", &job]).exits(212);
    assert!(waited.stderr.contains("a required mount was missing"), "{waited}");
}

/// Only a receipt of this very submission counts.
#[test]
fn another_submissions_receipt_settles_nothing() {
    let server = Server::with_image();
    let mut home = Home::logged_in(&server);
    let slurm = Simulated::new(&mut home);
    let args = ["submit", "--backend", "slurm", &server.name(":v1"), "--", "sh", "-c", "exit 200"];
    let job = home.ok(&args);
    let receipts = receipts(&home, &job);
    let mut forged: Value =
        serde_json::from_str(&fs::read_to_string(&receipts[0]).unwrap()).unwrap();
    for path in &receipts {
        fs::remove_file(path).unwrap();
    }
    forged["nonce"] = "00000000000000000000000000000000".into();
    let control = home.job(&job).join("control");
    fs::write(control.join("receipt-forged.json"), forged.to_string()).unwrap();
    slurm.says("FAILED", "72:0");
    home.run(&["wait", "--timeout", "60", &job]).exits(72);
    assert_eq!(row(&home, &job)["settled_by"], "engine");
}

/// The engine answers that the job runs: it was begun anew, and its earlier start's receipt is not its end.
#[test]
fn an_engine_that_runs_the_job_again_is_believed() {
    let server = Server::with_image();
    let mut home = Home::logged_in(&server);
    let slurm = Simulated::new(&mut home);
    let args = ["submit", "--backend", "slurm", &server.name(":v1"), "--", "sh", "-c", "exit 3"];
    let job = home.ok(&args);
    receipts(&home, &job);
    slurm.says("RUNNING", "0:0");
    assert_eq!(row(&home, &job)["state"], "running");
    home.run(&["wait", "--timeout", "1", &job]).fails(10, &["have not ended"]);
    // seen in the queue again: now its silence leaves the question open, whatever lies there
    slurm.says("PENDING", "0:0");
    assert_eq!(row(&home, &job)["state"], "submitted");
    slurm.is_silent();
    assert_eq!(row(&home, &job)["state"], "unknown");
    let answer = home.run(&["--json", "audit", "job", &job]).exits(0).json();
    assert_eq!(answer["state"], "unknown", "{answer}");
    slurm.has_forgotten();
    home.run(&["wait", "--unknown", "0", &job]).fails(10, &["nobody can say"]);
    // the second start died with its node and left no receipt of its own
    slurm.says("NODE_FAIL", "0:0");
    home.run(&["wait", "--timeout", "60", &job]).exits(10);
    assert_eq!(row(&home, &job)["settled_by"], "engine");
}

/// What an engine knows better than the worker: who ended it.
#[test]
fn a_cancelled_job_and_a_limit_stay_what_they_are() {
    let server = Server::with_image();
    for (word, state, code) in [("CANCELLED by 0", "killed", 143), ("TIMEOUT", "failed", 218)] {
        let mut home = Home::logged_in(&server);
        let slurm = Simulated::new(&mut home);
        let args =
            ["submit", "--backend", "slurm", &server.name(":v1"), "--", "sh", "-c", "exit 143"];
        let job = home.ok(&args);
        receipts(&home, &job);
        slurm.says(word, "0:15");
        home.run(&["wait", "--timeout", "60", &job]).exits(code);
        assert_eq!(row(&home, &job)["state"], state);
    }
}
