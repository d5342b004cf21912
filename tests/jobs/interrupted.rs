//! A submission or a `run` that was interrupted: `recover` asks, and submits nothing again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::line::{state, verdict};
use crate::support::{Home, Server, sleeping, until};

/// A simulated Slurm: scripts that stand for its commands, first in `PATH`.
struct Simulated {
    bin: PathBuf,
}

impl Simulated {
    fn new(home: &mut Home) -> Self {
        let bin = home.mkdir("simulated-slurm");
        let path = format!("{}:{}", bin.display(), home.env["PATH"]);
        home.env.insert("PATH".into(), path);
        let simulated = Self { bin };
        for name in ["squeue", "sacct", "scontrol", "scancel"] {
            simulated.command(name, "exit 0");
        }
        simulated
    }

    fn command(&self, name: &str, body: &str) {
        let path = self.bin.join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.bin.join(name)).ok().filter(|text| text.ends_with('\n'))
    }
}

#[test]
fn an_interrupted_submission_is_settled_by_asking() {
    let server = Server::with_image();
    let mut home = Home::logged_in(&server);
    let simulated = Simulated::new(&mut home);
    let image = server.name(":v1");
    home.ok(&["convert", &image]);
    let dir = simulated.bin.display().to_string();
    simulated
        .command("sbatch", &format!("echo \"$*\" >{dir}/argv; echo $$ >{dir}/pid; exec sleep 600"));
    let interrupt = || {
        let _ = fs::remove_file(simulated.bin.join("pid"));
        let mut child = home.spawn(&["submit", "--backend", "slurm", &image, "--", "true"]);
        let pid = until("the engine is asked", 60, || simulated.read("pid"));
        child.kill().unwrap();
        child.wait().unwrap();
        // the engine's command ends with it or now, by the id that it wrote itself
        let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        let rows = home.run(&["--json", "jobs"]).exits(0).json();
        let last = rows.as_array().unwrap().last().unwrap().clone();
        (last["job"].as_str().unwrap().to_owned(), simulated.read("argv").unwrap())
    };

    // the engine never got it
    let (lost, _) = interrupt();
    assert_ne!(state(&home, &lost), "failed");
    let answer = home.run(&["recover"]).exits(0);
    assert_eq!(answer.stdout, format!("{lost} uncertain\n"));
    home.run(&["wait", &lost]).fails(10, &[&lost, "uncertain", "moorline recover"]);
    home.run(&["cancel", &lost]).fails(10, &[&lost, "hint:"]);
    assert!(home.job(&lost).is_dir(), "it may still come: the directory stays");

    // the engine has it under a number
    let (found, argv) = interrupt();
    let comment = argv.split_whitespace().find_map(|word| word.strip_prefix("--comment="));
    let now = jiff::Timestamp::now().as_second();
    let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let row = format!("77|{now}|{}|{}", user.trim(), comment.unwrap());
    let queue = format!("77|{now}|{}|RUNNING|0|None|", user.trim());
    // %k asks for the comment: then it is `find` that asks
    simulated.command(
        "squeue",
        &format!("case \"$*\" in *%k*) echo '{row}' ;; *) echo '{queue}' ;; esac"),
    );
    let answer = home.run(&["recover"]).exits(0);
    assert!(answer.stdout.contains(&format!("{found} found slurm:")), "{answer}");
    assert!(answer.stdout.contains("77"), "{answer}");
    assert_eq!(state(&home, &found), "running");
    // both stay one submission each: nothing was submitted again
    assert_eq!(verdict(&home, &found).json()["submissions"].as_array().unwrap().len(), 1);
    assert!(home.ok(&["status", "slurm:77"]).contains(&found));
}

#[test]
fn an_interrupted_run_is_settled() {
    let server = Server::with_image();
    let home = Home::logged_in(&server);
    let image = server.name(":v1");
    home.ok(&["convert", &image]);
    let mark = format!("8{}", std::process::id());
    let mut child = home.spawn(&["run", &image, "--", "sleep", &mark]);
    until("the program", 60, || (sleeping(&mark) == 1).then_some(()));
    // one that lives is left alone
    let answer = home.run(&["recover"]).exits(0);
    assert!(answer.stdout.is_empty() && answer.stderr.contains("runs"), "{answer}");
    child.kill().unwrap();
    child.wait().unwrap();
    until("the program's end", 30, || (sleeping(&mark) == 0).then_some(()));
    until("the interrupted run", 30, || {
        home.ok(&["recover"]).contains("interrupted").then_some(())
    });
    assert_eq!(home.run(&["recover"]).exits(0).stdout, "");
    let rows = home.run(&["--json", "jobs"]).exits(0).json();
    assert_eq!(rows[0]["state"], "failed", "{rows}");
}
