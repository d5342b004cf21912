//! The ledger's index, as the program uses it: every verb says the same with it and without it, whatever is wrong
//! with its file. `src/ledger/index/` has the same for the room itself.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use moorline::job::{JobId, JobState, Observation};
use moorline::ledger::{Ledger, Recorded};
use moorline::oci::{Sha256Digest, SifDigest};

use crate::support::records;
use crate::support::{Answer, Home, NOBODY, Server, am_root, config, finish, have};

fn id(n: u64) -> JobId {
    JobId::from_parts(1_700_000_000_000 + n * 1000, u128::from(n))
}

/// Ended jobs, written as the program writes them; every fifth failed.
fn write(ledger: &Path, jobs: std::ops::Range<u64>) {
    append(&Ledger::open(ledger).unwrap(), jobs);
}

fn append(ledger: &Ledger, jobs: std::ops::Range<u64>) {
    let mut batch = ledger.batch();
    for n in jobs {
        let ids = Recorded { job: id(n), ..records::entry(n) };
        let image = records::sif(None, SifDigest::of(&(n % 3).to_le_bytes()));
        let mut intent = records::intent(&ids, "slurm", image);
        intent.spec.name = Some(format!("SENTINEL-{n}"));
        let entry = batch.intend(&intent, &[]).unwrap();
        batch.submitted(&entry, &records::key("slurm", n)).unwrap();
        let (state, code) =
            if n % 5 == 0 { (JobState::Failed, 3) } else { (JobState::Completed, 0) };
        let seen = Observation { exit_code: Some(code), ..Observation::of(state) };
        batch.observed(&entry, &seen).unwrap();
    }
    batch.write().unwrap();
}

fn home(jobs: u64) -> Home {
    let home = Home::new(&Server::start(config())).with("PATH", "/nowhere");
    let place = home.path("index").display().to_string();
    write(&home.path("ledger"), 0..jobs);
    home.with("MOORLINE_INDEX", &place)
}

fn without(home: &Home, args: &[&str]) -> Answer {
    let mut command = home.command(args);
    command.env("MOORLINE_INDEX", "off");
    finish(command, args, "")
}

/// All verbs that show jobs, with the index and without it.
fn same(home: &Home, when: &str) -> Vec<Answer> {
    let (image, some) = (SifDigest::of(&1u64.to_le_bytes()).to_string(), id(4).to_string());
    let verbs: [&[&str]; 12] = [
        &["jobs"],
        &["--json", "jobs", "--last", "3"],
        &["--json", "jobs", "--state", "failed", "--last", "4"],
        &["jobs", "--state", "running"],
        &["--json", "status", "last"],
        &["status", &some, &some[..22], "slurm:7"],
        &["wait", &some],
        &["audit", "job", &some],
        &["--json", "audit", "image", &image],
        &["audit", "image", "--last", "2", &image],
        &["ledger", "collect"],
        &["status", "slurm:999999"],
    ];
    let mut answers = Vec::new();
    for verb in verbs {
        let (with, without) = (home.run(verb), without(home, verb));
        assert_eq!((with.code, &with.stdout), (without.code, &without.stdout), "{when}: {with}");
        answers.push(with);
    }
    answers
}

fn file(home: &Home) -> PathBuf {
    let names = fs::read_dir(home.path("index")).unwrap().map(|entry| entry.unwrap().path());
    let mut files = names.filter(|path| path.extension().is_some_and(|e| e == "sqlite"));
    files.next().expect("there is an index")
}

#[test]
fn every_verb_says_the_same_with_and_without() {
    let home = home(30);
    for round in ["made", "used again"] {
        let answers = same(&home, round);
        assert!(answers.iter().all(|answer| !answer.stderr.contains("index")), "{round}");
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&file(&home)), mode(&home.path("index"))), (0o600, 0o700));
    write(&home.path("ledger"), 30..40);
    same(&home, "further jobs");
    let failed = home.run(&["--json", "jobs", "--state", "failed", "--last", "4"]).json();
    let ids: Vec<&str> =
        failed.as_array().unwrap().iter().map(|r| r["job"].as_str().unwrap()).collect();
    assert_eq!(ids, [20, 25, 30, 35].map(|n| id(n).to_string()));
    // what can name a person is in no file of it, and goes from the lists with its payload
    let name = |answer: Answer| answer.json()[0]["name"].clone();
    assert_eq!(name(home.run(&["--json", "status", "last"])), "SENTINEL-39");
    for entry in fs::read_dir(home.path("index")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(memchr::memmem::find(&bytes, b"SENTINEL").is_none());
    }
    fs::remove_dir_all(home.path("ledger/personal")).unwrap();
    assert!(name(home.run(&["--json", "status", "last"])).is_null());
    same(&home, "erased");
}

#[test]
fn a_small_ledger_leaves_no_index_and_a_wrong_place_is_said() {
    let home = home(5);
    let mut usual = home.command(&["jobs"]);
    usual.env_remove("MOORLINE_INDEX");
    let listed = finish(usual, &["jobs"], "").exits(0);
    assert!(listed.stdout.contains(&id(4).to_string()), "{listed}");
    assert!(!home.path("cache/ledger-index").exists() && !home.path("index").exists());
    let mut wrong = home.command(&["jobs"]);
    wrong.env("MOORLINE_INDEX", "here/there");
    finish(wrong, &["jobs"], "").fails(12, &["MOORLINE_INDEX=here/there", "absolute", "hint:"]);
}

/// A disk that is full for it (simulated: a limit on the size of files), a place that cannot be written.
#[test]
fn a_full_disk_or_a_closed_place_costs_a_warning() {
    let home = home(400);
    let program = home.command(&["jobs"]).get_program().to_owned();
    let mut full = Command::new("/bin/sh");
    // what ignores the signal gets EFBIG, as a full disk gives ENOSPC
    full.args(["-c", "trap '' XFSZ; ulimit -f 30; exec \"$0\" jobs"]).arg(program);
    full.env_clear().envs(&home.env).current_dir(home.path("here"));
    full.stdin(std::process::Stdio::piped());
    full.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let listed = finish(full, &["jobs"], "").exits(0);
    assert_eq!(listed.stdout, without(&home, &["jobs"]).stdout);
    assert_eq!(listed.stderr.matches("without its index").count(), 1, "{listed}");
    // there is room again
    let listed = home.run(&["jobs"]).exits(0);
    assert!(!listed.stderr.contains("index"), "{listed}");
    same(&home, "room again");
    fs::remove_dir_all(home.path("index")).unwrap();
    fs::write(home.path("index"), "").unwrap();
    let answers = same(&home, "closed");
    assert!(answers[0].stderr.contains("without its index"), "{}", answers[0]);
}

#[test]
fn an_index_of_another_user_is_not_used() {
    if !have("root", "an_index_of_another_user_is_not_used", am_root()) {
        return;
    }
    let home = home(30);
    same(&home, "made");
    chown(file(&home), Some(NOBODY), Some(NOBODY)).unwrap();
    same(&home, "his file");
    assert_eq!(fs::metadata(file(&home)).unwrap().uid(), 0, "it was thrown away and made again");
    chown(home.path("index"), Some(NOBODY), Some(NOBODY)).unwrap();
    let answers = same(&home, "his directory");
    assert!(answers[0].stderr.contains("is another user's"), "{}", answers[0]);
}

#[test]
fn a_kill_while_it_is_refreshed_loses_nothing() {
    let home = home(1500);
    let mut killed = 0;
    for step in 0..12 {
        let mut child = home.spawn(&["jobs"]);
        std::thread::sleep(Duration::from_millis(15 * step));
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
        if step % 4 == 3 {
            write(&home.path("ledger"), 1500 + step * 10..1510 + step * 10);
        }
    }
    assert!(killed > 0, "nothing was killed");
    let answers = same(&home, "after kills");
    assert!(answers.iter().all(|answer| !answer.stderr.contains("index")), "{}", answers[0]);
}

#[test]
fn several_processes_refresh_at_once() {
    let home = home(1500);
    let children: Vec<_> = (0..5).map(|_| home.spawn(&["jobs", "--last", "3"])).collect();
    let wanted = without(&home, &["jobs", "--last", "3"]).stdout;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), wanted);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("warning"), "{output:?}");
    }
    same(&home, "after all");
}

/// What lies in the job's directory says where its lines are: no index is made.
#[test]
fn a_whole_id_needs_no_index() {
    let home = home(3);
    let jobs = home.jobs();
    let control = jobs.join(id(50).to_string()).join("control");
    fs::create_dir_all(&control).unwrap();
    // as `submit` does it: the ledger knows where jobs are
    append(&Ledger::open(&home.path("ledger")).unwrap().with_jobs(&jobs), 50..51);
    let names = || fs::read_dir(&control).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(names().count(), 1, "one segment");
    let whole = id(50).to_string();
    for verb in [&["status", &whole][..], &["wait", &whole], &["audit", "job", &whole]] {
        let answer = home.run(verb);
        assert!(answer.stderr.is_empty() || verb[0] != "status", "{answer}");
        assert!(format!("{answer}").contains(&whole), "{answer}");
        assert!(!home.path("index").exists(), "{answer}");
    }
    // one whose directory does not say so is found all the same
    names().for_each(|name| fs::remove_file(name).unwrap());
    for job in [id(50), id(2)] {
        home.run(&["status", &job.to_string()]).exits(0);
    }
    assert!(home.path("index").exists());
}
