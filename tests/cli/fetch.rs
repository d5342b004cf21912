//! `moorline fetch`: what a receipt lists is copied out of the job's directory, checked; nothing leaves the directory
//! that was named, and nothing is overwritten unasked. The jobs are records: `tests/jobs` fetches from jobs that ran.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use moorline::job::{JobState, Observation};
use moorline::ledger::{Ledger, Recorded};
use moorline::oci::{Digest, Sha256Digest, SifDigest};
use moorline::worker::{Output, Receipt};

use crate::support::records;
use crate::support::{Home, Server, config};

struct World {
    home: Home,
    job: String,
    entry: Recorded,
    ledger: Ledger,
}

impl World {
    /// A job with the declared output `*.root` and this state.
    fn new(state: JobState) -> Self {
        Self::of(state, None)
    }

    fn of(state: JobState, tasks: Option<&str>) -> Self {
        let home = Home::new(&Server::start(config())).with("PATH", "/nowhere");
        let ledger = Ledger::open(&home.path("ledger")).unwrap();
        let image = records::sif(None, SifDigest::of(b"sif"));
        let mut intent = records::intent(&records::entry(1), "slurm", image);
        intent.spec.terms.outputs = vec!["*.root".into()];
        intent.spec.terms.tasks = tasks.map(|tasks| tasks.parse().unwrap());
        let entry = ledger.intend(&intent).unwrap();
        ledger.submitted(&entry, &records::key("slurm", 12)).unwrap();
        ledger.observed(&entry, &Observation::of(state)).unwrap();
        Self { job: entry.job.to_string(), home, entry, ledger }
    }

    /// Puts a file into the working directory.
    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.work().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn work(&self) -> PathBuf {
        self.home.job(&self.job).join("work")
    }

    /// The worker's word on what it left: path, bytes, and whether they were hashed.
    fn receipt(&self, left: &[(&str, &str, bool)]) {
        self.receipt_of(None, left);
    }

    fn receipt_of(&self, task: Option<u32>, left: &[(&str, &str, bool)]) {
        let output = |(path, text, hashed): &(&str, &str, bool)| Output {
            path: (*path).to_owned(),
            size: text.len() as u64,
            sha256: hashed.then(|| Digest::of(text.as_bytes())),
        };
        let mut receipt: Receipt = records::receipt(&self.entry);
        receipt.attempt = format!("{:032x}", task.unwrap_or(0));
        receipt.notes = vec!["output files: 7 more new files are not listed".into()];
        receipt.conditions.task = task;
        receipt.conditions.outputs = left.iter().map(output).collect();
        self.ledger.receipt(&self.entry, &receipt).unwrap();
    }

    fn here(&self, name: &str) -> String {
        fs::read_to_string(self.home.path("here").join(name)).unwrap()
    }
}

#[test]
fn declared_files_come_whole_and_checked() {
    let world = World::new(JobState::Completed);
    let fit = world.put("fit.root", "fit");
    fs::set_permissions(&fit, fs::Permissions::from_mode(0o4750)).unwrap();
    world.put("deep/log", "lines");
    world.receipt(&[("fit.root", "fit", true), ("deep/log", "lines", false)]);
    let (home, job) = (&world.home, world.job.as_str());

    let answer = home.run(&["fetch", job]).exits(0);
    assert_eq!(answer.stdout, "fit.root\n");
    assert!(answer.stderr.contains("7 more new files are not listed"), "{answer}");
    assert_eq!(world.here("fit.root"), "fit");
    // executable as it was, and nobody's setuid program
    let mode = fs::metadata(home.path("here/fit.root")).unwrap().mode() & 0o7777;
    assert_eq!(mode & 0o7700, 0o700, "{mode:o}");
    // again: the same bytes are what was asked for, also when the job's own are gone
    fs::remove_file(&fit).unwrap();
    let again = home.run(&["fetch", job]).exits(0);
    assert!(again.stderr.contains("fit.root was there already"), "{again}");
    world.put("fit.root", "fit");

    let all = home.run(&["fetch", job, "--all", "-o", "new/dir"]).exits(0);
    assert_eq!(all.stdout, "new/dir/fit.root\nnew/dir/deep/log\n");
    assert!(all.stderr.contains("1 file could be compared by size only"), "{all}");
    assert_eq!(world.here("new/dir/deep/log"), "lines");
    assert_eq!(home.ok(&["fetch", job, "./deep/log"]), "deep/log");
    // one document, with what failed
    let both = home.run(&["--json", "fetch", job, "fit.root", "none"]).exits(3);
    let rows = both.json();
    assert_eq!((&rows[0]["path"], &rows[0]["compared"]), (&"fit.root".into(), &"same".into()));
    assert_eq!(rows[0]["sha256"], Digest::of(b"fit").to_string());
    assert!(rows[1]["error"].as_str().unwrap().contains("no file \"none\""), "{both}");
    assert!(both.stderr.contains(&format!("moorline audit job {job}")), "{both}");
    home.run(&["fetch", job, "fit.root", "--all"]).exits(2);
    let left = fs::read_dir(home.path("here")).unwrap().count();
    assert_eq!(left, 3, "fit.root, deep, new");
}

#[test]
fn a_file_that_changed_is_refused_unless_it_is_asked_for() {
    let world = World::new(JobState::Failed);
    let (home, job) = (&world.home, world.job.as_str());
    world.receipt(&[
        ("a.root", "as it was", true),
        ("b.root", "four", false),
        ("c.root", "c", true),
    ]);
    world.put("a.root", "as it is.");
    world.put("b.root", "fives");
    world.put("c.root", "c");
    let answer = home.run(&["fetch", job]).exits(6);
    assert_eq!(answer.stdout, "c.root\n", "the others come");
    assert_eq!(answer.stderr.matches("is not what job").count(), 2, "{answer}");
    assert!(answer.stderr.contains("--changed"), "{answer}");
    assert!(!home.path("here/a.root").exists() && !home.path("here/b.root").exists());
    let answer = home.run(&["fetch", job, "--changed"]).exits(0);
    assert!(answer.stderr.contains(&format!("a.root changed since job {job} ended")), "{answer}");
    assert_eq!(world.here("a.root") + &world.here("b.root"), "as it is.fives");
    assert_eq!(fs::read_dir(home.path("here")).unwrap().count(), 3, "no temporary file stays");
}

#[test]
fn nothing_is_overwritten_unasked() {
    let world = World::new(JobState::Completed);
    let (home, job) = (&world.home, world.job.as_str());
    world.receipt(&[("fit.root", "new", true), ("b.root", "new", true)]);
    world.put("fit.root", "new");
    world.put("b.root", "new");
    home.write("here/fit.root", "old");
    let outside = home.write("outside", "kept");
    symlink(&outside, home.path("here/b.root")).unwrap();
    let answer = home.run(&["fetch", job]).exits(2);
    assert_eq!(answer.stderr.matches("exists already").count(), 2, "{answer}");
    assert!(answer.stderr.contains("--force"), "{answer}");
    assert_eq!(world.here("fit.root"), "old");
    home.run(&["fetch", job, "--force"]).exits(0);
    assert_eq!(world.here("fit.root") + &world.here("b.root"), "newnew");
    assert_eq!(fs::read_to_string(outside).unwrap(), "kept", "a link is replaced, not followed");
}

#[test]
fn no_path_leads_out_of_either_directory() {
    let world = World::new(JobState::Completed);
    let (home, job) = (&world.home, world.job.as_str());
    let secret = home.write("secret", "secret");
    world.put("plain.root", "x");
    symlink(&secret, world.work().join("link.root")).unwrap();
    symlink(home.path(""), world.work().join("dir")).unwrap();
    world.put("sub/x.root", "x");
    // whoever writes a receipt can name any path
    let names =
        ["../secret", "/etc/passwd", "dir/secret", "link.root", "sub/x.root", "", "a/../../secret"];
    let left: Vec<_> = names.iter().map(|name| (*name, "secret", false)).collect();
    world.receipt(&left);
    symlink(home.path(""), home.path("here/sub")).unwrap();
    let before = fs::read_dir(home.path("")).unwrap().count();
    for (name, code, word) in [
        ("../secret", 6, "no path below the working directory"),
        ("/etc/passwd", 6, "no path below the working directory"),
        ("a/../../secret", 6, "no path below the working directory"),
        ("", 6, "no path below the working directory"),
        ("dir/secret", 3, "symbolic link"),
        ("link.root", 3, "symbolic link"),
        // the link is in the directory that was named
        ("sub/x.root", 12, "links are not followed there"),
    ] {
        home.run(&["fetch", job, name, "--changed", "--force"]).fails(code, &[word, "hint:"]);
    }
    assert_eq!(fs::read_dir(home.path("here")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(home.path("")).unwrap().count(), before);
}

#[test]
fn what_cannot_be_fetched_says_what_to_do() {
    let world = World::new(JobState::Running);
    let (home, job) = (&world.home, world.job.as_str());
    home.run(&["fetch", job]).fails(3, &["has not ended", &format!("moorline wait {job}")]);
    home.run(&["fetch", "nobody"]).exits(3);

    let world = World::new(JobState::Killed);
    let (home, job) = (&world.home, world.job.as_str());
    home.run(&["fetch", job]).fails(3, &["left no receipt", &format!("moorline status {job}")]);
    world.receipt(&[("log", "lines", false)]);
    home.run(&["fetch", job])
        .fails(3, &["declared as its output", "--all takes what is new (1 file)"]);
    home.run(&["fetch", job, "log"])
        .fails(3, &["working directory is not there", "moorline rerun"]);
    fs::create_dir_all(world.work()).unwrap();
    home.run(&["fetch", job, "log"]).fails(3, &["it is not there any more", "moorline rerun"]);
    world.put("log", "lines");
    home.run(&["fetch", job, "log", "-o", "/proc/none"])
        .fails(12, &["cannot write /proc/none/log"]);
}

#[test]
fn tasks_of_an_array_do_not_meet() {
    let world = World::of(JobState::Killed, Some("1-3"));
    let (home, job) = (&world.home, world.job.as_str());
    for task in [1, 3] {
        let work = home.job(job).join(format!("tasks/{task}/work"));
        fs::create_dir_all(&work).unwrap();
        fs::write(work.join("fit.root"), format!("of {task}")).unwrap();
        world.receipt_of(Some(task), &[("fit.root", &format!("of {task}"), true)]);
    }
    // the engine's word on each task
    let mut batch = world.ledger.batch();
    let all = "1-3".parse().unwrap();
    batch.observed_of(&world.entry, &all, &Observation::of(JobState::Killed)).unwrap();
    batch.write().unwrap();
    let answer = home.run(&["fetch", job, "-o", "got"]).exits(3);
    assert_eq!(answer.stdout, "got/1/fit.root\ngot/3/fit.root\n");
    assert!(answer.stderr.contains("the tasks 2 of job"), "{answer}");
    assert_eq!(world.here("got/1/fit.root") + &world.here("got/3/fit.root"), "of 1of 3");
    assert_eq!(home.ok(&["fetch", &format!("{job}.3")]), "fit.root");
    home.run(&["fetch", &format!("{job}.2")]).fails(3, &["left no receipt"]);
}
