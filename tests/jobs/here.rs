//! Jobs of this machine: what `run` shows, the newest job's name, and what a caller reads when standard
//! output or its own process goes.

use std::fs::{self, OpenOptions};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Home, Server, sleeping, until};

/// A live `run` was shown as *submitted*, and nobody but `recover` saw that one was killed.
#[test]
fn a_run_shows_as_what_it_is() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    home.ok(&["convert", &image]);
    let mark = format!("7{}", std::process::id());
    let state = || home.run(&["--json", "jobs"]).exits(0).json()[0]["state"].clone();
    let mut child = home.spawn(&["run", &image, "--", "sleep", &mark]);
    until("the program", 60, || (sleeping(&mark) == 1).then_some(()));
    assert_eq!(state(), "running");
    child.kill().unwrap();
    child.wait().unwrap();
    until("the program's end", 30, || (sleeping(&mark) == 0).then_some(()));
    until("the end in the list", 30, || (state() == "failed").then_some(()));
    let shown = home.run(&["status", "last"]).exits(0);
    assert!(shown.stdout.contains("failed"), "{shown}");

    // one can be waited for, and ended, from another terminal
    let child = home.spawn(&["run", &image, "--", "sleep", &mark]);
    until("the program", 60, || (sleeping(&mark) == 1).then_some(()));
    let wait = home.spawn(&["wait", "--timeout", "60", "last"]);
    home.run(&["cancel", "last"]).exits(0);
    assert!(!child.wait_with_output().unwrap().status.success());
    until("the program's end", 30, || (sleeping(&mark) == 0).then_some(()));
    assert!(!wait.wait_with_output().unwrap().status.success());
    let rows = home.run(&["--json", "status", "last"]).exits(0).json();
    assert!(["killed", "failed"].contains(&rows[0]["state"].as_str().unwrap()), "{rows}");
    assert_eq!(home.run(&["recover"]).exits(0).stdout, "");
}

/// Jobs get the small program that lies beside this one; a moorline that lies alone is its own worker.
#[test]
fn jobs_get_the_worker_that_lies_beside() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    let job = home.ok(&["submit", "--wait", &image, "--", "sh", "-c", "echo by the worker"]);
    assert_eq!(home.ok(&["logs", &job]), "by the worker");
    let installed: Vec<_> = std::fs::read_dir(home.jobs().join("bin")).unwrap().collect();
    assert_eq!(installed.len(), 1);
    let installed = installed[0].as_ref().unwrap().path().join("moorline");
    let size = |path: &std::path::Path| std::fs::metadata(path).unwrap().len();
    assert_eq!(
        size(&installed),
        size(&crate::support::program().with_file_name("moorline-worker"))
    );

    let alone = home.path("alone");
    std::fs::create_dir_all(&alone).unwrap();
    let alone = alone.join("moorline");
    std::fs::copy(env!("CARGO_BIN_EXE_moorline"), &alone).unwrap();
    let mut command = std::process::Command::new(&alone);
    let usual = home.command(&["submit", "--wait", &image, "--", "true"]);
    command.args(usual.get_args()).current_dir(usual.get_current_dir().unwrap()).env_clear();
    command.envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(std::fs::read_dir(home.jobs().join("bin")).unwrap().count(), 2);
}

/// The worker alone answers nobody but a job's script.
#[test]
fn the_worker_has_one_verb() {
    let worker = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_moorline-worker"));
        let done = command.args(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (done.status.code(), text(done.stdout), text(done.stderr))
    };
    let (code, out, _) = worker(&["--version"]);
    assert!(code == Some(0) && out.starts_with("moorline-worker "), "{out}");
    for args in [&[][..], &["--help"], &["resolve", "a/b"], &["worker"]] {
        let (code, out, err) = worker(args);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}");
        assert!(err.contains("usage: moorline-worker worker CONTROL_DIR"), "{err}");
    }
}

#[test]
fn last_is_the_newest_job_wherever_one_is_named() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    home.run(&["status", "last"]).fails(3, &["last"]);
    let first = home.ok(&["submit", "--wait", &image, "--", "sh", "-c", "echo first"]);
    let second = home.ok(&["submit", &image, "--", "sh", "-c", "echo second; exit 4"]);
    home.run(&["wait", "--timeout", "60", "last"]).exits(4);
    assert_eq!(home.ok(&["logs", "last"]), "second");
    assert!(home.ok(&["status", "last"]).contains(&second));
    assert!(home.ok(&["audit", "job", "last"]).contains(&second));
    home.run(&["cancel", "last"]).exits(0);
    home.run(&["wait", &first, "last"]).exits(4);
    let again = home.run(&["rerun", "--wait", "last"]).exits(4).stdout;
    assert_ne!(again.trim(), second);
}

/// `submit >/dev/full` ended with 8 although the job was handed over: a script that tried again would
/// have submitted it twice.
#[test]
fn an_id_that_cannot_be_written_is_said_elsewhere() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    home.ok(&["convert", &image]);
    for wait in [false, true] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let args: &[&str] = if wait { &["submit", "--wait"] } else { &["submit"] };
        let args = [args, &[&image, "--", "sh", "-c", "exit 3"]].concat();
        let output = home.command(&args).stdout(full).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(if wait { 3 } else { 0 }), "{said}");
        let rows = home.run(&["--json", "jobs"]).exits(0).json();
        let job = rows.as_array().unwrap().last().unwrap()["job"].as_str().unwrap().to_owned();
        assert!(said.contains(&job) && said.contains("handed over"), "{said}");
        home.run(&["wait", "--timeout", "60", &job]).exits(3);
    }
}

/// An interrupted `wait` says how to go on, and ends by its signal; the job does not.
#[test]
fn an_interrupted_wait_says_how_to_go_on() {
    use std::os::unix::process::ExitStatusExt;
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    let script = "while [ ! -e /work_dir/go ]; do sleep 0.1; done; exit 3";
    let job = home.ok(&["submit", &image, "--", "sh", "-c", script]);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut child = home.spawn(&["wait", &job]);
        // its first word is said when the handlers are there
        let mut stderr = child.stderr.take().unwrap();
        let mut said = vec![0; 1];
        std::io::Read::read_exact(&mut stderr, &mut said).unwrap();
        kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
        let status = child.wait().unwrap();
        std::io::Read::read_to_end(&mut stderr, &mut said).unwrap();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status} {said}");
        assert!(said.contains(&format!("moorline wait {job}")), "{said}");
    }
    std::fs::write(home.job(&job).join("work/go"), "").unwrap();
    home.run(&["wait", "--timeout", "60", &job]).exits(3);
}

/// The engine has the job and the ledger cannot be written: that is no failed submission either.
#[test]
fn an_answer_that_cannot_be_recorded_is_said() {
    let server = Server::with_image();
    let mut home = Home::logged_in(&server);
    let image = server.name(":v1");
    home.ok(&["convert", &image]);
    let slurm = crate::simulated::Simulated::new(&mut home);
    let ledger = home.path("ledger");
    let at = ledger.display();
    slurm.command("sbatch", &format!("mv {at} {at}.away; : >{at}; echo 77"));
    let answer = home.run(&["submit", "--backend", "slurm", &image, "--", "true"]);
    answer.fails(12, &["was handed over as slurm:77", "do not submit it again"]);
    std::fs::remove_file(&ledger).unwrap();
    std::fs::rename(home.path("ledger.away"), &ledger).unwrap();
    let rows = home.run(&["--json", "jobs"]).exits(0).json();
    assert_eq!(rows[0]["state"], "submitting", "{rows}");
}

/// An engine may start a job with a `PATH` that leads nowhere; the program has that of its image.
#[test]
fn a_job_needs_no_path() {
    let server = Server::with_image();
    let image = server.name(":v1");
    for path in ["", "/nowhere"] {
        let home = Home::logged_in(&server).with("PATH", path);
        let (job, code) = home.job_of(&[], &image, "exit 6");
        let said = home.ok(&["logs", "--stderr", &job]);
        assert_eq!((code, said.as_str()), (6, ""), "{path:?}");
        let control = fs::read_dir(home.job(&job).join("control")).unwrap();
        let names = control.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(names.into_iter().all(|name| !name.starts_with(".receipt-")));
    }
}
