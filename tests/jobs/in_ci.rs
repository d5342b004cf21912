//! What a CI job needs: the id before anybody else has it, and verdicts as a test report.

use std::fs;

use crate::support::{Home, Server};

/// Who ends a CI job must know the job also when `submit` had no time to print it.
#[test]
fn the_id_is_in_a_file_before_the_job_is_handed_over() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    let file = home.path("job-id");
    let file = file.to_str().unwrap();
    for verb in ["submit", "run"] {
        let told = home.run(&[verb, "--id-file", file, &image, "true"]).exits(0);
        let id = fs::read_to_string(file).unwrap();
        assert!(told.stdout == id || verb == "run", "{told}");
        let id = id.trim();
        home.run(&["wait", id]).exits(0);
        // twice, and of a job that has ended: a pipeline that is cancelled does both
        home.run(&["cancel", id, id]).exits(0);
        fs::remove_file(file).unwrap();
    }
    home.run(&["submit", "--dry-run", "--id-file", file, &image, "true"]).exits(0);
    assert!(fs::metadata(file).is_err(), "a dry run has no job");

    // no job that nobody could end: nothing is handed over
    let jobs = || home.run(&["--json", "jobs"]).exits(0).json().as_array().unwrap().len();
    let before = jobs();
    let refused = home.run(&["submit", "--id-file", "/nowhere/job-id", &image, "true"]).exits(12);
    assert!(refused.stderr.contains("--id-file: cannot write /nowhere/job-id"), "{refused}");
    assert_eq!(jobs(), before);
}

#[test]
fn verdicts_are_a_test_report() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    let job = home.ok(&["submit", "--wait", "--name", "fit <1>", &image, "true"]);
    let file = home.path("junit.xml");
    home.run(&["audit", "export", "--format", "junit", "-o", file.to_str().unwrap(), &job])
        .exits(0);
    let written = fs::read_to_string(&file).unwrap();
    let shown = home.run(&["audit", "export", "--format", "junit", "last"]).exits(0);
    assert_eq!(shown.stdout, written);
    assert!(
        written.contains("name=\"fit &lt;1&gt;: ran the image that was asked for\""),
        "{written}"
    );
    assert!(written.contains("tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"0\""), "{written}");
    home.run(&["audit", "export", "--format", "junit", "absent"]).exits(3);
    home.run(&["audit", "export", "--format", "xml", "last"]).exits(2);
}
