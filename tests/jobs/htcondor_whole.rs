//! The whole program with a real `HTCondor`: a job held, recorded and released; a submitter that is killed in
//! between; a copy that the schedd took without anybody seeing it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::backend::Real;
use crate::support::{Home, Server, am_root, until};

const HTCONDOR: Real = Real { part: "htcondor", module: "htcondor_whole" };

/// Writes a line into the working directory when the program begins.
const PROGRAM: &str = "echo begun >>/work_dir/starts; exit 200";

struct Bench {
    home: Home,
    plain: String,
    image: String,
    _server: Server,
}

impl Bench {
    fn new(test: &str) -> Option<Self> {
        let env = HTCONDOR.env(test)?;
        let server = Server::with_image();
        let user = am_root().then(|| {
            let name = &env["MOORLINE_TEST_HTCONDOR_USER"];
            let id = Command::new("id").args(["-u", name]).output().unwrap().stdout;
            String::from_utf8(id).unwrap().trim().parse().unwrap()
        });
        let home = Home::of(&server, user).log_in(&server);
        let image = server.name(":v1");
        let plain = home.env["PATH"].clone();
        home.ok(&["convert", &image]);
        Some(Self { home, plain, image, _server: server })
    }

    /// Replaces a command for the next calls; in the script, the real one is `"$real"`.
    fn replaces(&mut self, name: &str, script: &str) {
        let bin: PathBuf = self.home.mkdir("harm");
        let real = std::env::split_paths(&self.plain).map(|dir| dir.join(name));
        let real = real.into_iter().find(|path| path.is_file()).unwrap().display().to_string();
        let path = bin.join(name);
        fs::write(&path, format!("#!/bin/sh\nreal={real}\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let first = format!("{}:{}", bin.display(), self.plain);
        self.home.env.insert("PATH".into(), first);
    }

    fn heals(&mut self) {
        self.home.env.insert("PATH".into(), self.plain.clone());
    }

    fn submit(&self) -> crate::support::Answer {
        let image = &self.image;
        self.home.run(&["submit", "--backend", "htcondor", image, "--", "sh", "-c", PROGRAM])
    }

    fn ends_once(&self, job: &str) {
        let waited = self.home.run(&["wait", "--timeout", "120", job]);
        let stderr = fs::read_to_string(self.home.job(job).join("stderr")).unwrap_or_default();
        assert_eq!(waited.code, 200, "{waited}\nits stderr: {stderr}");
        assert_eq!(self.starts(job), 1);
    }

    fn starts(&self, job: &str) -> usize {
        let text = fs::read_to_string(self.home.job(job).join("work/starts")).unwrap_or_default();
        text.lines().count()
    }

    /// The only job; no verb is asked, since each of them lets a held job go.
    fn job(&self) -> String {
        let names = fs::read_dir(self.home.jobs()).unwrap().flatten().map(|e| e.file_name());
        let mut jobs = names.filter_map(|name| name.into_string().ok()).filter(|n| n.len() == 26);
        jobs.next().unwrap()
    }
}

#[test]
fn a_job_runs_and_its_digest_is_proved() {
    let Some(bench) = Bench::new("a_job_runs_and_its_digest_is_proved") else { return };
    let job = bench.submit().exits(0).stdout.trim().to_owned();
    bench.ends_once(&job);
    let answer = bench.home.run(&["--json", "audit", "job", &job]).exits(0);
    assert_eq!(answer.json()["verdict"], "match", "{answer}");
    let row = bench.home.run(&["--json", "status", &job]).exits(0).json()[0].clone();
    let engine = row["engine"].as_str().unwrap();
    assert!(engine.starts_with("htcondor:"), "{row}");
    bench.home.run(&["status", engine]).exits(0);
}

#[test]
fn a_submitter_that_is_killed_leaves_one_job() {
    for harm in ["exit 1", "kill -9 $PPID", "\"$real\" \"$@\"; kill -9 $PPID"] {
        let Some(mut bench) = Bench::new("a_submitter_that_is_killed_leaves_one_job") else {
            return;
        };
        bench.replaces("condor_release", harm);
        let _ = bench.submit();
        bench.heals();
        let job = bench.job();
        bench.home.ok(&["status", &job]);
        bench.ends_once(&job);
    }
    // nobody knows the id: the schedd took it twice, and one is kept
    let Some(mut bench) = Bench::new("a_submitter_that_is_killed_leaves_one_job") else { return };
    let twice = "\"$real\" \"$@\" >/dev/null; \"$real\" \"$@\" >/dev/null; kill -9 $PPID";
    bench.replaces("condor_submit", twice);
    let _ = bench.submit();
    bench.heals();
    let job = bench.job();
    let settled = bench.home.run(&["recover"]).exits(0);
    assert!(settled.stdout.starts_with(&format!("{job} found htcondor:")), "{settled}");
    assert!(settled.stderr.contains("was a copy"), "{settled}");
    bench.ends_once(&job);
}

#[test]
fn a_copy_that_nobody_saw_never_starts_the_program() {
    let test = "a_copy_that_nobody_saw_never_starts_the_program";
    let Some(mut bench) = Bench::new(test) else { return };
    bench.replaces(
        "condor_submit",
        "\"$real\" \"$@\" | sed 's/ .*//' >\"$(dirname \"$2\")/copy\"; exec \"$real\" \"$@\"",
    );
    let job = bench.submit().exits(0).stdout.trim().to_owned();
    bench.heals();
    bench.ends_once(&job);
    let control = bench.home.job(&job).join("control");
    let copy = fs::read_to_string(control.join("copy")).unwrap().trim().to_owned();
    // somebody lets it go
    if am_root() {
        let released = Command::new("condor_release").arg(&copy).output().unwrap();
        assert!(released.status.success(), "{released:?}");
        until("its receipt", 60, || {
            let names = fs::read_dir(&control).unwrap().flatten();
            let is = |e: &fs::DirEntry| e.file_name().to_string_lossy().starts_with("receipt-");
            (names.filter(is).count() == 2).then_some(())
        });
        assert_eq!(bench.starts(&job), 1);
        let row = bench.home.run(&["--json", "status", &job]).exits(0).json()[0].clone();
        assert_eq!((row["state"].as_str(), row["exit_code"].as_i64()), (Some("failed"), Some(200)));
        let after = bench.home.run(&["--json", "audit", "job", &job]);
        assert_eq!(after.json()["verdict"], "match", "{after}");
        assert!(after.stdout.contains("a copy that the engine took"), "{after}");
    } else {
        let _ = Command::new("condor_rm").arg(&copy).status();
    }
}

/// `--delivery transfer`: the job sees only what the engine brought, and what it left comes back.
#[test]
fn the_engine_brings_the_files_and_takes_them_back() {
    let test = "the_engine_brings_the_files_and_takes_them_back";
    let Some(bench) = Bench::new(test) else { return };
    bench.home.write("here/events.txt", "1 2 3\n");
    let script =
        "cat events.txt >all.out; mkdir deep; echo x >deep/log; echo begun >>starts; exit 200";
    let flags = ["--delivery", "transfer", "--input", "events.txt", "--output", "*.out"];
    let submit = [
        &["submit", "--backend", "htcondor"],
        &flags[..],
        &[&bench.image, "--", "sh", "-c", script],
    ];
    let job = bench.home.run(&submit.concat()).exits(0).stdout.trim().to_owned();
    bench.ends_once(&job);
    let dir = bench.home.job(&job);
    let files = |place: &str| -> Vec<PathBuf> {
        let names = fs::read_dir(dir.join(place)).unwrap().flatten().map(|e| e.path());
        names.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("receipt-")).collect()
    };
    assert_eq!(files("control").len(), 0, "it was written where the job was");
    let receipt = fs::read(&files("returned")[0]).unwrap();
    let receipt: serde_json::Value = serde_json::from_slice(&receipt).unwrap();
    assert_eq!(receipt["delivery"], "transfer", "{receipt}");
    assert!(receipt["moved"].as_u64().unwrap() > 1000, "{receipt}");
    let left: Vec<_> = receipt["outputs"].as_array().unwrap().iter().map(|o| &o["path"]).collect();
    assert_eq!(left, ["all.out", "deep/log", "starts"], "{receipt}");
    assert_eq!(fs::read_to_string(dir.join("work/all.out")).unwrap(), "1 2 3\n");
    assert_eq!(fs::read_to_string(dir.join("work/deep/log")).unwrap(), "x\n");
    assert_eq!(bench.home.ok(&["fetch", &job, "-o", "got"]), "got/all.out");
    assert_eq!(bench.home.ok(&["fetch", &job, "deep/log", "-o", "got"]), "got/deep/log");
    assert_eq!(fs::read_to_string(bench.home.path("here/got/all.out")).unwrap(), "1 2 3\n");
    let answer = bench.home.run(&["--json", "audit", "job", &job]).exits(0);
    assert_eq!(answer.json()["verdict"], "match", "{answer}");
    bench.home.run(&["rerun", "--wait", &job]).exits(200);
    // a worker that cannot start says so: its receipt comes back, too
    let image = bench.image.clone();
    let submit =
        ["submit", "--backend", "htcondor", "--delivery", "transfer", &image, "--", "true"];
    let program = bench.home.jobs().join("bin");
    let program = fs::read_dir(program).unwrap().flatten().next().unwrap().path().join("moorline");
    let mut bench = bench;
    let harm = format!("echo broken >>{}; exec \"$real\" \"$@\"", program.display());
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    bench.replaces("condor_release", &harm);
    let job = bench.home.run(&submit).exits(0).stdout.trim().to_owned();
    bench.heals();
    let waited = bench.home.run(&["wait", "--timeout", "120", &job]);
    assert_eq!(waited.code, 213, "{waited}");
    let answer = bench.home.run(&["--json", "audit", "job", &job]);
    assert_eq!(answer.json()["verdict"], "unproven", "{answer}");
}
