//! An engine that does not answer, or does not know a job any more, hides nothing that is known here.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::simulated::{FORGOTTEN, NO_ACCOUNTING, NO_CONTROLLER, Simulated, receipts};
use crate::support::{Answer, Home, Server, until};

fn submit(home: &Home, server: &Server, script: &str) -> String {
    let image = server.name(":v1");
    home.ok(&["submit", "--backend", "slurm", &image, "--", "sh", "-c", script])
}

fn warnings(answer: &Answer) -> usize {
    answer.stderr.lines().filter(|line| line.starts_with("warning:")).count()
}

/// snakemake-executor-plugin-slurm#38: without accounting a job that the controller has forgotten was
/// waited for without end, although its receipt lay there.
#[test]
fn a_forgotten_job_ends_by_its_receipt() {
    let server = Server::with_image();
    let mut home = Home::logged_in(&server);
    let slurm = Simulated::new(&mut home);
    let job = submit(&home, &server, "exit 200");
    receipts(&home, &job);
    slurm.has_forgotten();
    home.run(&["wait", "--timeout", "60", &job]).exits(200);
    // recorded as the end: nobody is asked again
    slurm.command("sacct", "echo asked >&2; exit 1");
    slurm.command("squeue", "echo asked >&2; exit 1");
    let again = home.run(&["status", &job]).exits(0);
    assert!(!again.stderr.contains("asked") && again.stdout.contains("failed"), "{again}");
}

/// The same without a receipt: a limit and a clear word instead of no end.
#[test]
fn a_forgotten_job_without_a_receipt_ends_the_wait_with_a_clear_word() {
    let server = Server::with_image();
    let mut home = Home::logged_in(&server);
    let slurm = Simulated::new(&mut home);
    slurm.command("sbatch", "echo 77");
    let job = submit(&home, &server, "exit 3");
    slurm.has_forgotten();
    let began = Instant::now();
    let waited = home.run(&["wait", "--unknown", "2", &job]);
    waited.fails(10, &[&job, "nobody can say", "no receipt", "storage is disabled", "hint:"]);
    assert!(began.elapsed() >= Duration::from_secs(2));
    let shown = home.run(&["--json", "status", &job]).exits(0).json();
    assert_eq!(shown[0]["state"], "unknown", "{shown}");
    // what is known already needs no patience
    slurm.says("FAILED", "3:0");
    home.run(&["wait", "--unknown", "0", &job]).exits(3);
}

/// Every verb that shows jobs, with an unfinished Slurm job beside one of this machine.
fn every_verb_shows(home: &Home, job: &str, other: &str, image: &str) {
    let verbs: [&[&str]; 9] = [
        &["jobs"],
        &["--json", "jobs"],
        &["status", job],
        &["status", job, other],
        &["logs", job],
        &["audit", "job", job],
        &["audit", "image", image],
        &["ledger", "collect"],
        &["cache", "prune", "--dry-run"],
    ];
    for verb in verbs {
        let answer = home.run(verb).exits(0);
        let one = usize::from(verb[0] != "cache");
        assert!(warnings(&answer) <= 1, "{answer}");
        assert!(warnings(&answer) == one || verb[0] == "cache", "{answer}");
        if one == 1 {
            assert!(answer.stderr.contains("slurm does not answer"), "{answer}");
        }
        let errors = answer.stderr.lines().filter(|line| line.starts_with("error:"));
        assert_eq!(errors.count(), 0, "{answer}");
    }
    // nothing of another engine's jobs is asked of Slurm
    for verb in
        [&["status", other][..], &["logs", other], &["audit", "job", other], &["wait", other]]
    {
        let answer = home.run(verb).exits(0);
        assert_eq!(warnings(&answer), 0, "{answer}");
    }
    let shown = home.run(&["--json", "status", job, other]).exits(0).json();
    assert_eq!((&shown[0]["state"], &shown[1]["state"]), (&"unknown".into(), &"completed".into()));
    assert!(shown[0]["reason"].as_str().unwrap().starts_with("slurm does not answer"), "{shown}");
    let table = home.run(&["jobs"]).exits(0);
    assert!(table.stdout.contains("unknown (slurm does not answer)"), "{table}");
    assert_eq!(home.ok(&["logs", job]), "begun");
    // only what must act on the engine fails
    home.run(&["cancel", job]).fails(10, &["slurm"]);
    home.run(&["submit", "--backend", "slurm", image, "--", "true"]).fails(10, &["slurm"]);
    let plan =
        home.run(&["submit", "--backend", "slurm", "--dry-run", image, "--", "true"]).exits(0);
    assert!(plan.stdout.contains("sbatch") && plan.stderr.contains("could not ask"), "{plan}");
}

#[test]
fn a_silent_controller_hides_nothing() {
    let server = Server::with_image();
    let image = server.name(":v1");
    let mut home = Home::logged_in(&server);
    let slurm = Simulated::new(&mut home);
    let (other, _) = home.job_of(&[], &image, "true");
    slurm.command(
        "sbatch",
        "for w; do case $w in --output=*) echo begun >\"${w#*=}\" ;; esac; done; echo 77",
    );
    let job = submit(&home, &server, "echo begun");
    slurm.says("RUNNING", "0:0");
    home.ok(&["status", &job]);
    slurm.is_silent();
    slurm.command(
        "sbatch",
        "echo 'Unable to contact slurm controller (connect failure)' >&2; exit 1",
    );
    slurm.command("scontrol", NO_CONTROLLER);
    every_verb_shows(&home, &job, &other, &image);
}

/// The same where the machine has no Slurm at all.
#[test]
fn commands_that_are_not_here_hide_nothing() {
    let server = Server::with_image();
    let image = server.name(":v1");
    let mut home = Home::logged_in(&server);
    let path = home.env["PATH"].clone();
    let slurm = Simulated::new(&mut home);
    let (other, _) = home.job_of(&[], &image, "true");
    slurm.command(
        "sbatch",
        "for w; do case $w in --output=*) echo begun >\"${w#*=}\" ;; esac; done; echo 77",
    );
    let job = submit(&home, &server, "echo begun");
    // of this machine's programs only those that are no Slurm
    let some = home.mkdir("some-programs");
    for name in ["sh", "cat", "id", "env"] {
        let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|at| at.is_file());
        std::os::unix::fs::symlink(found.unwrap(), some.join(name)).unwrap();
    }
    home.env.insert("PATH".into(), some.display().to_string());
    every_verb_shows(&home, &job, &other, &image);
    let said = home.run(&["status", &job]).exits(0);
    assert!(said.stderr.contains("\"squeue\" is not on this machine"), "{said}");
}

/// The controller is away for a moment: `wait` says so once, goes on asking, and takes the job's code.
#[test]
fn wait_outlives_a_controller_that_is_away() {
    let server = Server::with_image();
    let mut home = Home::logged_in(&server);
    let slurm = Simulated::new(&mut home);
    slurm.command("sbatch", "echo 77");
    let job = submit(&home, &server, "exit 5");
    slurm.is_silent();
    let child = home.command(&["wait", &job]).stdin(Stdio::null()).spawn().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // three questions at least
            std::thread::sleep(Duration::from_secs(4));
            slurm.says("FAILED", "5:0");
        });
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert_eq!(said.matches("does not answer").count(), 1, "{said}");
    });
    // a receipt ends it although nobody answers
    let mut home = Home::logged_in(&server);
    let slurm = Simulated::new(&mut home);
    let job = submit(&home, &server, "exit 200");
    slurm.is_silent();
    home.run(&["wait", &job]).exits(200);
    // and it is asked again later: the receipt may be of an earlier start
    slurm.says("RUNNING", "0:0");
    assert_eq!(home.run(&["--json", "status", &job]).json()[0]["state"], "running");
}

#[test]
fn wait_has_a_limit_for_silence_too() {
    let server = Server::with_image();
    let mut home = Home::logged_in(&server);
    let slurm = Simulated::new(&mut home);
    slurm.command("sbatch", "echo 77");
    let job = submit(&home, &server, "exit 5");
    slurm.is_silent();
    let words = [&job[..], "has not answered", "connect failure", "hint:", "--silent"];
    home.run(&["wait", "--silent", "1", &job]).fails(10, &words);
}

/// The accounting answers and the controller does not: its word is shown, and that it may be old.
#[test]
fn an_old_word_is_shown_with_a_warning() {
    let server = Server::with_image();
    let mut home = Home::logged_in(&server);
    let slurm = Simulated::new(&mut home);
    slurm.command("sbatch", "echo 77");
    let job = submit(&home, &server, "exit 5");
    slurm.says("RUNNING", "0:0");
    slurm.command("squeue", NO_CONTROLLER);
    let shown = home.run(&["status", &job]).exits(0);
    assert!(shown.stdout.contains("running") && warnings(&shown) == 1, "{shown}");
    // the other way round, both are no news of the job
    slurm.command("sacct", NO_ACCOUNTING);
    slurm.command("squeue", FORGOTTEN);
    let shown = home.run(&["status", &job]).exits(0);
    assert!(shown.stdout.contains("unknown") && warnings(&shown) == 0, "{shown}");
}

/// One local record that cannot be read hides no other job.
#[test]
fn a_broken_record_hides_no_other_job() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    let good = home.ok(&[
        "submit",
        &image,
        "--",
        "sh",
        "-c",
        "while [ ! -e /work_dir/go ]; do sleep 0.1; done",
    ]);
    let bad = home.ok(&[
        "submit",
        &image,
        "--",
        "sh",
        "-c",
        "while [ ! -e /work_dir/go ]; do sleep 0.1; done",
    ]);
    let record = home.job(&bad).join("control/local.json");
    let text = until("the running job", 60, || {
        fs::read_to_string(&record).ok().filter(|text| text.contains("\"running\""))
    });
    fs::write(&record, "not JSON").unwrap();
    let shown = home.run(&["--json", "jobs"]).exits(0);
    let rows = shown.json();
    let state = |job: &str| {
        let rows = rows.as_array().unwrap();
        rows.iter().find(|row| row["job"] == job).unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!((state(&good).as_str(), state(&bad).as_str()), ("running", "unknown"), "{shown}");
    fs::write(&record, text).unwrap();
    for job in [&good, &bad] {
        fs::write(home.job(job).join("work/go"), "").unwrap();
        home.run(&["wait", "--timeout", "60", job]).exits(0);
    }
}
