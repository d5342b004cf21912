//! Promises of Ganga's guide that no other test shows by itself, by the number that `docs/coming-from/ganga.md` gives them.

use crate::line::state;
use crate::support::{Home, Server, until};

/// Rows 1 and 2: the same words as there, and no program beside this one converts or runs the image.
#[test]
fn row_1_and_2_one_spelling_and_no_other_program() {
    let server = Server::with_image();
    let home = Home::logged_in(&server).with("PATH", "/nowhere");
    let pinned = home.ok(&["resolve", &server.name(":v1")]);
    let spelled = format!("docker://{}", server.name(":v1"));
    assert_eq!(home.ok(&["resolve", &spelled]), pinned);
    // pinned before anything runs
    let (job, code) = home.job_of(&[], &spelled, "cat /etc/moorline-demo; exit 3");
    assert_eq!((code, home.ok(&["logs", &job]).contains("v1")), (3, true));
    let rows = home.run(&["--json", "jobs"]).exits(0).json();
    assert_eq!(rows[0]["image"], pinned.as_str(), "{rows}");
}

/// Row 17: the words of a job's life, peeking at its output while it runs, and the kill.
#[test]
fn row_17_the_words_of_a_jobs_life() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    let script = "echo so far; while :; do sleep 1; done";
    let job = home.ok(&["submit", "--name", "fit", &image, "--", "sh", "-c", script]);
    until("the job to run", 60, || (state(&home, &job) == "running").then_some(()));
    until("its output", 60, || (home.ok(&["logs", &job]) == "so far").then_some(()));
    home.run(&["cancel", &job]).exits(0);
    until("its end", 60, || (state(&home, &job) == "killed").then_some(()));
    let (done, _) = home.job_of(&[], &image, "exit 0");
    assert_eq!(state(&home, &done), "completed");
    let (failed, _) = home.job_of(&[], &image, "exit 1");
    assert_eq!(state(&home, &failed), "failed");
    assert!(home.ok(&["jobs"]).contains("fit"));
}
