//! Hold, record, release on a real Slurm: a submitter that is killed between any two steps, an engine that
//! takes a job twice, a hold that is the user's own. In each case the program runs once, or not at all.
//!
//! A command of Slurm's is replaced by a script that calls the real one and does the harm: it kills the
//! program that called it, or submits twice.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use super::{alone, home, slurm};
use crate::support::{self, Home, Server, am_root, until};

/// Writes a line into the working directory when the program begins.
const PROGRAM: &str = "echo begun >>/work_dir/starts; exit 7";

struct Bench {
    home: Home,
    plain: String,
    bin: PathBuf,
    image: String,
    conf: String,
    _server: Server,
}

impl Bench {
    fn new(test: &str) -> Option<Self> {
        let env = slurm(test)?;
        let server = Server::with_image();
        let home = home(&server, &env);
        let image = server.name(":v1");
        home.ok(&["convert", &image]);
        let bin = home.mkdir("harm");
        let plain = home.env["PATH"].clone();
        Some(Self { home, plain, bin, image, conf: env["SLURM_CONF"].clone(), _server: server })
    }

    /// Replaces a command for the next calls; in the script, the real one is `"$real"`.
    fn replaces(&mut self, name: &str, script: &str) {
        let real =
            std::env::split_paths(&self.plain).map(|dir| dir.join(name)).find(|p| p.is_file());
        let real = real.unwrap().display().to_string();
        let path = self.bin.join(name);
        fs::write(&path, format!("#!/bin/sh\nreal={real}\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let first = format!("{}:{}", self.bin.display(), self.plain);
        self.home.env.insert("PATH".into(), first);
    }

    /// The real commands again.
    fn heals(&mut self) {
        self.home.env.insert("PATH".into(), self.plain.clone());
    }

    fn submit(&self) -> support::Answer {
        let args = ["submit", "--backend", "slurm", &self.image, "--", "sh", "-c", PROGRAM];
        self.home.run(&args)
    }

    /// The only job; no verb is asked, since each of them lets a held job go.
    fn job(&self) -> String {
        let names = fs::read_dir(self.home.jobs()).unwrap().flatten().map(|e| e.file_name());
        let mut jobs =
            names.filter_map(|name| name.into_string().ok()).filter(|name| name.len() == 26);
        jobs.next().unwrap()
    }

    /// How often the program began.
    fn starts(&self, job: &str) -> usize {
        let text = fs::read_to_string(self.home.job(job).join("work/starts")).unwrap_or_default();
        text.lines().count()
    }

    /// One of Slurm's commands, as whoever runs the test.
    fn ask(&self, words: &[&str]) -> String {
        let output = Command::new(words[0])
            .args(&words[1..])
            .env("SLURM_CONF", &self.conf)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The ids of Slurm's jobs of this name, with their state, the oldest first.
    fn listed(&self, job: &str) -> Vec<(String, String)> {
        let name = format!("--name=moorline-{job}");
        let text = self.ask(&["squeue", "-h", "-t", "all", "-o", "%A %T", &name]);
        let pair = |line: &str| {
            let (id, state) = line.trim().split_once(' ')?;
            Some((id.to_owned(), state.to_owned()))
        };
        let mut listed: Vec<_> = text.lines().filter_map(pair).collect();
        listed.sort_by_key(|(id, _)| id.parse::<u64>().unwrap());
        listed
    }

    /// All lines of the ledger.
    fn ledger(&self) -> String {
        let mut lines = String::new();
        support::walk(&self.home.path("ledger"), &mut |path, _| {
            if path.extension().is_some_and(|ending| ending == "jsonl") {
                lines += &fs::read_to_string(path).unwrap();
            }
        });
        lines
    }

    fn ends_once(&self, job: &str) {
        let waited = self.home.run(&["wait", "--timeout", "120", job]);
        let stderr = fs::read_to_string(self.home.job(job).join("stderr")).unwrap_or_default();
        assert_eq!(waited.code, 7, "{waited}\nits stderr: {stderr}");
        assert_eq!(self.starts(job), 1);
        // and it is settled: nothing is left to recover
        let again = self.home.run(&["recover"]).exits(0);
        assert_eq!(again.stdout, "", "{again}");
    }
}

/// What becomes of the submitter.
const KILL: &str = "kill -9 $PPID";

#[test]
fn a_submitter_that_is_killed_before_it_knows_the_id() {
    let test = "a_submitter_that_is_killed_before_it_knows_the_id";
    let _alone = alone();
    // the answer is lost; and: the answer came, and nothing was recorded
    for (name, harm) in
        [("sbatch", format!("\"$real\" \"$@\" >/dev/null; {KILL}")), ("squeue", KILL.to_owned())]
    {
        let Some(mut bench) = Bench::new(test) else { return };
        bench.replaces(name, &harm);
        assert_ne!(bench.submit().code, 0);
        bench.heals();
        let job = bench.job();
        // no verb lets a job go that is not on record
        bench.home.ok(&["status", &job]);
        let listed = bench.listed(&job);
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!((listed[0].1.as_str(), bench.starts(&job)), ("PENDING", 0));
        let settled = bench.home.run(&["recover"]).exits(0);
        assert_eq!(settled.stdout, format!("{job} found slurm:{}\n", listed[0].0), "{settled}");
        bench.ends_once(&job);
    }
}

#[test]
fn a_submitter_that_is_killed_before_or_after_the_release() {
    let test = "a_submitter_that_is_killed_before_or_after_the_release";
    let _alone = alone();
    let only =
        |then: &str| format!("[ \"$1\" != release ] || {{ {then}; }}; exec \"$real\" \"$@\"");
    let cases = [
        // the job is recorded and held
        (only(&format!("{KILL}; exit 1")), true),
        // it is released, and nobody knows
        (only(&format!("\"$real\" \"$@\"; {KILL}; exit 1")), false),
    ];
    for (harm, held) in cases {
        let Some(mut bench) = Bench::new(test) else { return };
        bench.replaces("scontrol", &harm);
        assert_ne!(bench.submit().code, 0);
        bench.heals();
        let record = bench.ledger();
        assert!(record.contains("\"held\"") && record.contains("\"submitted\""), "{record}");
        assert!(!record.contains("\"released\""), "{record}");
        let job = bench.job();
        if held {
            // without its key beside the plan, as when the submitter is killed one step earlier
            let key = bench.home.job(&job).join("control/submission.json");
            let _ = fs::remove_file(key);
        }
        // any verb that asks for it lets it go
        bench.home.ok(&["status", &job]);
        bench.ends_once(&job);
        assert_eq!(bench.ledger().matches("\"released\"").count(), 1);
    }
}

#[test]
fn a_release_that_fails_is_a_warning_and_made_good_later() {
    let test = "a_release_that_fails_is_a_warning_and_made_good_later";
    let _alone = alone();
    let Some(mut bench) = Bench::new(test) else { return };
    bench.replaces("scontrol", "[ \"$1\" != release ] || exit 1; exec \"$real\" \"$@\"");
    let submitted = bench.submit().exits(0);
    assert!(submitted.stderr.contains("could not be released"), "{submitted}");
    let job = submitted.stdout.trim().to_owned();
    let shown = bench.home.run(&["status", &job]).exits(0);
    assert!(shown.stderr.contains("held still"), "{shown}");
    // to cancel is not to begin
    bench.heals();
    let other = bench.submit().exits(0).stdout.trim().to_owned();
    bench.ends_once(&other);
    bench.home.run(&["cancel", &job]).exits(0);
    bench.home.run(&["wait", "--timeout", "120", &job]);
    let row = bench.home.run(&["--json", "status", &job]).exits(0).json()[0].clone();
    assert_eq!((row["state"].as_str(), bench.starts(&job)), (Some("killed"), 0), "{row}");
}

#[test]
fn of_two_copies_one_is_kept() {
    let test = "of_two_copies_one_is_kept";
    let _alone = alone();
    let Some(mut bench) = Bench::new(test) else { return };
    bench.replaces("sbatch", &format!("\"$real\" \"$@\"; \"$real\" \"$@\" >/dev/null; {KILL}"));
    assert_ne!(bench.submit().code, 0);
    bench.heals();
    let job = bench.job();
    let listed = bench.listed(&job);
    assert_eq!(listed.len(), 2, "{listed:?}");
    let settled = bench.home.run(&["recover"]).exits(0);
    assert_eq!(settled.stdout, format!("{job} found slurm:{}\n", listed[0].0), "{settled}");
    assert!(settled.stderr.contains(&format!("slurm:{} was a copy", listed[1].0)), "{settled}");
    bench.ends_once(&job);
    until("the copy's end", 60, || {
        let listed = bench.listed(&job);
        listed.iter().any(|(_, state)| state == "CANCELLED").then_some(())
    });
    assert_eq!(bench.starts(&job), 1);
}

#[test]
fn a_copy_that_nobody_saw_never_starts_the_program() {
    let test = "a_copy_that_nobody_saw_never_starts_the_program";
    let _alone = alone();
    let Some(mut bench) = Bench::new(test) else { return };
    bench.replaces("sbatch", "\"$real\" \"$@\" >/dev/null; exec \"$real\" \"$@\"");
    let job = bench.submit().exits(0).stdout.trim().to_owned();
    bench.heals();
    bench.ends_once(&job);
    let listed = bench.listed(&job);
    let copy = &listed[0];
    assert_eq!((listed.len(), copy.1.as_str()), (2, "PENDING"), "{listed:?}");
    // somebody lets it go
    if am_root() {
        bench.ask(&["scontrol", "release", &copy.0]);
        let state = until("the copy's end", 60, || {
            let listed = bench.listed(&job);
            Some(listed[0].1.clone()).filter(|state| state == "FAILED" || state == "COMPLETED")
        });
        assert_eq!((state.as_str(), bench.starts(&job)), ("FAILED", 1));
        let receipts = || {
            let names = fs::read_dir(bench.home.job(&job).join("control")).unwrap().flatten();
            names.filter(|e| e.file_name().to_string_lossy().starts_with("receipt-")).count()
        };
        until("its receipt", 60, || (receipts() == 2).then_some(()));
        // its receipt is a note: neither state nor code nor verdict
        let before = bench.home.run(&["--json", "audit", "job", &job]).json();
        bench.home.ok(&["ledger", "collect"]);
        let row = bench.home.run(&["--json", "status", &job]).exits(0).json()[0].clone();
        assert_eq!((row["state"].as_str(), row["exit_code"].as_i64()), (Some("failed"), Some(7)));
        let after = bench.home.run(&["--json", "audit", "job", &job]);
        assert_eq!(after.json()["verdict"], before["verdict"], "{after}");
        assert_eq!(before["verdict"], "match", "{after}");
        assert!(after.stdout.contains("a copy that the engine took"), "{after}");
    } else {
        bench.ask(&["scancel", &copy.0]);
    }
}

#[test]
fn a_hold_that_the_user_set_is_left_alone() {
    let test = "a_hold_that_the_user_set_is_left_alone";
    let Some(_) = slurm(test) else { return };
    let _alone = alone();
    if !support::have("root", test, am_root()) {
        return;
    }
    let Some(bench) = Bench::new(test) else { return };
    // jobs wait meanwhile
    let partition = |state: &str| {
        bench.ask(&["scontrol", "update", "PartitionName=debug", &format!("State={state}")])
    };
    partition("DOWN");
    let submitted = bench.submit();
    let id = bench.home.run(&["--json", "jobs"]).json()[0]["engine"].as_str().map(str::to_owned);
    let id = id.unwrap_or_default();
    let number = id.trim_start_matches("slurm:");
    let user = bench.ask(&["squeue", "-h", "-j", number, "-o", "%u"]);
    let hold = Command::new("setpriv")
        .args(["--reuid", user.trim(), "--regid", user.trim(), "--init-groups"])
        .args(["scontrol", "hold", number])
        .env("SLURM_CONF", &bench.conf)
        .status();
    partition("UP");
    assert!(hold.unwrap().success());
    let job = submitted.exits(0).stdout.trim().to_owned();
    for verb in [&["status", &job][..], &["jobs"], &["recover"]] {
        bench.home.run(verb).exits(0);
    }
    let row = bench.home.run(&["--json", "status", &job]).exits(0).json()[0].clone();
    assert_eq!(row["reason"], "JobHeldUser", "{row}");
    assert_eq!(bench.ask(&["squeue", "-h", "-j", number, "-o", "%T"]).trim(), "PENDING");
    bench.ask(&["scontrol", "release", number]);
    bench.ends_once(&job);
}

/// Prints the medians; run by name, on a machine that does nothing else.
#[test]
#[ignore = "a measurement: cargo test --test jobs -- --ignored --nocapture what_the_hold_costs"]
fn what_the_hold_costs() {
    let _alone = alone();
    let Some(bench) = Bench::new("what_the_hold_costs") else { return };
    let usual = fs::read_to_string(bench.home.path("config/moorline/config.toml")).unwrap();
    let config = bench.home.write("no-hold.toml", &(usual + "[backend.slurm]\nhold = false\n"));
    let config = config.display().to_string();
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..80 {
        let submit = ["submit", "--backend", "slurm", &bench.image, "--", "true"];
        let plain = [&["--config", &config][..], &submit].concat();
        let began = Instant::now();
        bench.home.ok(if round % 2 == 0 { &submit } else { &plain });
        times[round % 2].push(began.elapsed());
    }
    for (name, times) in ["held and released", "not held"].iter().zip(&mut times) {
        times.sort();
        let (low, high) = (times[times.len() / 4], times[times.len() * 3 / 4]);
        let median = times[times.len() / 2];
        let line = format!("{name}: median {median:?}, quartiles {low:?} to {high:?}");
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

#[test]
fn a_site_can_do_without_the_hold() {
    let test = "a_site_can_do_without_the_hold";
    let _alone = alone();
    let Some(bench) = Bench::new(test) else { return };
    let usual = fs::read_to_string(bench.home.path("config/moorline/config.toml")).unwrap();
    let config = bench.home.write("no-hold.toml", &(usual + "[backend.slurm]\nhold = false\n"));
    let config = config.display().to_string();
    let args = ["--config", &config, "submit", "--backend", "slurm", "--dry-run", &bench.image];
    let plan = bench.home.run(&args).exits(0);
    assert!(!plan.stdout.contains("--hold"), "{plan}");
    let args = ["--config", &config, "submit", "--backend", "slurm", &bench.image, "--", "true"];
    let job = bench.home.ok(&args);
    bench.home.run(&["wait", "--timeout", "120", &job]).exits(0);
    let record = bench.ledger();
    assert!(!record.contains("\"held\"") && !record.contains("\"released\""), "{record}");
}
