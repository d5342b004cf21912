//! The whole program with a real Slurm (`tests/env/slurm.sh`), as an ordinary user: codes that the
//! accounting loses, a cluster without accounting, a controller that stands still for a while.

mod held;

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Home, Server, am_root, until};

/// `export NAME='value'` lines of `DIR/env`; `None` when there is no Slurm to test with.
fn slurm(test: &str) -> Option<HashMap<String, String>> {
    let Some(file) = std::env::var_os("MOORLINE_TEST_SLURM") else {
        let required = std::env::var("MOORLINE_TESTS_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|p| p == "slurm"), "{test}: slurm is required here");
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {test}: MOORLINE_TEST_SLURM is not set (tests/env/slurm.sh starts one)"
        );
        return None;
    };
    let text = fs::read_to_string(&file).expect("the file that MOORLINE_TEST_SLURM names");
    let pair = |line: &str| {
        let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('\'').to_owned()))
    };
    Some(text.lines().filter_map(pair).collect())
}

/// One test at a time: a controller that one of them stops is no controller for the others.
static CONTROLLER: Mutex<()> = Mutex::new(());

pub fn alone() -> MutexGuard<'static, ()> {
    CONTROLLER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A home of the ordinary user whom the cluster knows.
fn home(server: &Server, env: &HashMap<String, String>) -> Home {
    let user = am_root().then(|| {
        let name = &env["MOORLINE_TEST_SLURM_USER"];
        let id = Command::new("id").args(["-u", name]).output().unwrap().stdout;
        String::from_utf8(id).unwrap().trim().parse().unwrap()
    });
    let home = Home::of(server, user).log_in(server);
    home.with("SLURM_CONF", &env["SLURM_CONF"])
}

fn submit(home: &Home, server: &Server, script: &str) -> String {
    let image = server.name(":v1");
    home.ok(&["submit", "--backend", "slurm", &image, "--", "sh", "-c", script])
}

#[test]
fn codes_above_127_and_a_pending_job_that_is_cancelled() {
    let test = "codes_above_127_and_a_pending_job_that_is_cancelled";
    let Some(env) = slurm(test) else { return };
    let _alone = alone();
    let server = Server::with_image();
    let home = home(&server, &env);
    home.ok(&["convert", &server.name(":v1")]);
    let codes = [200, 137, 210, 7];
    let jobs = codes.map(|code| submit(&home, &server, &format!("exit {code}")));
    for (job, code) in jobs.iter().zip(codes) {
        home.run(&["wait", "--timeout", "120", job]).exits(code);
        // the accounting follows some seconds later, with what is left of the code
        until("the engine's word", 60, || {
            let row = home.run(&["--json", "status", job]).exits(0).json()[0].clone();
            assert_eq!(row["exit_code"], code, "{row}");
            (row["engine_state"] == "FAILED").then_some(())
        });
    }
    // all of the node's cores, as often as it shares them, and one more: it waits
    let image = server.name(":v1");
    let four = |script: &str| {
        home.ok(&["submit", "--backend", "slurm", "--cpus", "4", &image, "--", "sh", "-c", script])
    };
    let all: Vec<String> = (0..4).map(|_| four("sleep 600")).collect();
    let waits = four("true");
    until("why it waits", 60, || {
        let row = home.run(&["--json", "status", &waits]).exits(0).json()[0].clone();
        ["Resources", "Priority"].map(Some).contains(&row["reason"].as_str()).then_some(())
    });
    home.run(&["cancel", &waits]).exits(0);
    let waited = home.run(&["wait", "--timeout", "120", &waits]);
    let all: Vec<&str> =
        [&["cancel"][..], &all.iter().map(String::as_str).collect::<Vec<_>>()].concat();
    home.run(&all).exits(0);
    assert_ne!(waited.code, 0, "{waited}");
    for reason in ["Resources", "Priority"] {
        assert!(!waited.stderr.contains(&format!("killed: {reason}")), "{waited}");
    }
    assert!(waited.stderr.contains("killed"), "{waited}");
}

#[test]
fn a_cluster_without_accounting_keeps_the_code() {
    let test = "a_cluster_without_accounting_keeps_the_code";
    let Some(env) = slurm(test) else { return };
    let _alone = alone();
    let server = Server::with_image();
    let home = home(&server, &env);
    // the same cluster for clients that know of no accounting
    let conf = fs::read_to_string(&env["SLURM_CONF"]).unwrap();
    let plain = |line: &&str| !line.starts_with("AccountingStor");
    let conf: Vec<&str> = conf.lines().filter(plain).collect();
    let file = home.write(
        "slurm.conf",
        &(conf.join("\n") + "\nAccountingStorageType=accounting_storage/none\n"),
    );
    let home = home.with("SLURM_CONF", file.to_str().unwrap());
    let job = submit(&home, &server, "exit 200");
    home.run(&["wait", "--timeout", "120", &job]).exits(200);
}

/// The pid of a daemon that `slurm.sh` started.
fn daemon(env: &HashMap<String, String>, name: &str) -> Pid {
    let pids = Path::new(&env["SLURM_CONF"]).with_file_name("pids");
    let text = fs::read_to_string(pids).unwrap();
    let line = text.lines().find(|line| line.ends_with(&format!(" {name}"))).unwrap();
    Pid::from_raw(line.split_whitespace().next().unwrap().parse().unwrap()).unwrap()
}

/// Goes on when it is dropped, also by a failing test: other tests need the controller.
struct Stopped(Pid);

impl Stopped {
    fn new(pid: Pid) -> Self {
        kill_process(pid, Signal::STOP).unwrap();
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

#[test]
fn a_controller_that_stands_still_ends_no_wait_and_hides_no_job() {
    let test = "a_controller_that_stands_still_ends_no_wait_and_hides_no_job";
    let Some(env) = slurm(test) else { return };
    let _alone = alone();
    if !crate::support::have("root", test, am_root()) {
        return;
    }
    let server = Server::with_image();
    let home = home(&server, &env);
    let image = server.name(":v1");
    let (other, _) = home.job_of(&[], &image, "echo here");
    let script = "echo begun; while [ ! -e /work_dir/go ]; do sleep 0.1; done; exit 200";
    let job = submit(&home, &server, script);
    until("the running job", 60, || {
        let begun = fs::read_to_string(home.job(&job).join("stdout")).unwrap_or_default();
        (begun == "begun\n").then_some(())
    });
    home.ok(&["status", &job]);
    let waiting = home.command(&["wait", &job]).stdin(Stdio::null()).spawn().unwrap();
    let stopped = Stopped::new(daemon(&env, "slurmctld"));
    for verb in [&["status", &job, &other][..], &["jobs"], &["logs", &job], &["audit", "job", &job]]
    {
        let began = Instant::now();
        let shown = home.run(verb).exits(0);
        assert!(shown.stderr.contains("slurm does not answer"), "{shown}");
        assert_eq!(shown.stderr.matches("warning:").count(), 1, "{shown}");
        assert!(began.elapsed() < Duration::from_secs(70), "{:?}", began.elapsed());
    }
    home.run(&["status", &other]).exits(0);
    // the job ends meanwhile: its receipt ends the wait, whoever answers
    fs::write(home.job(&job).join("work/go"), "").unwrap();
    let output = waiting.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(200), "{said}");
    assert_eq!(said.matches("does not answer").count(), 1, "{said}");
    drop(stopped);
    until("the engine's word", 120, || {
        let row = home.run(&["--json", "status", &job]).exits(0).json()[0].clone();
        assert_eq!(row["exit_code"], 200, "{row}");
        (row["engine_state"] == "FAILED").then_some(())
    });
}
