//! `ledger merge`: the records of CI jobs in one ledger, for people and programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use moorline::ledger::Ledger;
use moorline::oci::{Sha256Digest, SifDigest};

use crate::support::{Home, Server, config, records};

/// A ledger as an artifact has it: its own directory, with the umask of a runner.
fn artifact(home: &Home, name: &str, number: u64) -> PathBuf {
    let dir = home.mkdir(name).join("ledger");
    let ledger = Ledger::open(&dir).unwrap();
    let image = records::sif(None, SifDigest::of(b"sif"));
    let entry = ledger.intend(&records::intent(&records::entry(number), "slurm", image)).unwrap();
    ledger.submitted(&entry, &records::key("slurm", number)).unwrap();
    ledger.receipt(&entry, &records::receipt(&entry)).unwrap();
    for path in [dir.clone(), dir.join("personal")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    dir
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn ledgers_of_ci_jobs_become_one() {
    let home = Home::new(&Server::start(config())).with("PATH", "/nowhere");
    let (one, two) = (artifact(&home, "one", 1), artifact(&home, "two", 2));
    let (first, second) = (shown(&one), shown(&two));
    // payloads are no artifact
    fs::remove_dir_all(two.join("personal")).unwrap();
    let done = home.run(&["ledger", "merge", &first, &second]).exits(0);
    for dir in [&first, &second] {
        let said = format!("{dir}: 3 records of 1 writer about 1 job, 0 payloads");
        assert!(done.stderr.contains(&said), "{done}");
    }
    let jobs = home.run(&["--json=job", "jobs"]).exits(0).json();
    assert_eq!(jobs.as_array().unwrap().len(), 2, "{jobs}");
    let consistent = home.run(&["audit", "verify"]).exits(0);
    assert!(consistent.stdout.contains("consistent: 6 records in 2 files"), "{consistent}");
    // again, and with the names
    let again = home.run(&["--json", "ledger", "merge", "--personal", &first, &second]).exits(0);
    let new = again.json();
    assert_eq!((&new[0]["new"]["records"], &new[1]["new"]["payloads"]), (&0.into(), &0.into()));
    assert!(new[0]["new"]["payloads"].as_u64().unwrap() > 0, "{new}");
    let id = records::entry(1).job.to_string();
    assert!(home.run(&["audit", "job", &id]).exits(0).stdout.contains("(analysis)"));
    home.run(&["ledger", "merge", &first]).exits(0);
}

#[test]
fn what_is_wrong_with_one_keeps_no_other_out() {
    let home = Home::new(&Server::start(config())).with("PATH", "/nowhere");
    let (one, two) = (artifact(&home, "one", 1), artifact(&home, "two", 2));
    let files = fs::read_dir(&one).unwrap().map(|entry| entry.unwrap().path());
    let file = files.into_iter().find(|path| path.extension().is_some_and(|e| e == "jsonl"));
    let file = file.unwrap();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("slurm", "slurn", 1)).unwrap();
    let words = ["is not merged", ".jsonl:1", "hint:", "audit verify"];
    home.run(&["ledger", "merge", &shown(&one), &shown(&two)]).says(6, &words);
    let jobs = home.run(&["--json=job", "jobs"]).exits(0).json();
    assert_eq!(jobs.as_array().unwrap().len(), 1, "{jobs}");
    home.mkdir("none");
    home.run(&["ledger", "merge", "../none"]).fails(3, &["holds no ledger", "hint:"]);
    home.run(&["ledger", "merge"]).exits(2);
    // a job that this ledger recorded by itself
    let own = Ledger::open(&home.path("ledger")).unwrap();
    let image = records::sif(None, SifDigest::of(b"sif"));
    own.intend(&records::intent(&records::entry(3), "slurm", image)).unwrap();
    let third = shown(&artifact(&home, "three", 3));
    let words = ["which this ledger has of its own", "--same-jobs"];
    home.run(&["ledger", "merge", &third]).fails(11, &words);
    home.run(&["ledger", "merge", "--same-jobs", &third]).exits(0);
}
