//! Signals: each reaches the program once, none is lost, every end is recorded.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use moorline::worker::{Receipt, Start};

use crate::support::*;

/// Notes every signal in `log` and goes on until `go` is there; then it ends with 4.
const LISTENER: &str = "for s in HUP INT QUIT USR1 USR2 TERM ALRM; do trap \"echo $s >>log\" $s; done; \
    touch ready; while ! [ -e go ]; do sleep 0.05; done; exit 4";

fn send(signal: &str, to: &str) {
    assert!(Command::new("kill").args(["-s", signal, "--", to]).status().unwrap().success());
}

fn log(job: &Job) -> Vec<String> {
    let text = fs::read_to_string(job.path("work/log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The log when nothing more comes for longer than anybody here waits.
fn settled(job: &Job, expected: &[&str]) {
    until(|| log(job).len() >= expected.len());
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(log(job), expected);
}

/// Every process below one, itself first.
fn tree(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let mut at = 0;
    while let Some(pid) = all.get(at).copied() {
        at += 1;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        all.extend(
            children.unwrap_or_default().split_whitespace().map(|c| c.parse::<u32>().unwrap()),
        );
    }
    all
}

fn start(job: &Job) -> Child {
    let child = job.worker().process_group(0).stdout(Stdio::null()).spawn().unwrap();
    until(|| job.path("work/ready").exists());
    child
}

fn finish(job: &Job, mut child: Child) -> (i32, Receipt) {
    use std::os::unix::process::ExitStatusExt;
    fs::write(job.path("work/go"), "").unwrap();
    until(|| child.try_wait().unwrap().is_some());
    let status = child.wait().unwrap();
    let code = status.code().unwrap_or_else(|| -status.signal().unwrap());
    (code, job.receipts().pop().expect("a receipt"))
}

/// nextflow#2163, kata-containers#13152: checkpointing by USR1 and USR2.
#[test]
fn notes_reach_the_program_and_end_nothing() {
    if !squashfs_tools("signals::notes_reach_the_program_and_end_nothing") {
        return;
    }
    for user in users() {
        let job = Job::sh(user, LISTENER);
        let child = start(&job);
        let worker = child.id().to_string();
        for (number, signal) in ["USR1", "USR2", "ALRM", "USR1"].iter().enumerate() {
            send(signal, &worker);
            until(|| log(&job).len() > number);
        }
        settled(&job, &["USR1", "USR2", "ALRM", "USR1"]);
        let (code, receipt) = finish(&job, child);
        assert_eq!((code, receipt.conditions.told, receipt.conditions.signal), (4, None, None));
    }
}

/// What a group is told, and what every single process is told, is passed on once.
#[test]
fn whoever_is_told_the_program_hears_it_once() {
    if !squashfs_tools("signals::whoever_is_told_the_program_hears_it_once") {
        return;
    }
    for user in users() {
        for way in ["worker", "group", "every process", "every process but the worker"] {
            let job = Job::sh(user, LISTENER);
            let child = start(&job);
            let pid = child.id();
            for signal in ["USR1", "TERM"] {
                match way {
                    "worker" => send(signal, &pid.to_string()),
                    "group" => send(signal, &format!("-{pid}")),
                    // as engines do: one process after the other, without a pause
                    _ => {
                        let skip = usize::from(way != "every process");
                        let all = tree(pid);
                        assert!(all.len() >= 4, "{all:?}");
                        let mut kill = Command::new("kill");
                        kill.args(["-s", signal, "--"]);
                        kill.args(all.iter().skip(skip).map(u32::to_string));
                        // the shell's `sleep` may be gone by now, which is no matter
                        let _ = kill.stderr(Stdio::null()).status().unwrap();
                    }
                }
                until(|| log(&job).iter().any(|heard| heard == signal));
            }
            settled(&job, &["USR1", "TERM"]);
            let (code, receipt) = finish(&job, child);
            let told = (way != "every process but the worker").then_some(15);
            assert_eq!(receipt.conditions.told, told, "{way}");
            assert_eq!(code, told.map_or(4, |n| 128 + n), "{way}");
        }
    }
}

#[test]
fn the_grace_is_the_jobs() {
    if !squashfs_tools("signals::the_grace_is_the_jobs") {
        return;
    }
    let mut job = Job::sh(User::Me, "trap '' TERM; touch ready; while :; do sleep 0.05; done");
    job.plan.job.terms.grace = Some(1);
    let child = start(&job);
    let begun = std::time::Instant::now();
    send("TERM", &child.id().to_string());
    let (code, receipt) = finish(&job, child);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(code, 143);
    let conditions = &receipt.conditions;
    assert_eq!((conditions.told, conditions.signal), (Some(15), Some(9)));
    assert!(matches!(receipt.start, Start::Started { .. }));
}

/// `moorline run` in the job's working directory, with a home of its own.
fn front(job: &Job, before: &str, command: &str) -> Command {
    let line = format!(
        "cd {} && {before} {} -q run --runtime builtin {} -- sh -c '{command}'",
        job.path("work").display(),
        world().program().display(),
        image().0.display(),
    );
    let mut shell = job.as_user("/bin/sh".as_ref());
    shell.args(["-c", &line]).env("HOME", job.path("tmp")).process_group(0);
    shell
}

/// The receipts below a home.
fn receipts(home: &Path) -> Vec<Receipt> {
    let mut found = vec![];
    let mut todo = vec![home.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().unwrap().is_dir() {
                todo.push(entry.path());
            } else if name.starts_with("receipt-") {
                found.push(Receipt::parse(&fs::read(entry.path()).unwrap()).unwrap());
            }
        }
    }
    found
}

/// The state and exit code that the ledger has of the only job.
fn jobs(job: &Job) -> String {
    let listed = job
        .as_user(world().program().as_os_str())
        .args(["jobs", "--json"])
        .env("HOME", job.path("tmp"))
        .output()
        .unwrap();
    String::from_utf8_lossy(&listed.stdout).into_owned()
}

/// singularity#5884: `timeout` tells its child and then the child's group.
#[test]
fn run_under_timeout_ends_and_is_recorded() {
    let test = "signals::run_under_timeout_ends_and_is_recorded";
    if !squashfs_tools(test) || !have("timeout", test, in_path("timeout")) {
        return;
    }
    for user in users() {
        for signal in ["TERM", "INT", "HUP", "USR1"] {
            let job = Job::sh(user, "");
            let command = "for s in HUP INT USR1 TERM; do trap \"echo $s >>log; n=1\" $s; done; \
                n=0; touch ready; while [ $n = 0 ]; do sleep 0.05; done; sleep 1; exit 6";
            // told itself, it tells on, just as when the time is over
            let before = format!("exec timeout --signal {signal} --preserve-status 600");
            let child = front(&job, &before, command).stdout(Stdio::piped()).spawn().unwrap();
            until(|| job.path("work/ready").exists());
            send(signal, &child.id().to_string());
            let output = child.wait_with_output().unwrap();
            assert_eq!(log(&job), [signal], "{output:?}");
            let receipt = receipts(&job.path("tmp")).pop().expect("a receipt");
            let number = match signal {
                "TERM" => Some(15),
                "INT" => Some(2),
                "HUP" => Some(1),
                _ => None,
            };
            assert_eq!(receipt.conditions.told, number);
            let code = number.map_or(6, |n| 128 + n);
            assert_eq!(receipt.exit_code, code);
            assert_eq!(output.status.code(), Some(code), "{output:?}");
            let listed = jobs(&job);
            assert!(listed.contains("\"state\": \"failed\""), "{listed}");
            assert!(listed.contains(&format!("\"exit_code\": {code},")), "{listed}");
        }
    }
}

/// What is ignored stays ignored: nohup, and a shell's background jobs.
#[test]
fn an_ignored_signal_stays_ignored() {
    if !squashfs_tools("signals::an_ignored_signal_stays_ignored") {
        return;
    }
    for user in users() {
        let job = Job::sh(user, "");
        let command = "touch ready; while read -r name value; do [ $name != SigIgn: ] || echo $value; \
            done </proc/$$/status; while ! [ -e go ]; do sleep 0.05; done; exit 6";
        let mut child =
            front(&job, "trap '' HUP USR2; exec", command).stdout(Stdio::piped()).spawn().unwrap();
        until(|| job.path("work/ready").exists());
        // the whole group, as when a terminal goes away
        send("HUP", &format!("-{}", child.id()));
        send("USR2", &format!("-{}", child.id()));
        std::thread::sleep(Duration::from_millis(500));
        assert!(child.try_wait().unwrap().is_none(), "it lives on");
        fs::write(job.path("work/go"), "").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(6));
        let mask = u64::from_str_radix(String::from_utf8_lossy(&output.stdout).trim(), 16).unwrap();
        assert_ne!(mask & 1, 0, "HUP in {mask:x}");
        assert_ne!(mask & 1 << 11, 0, "USR2 in {mask:x}");
    }
}

/// One that comes while the image is still measured ends the attempt, and is written down.
#[test]
fn an_end_before_the_start_is_recorded() {
    if !squashfs_tools("signals::an_end_before_the_start_is_recorded") {
        return;
    }
    let job = Job::sh(User::Me, "touch started");
    let worker = job.worker();
    // stopped before it does anything, told, continued
    let mut stopped = Command::new("sh");
    stopped.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]);
    stopped.arg(worker.get_program()).args(worker.get_args());
    stopped.env_clear().env("PATH", "/usr/bin:/bin").env("TMPDIR", job.path("tmp"));
    let mut child = stopped.spawn().unwrap();
    let pid = child.id().to_string();
    until(|| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.contains(") T ")
    });
    send("CONT", &pid);
    // as soon as it listens
    until(|| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let mask = status.lines().find_map(|l| l.strip_prefix("SigCgt:")).unwrap_or("0");
        u64::from_str_radix(mask.trim(), 16).unwrap_or(0) >> 14 & 1 == 1
            || child.try_wait().unwrap().is_some()
    });
    let _ = Command::new("kill").args(["-s", "TERM", "--", &pid]).status();
    until(|| child.try_wait().unwrap().is_some());
    let receipt = job.receipts().pop().expect("a receipt");
    assert_eq!((receipt.exit_code, receipt.conditions.told), (143, Some(15)));
}

/// A worker that measures a large image ends soon, and not when it has read all of it.
#[test]
fn an_end_while_the_image_is_measured_comes_soon() {
    let mut job = Job::sh(User::Me, "touch started");
    // hashing it takes minutes; it takes no room
    let path = job.path("large.sif");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let digest = image().1;
    job.set_image(digest, path);
    let mut child = job.worker().spawn().unwrap();
    let pid = child.id().to_string();
    // it has been at it for half a second of its own time; how much it read is told to root only
    until(|| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        ticks > 50
    });
    let told = std::time::Instant::now();
    send("TERM", &pid);
    until(|| child.try_wait().unwrap().is_some());
    // minutes are what it would take
    assert!(told.elapsed() < std::time::Duration::from_secs(20), "{:?}", told.elapsed());
    let receipt = job.receipts().pop().expect("a receipt");
    assert_eq!((receipt.exit_code, receipt.conditions.told), (143, Some(15)));
    assert!(!job.path("work/started").exists());
}
