//! Many writers, kills, a full disk, and who may write where.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use moorline::failure::{Failure, Kind};
use moorline::job::{JobState, Observation};
use moorline::ledger::{Ledger, LedgerError, View};

use crate::ledger::fixtures::{entry, intent, scratch, segments, sound, write_all_kinds};

#[test]
fn one_process_after_another_uses_one_file() {
    let dir = scratch();
    for n in 0..10 {
        Ledger::open(dir.path()).unwrap().intend(&intent(n)).unwrap();
    }
    assert_eq!(segments(dir.path()).len(), 1);
    assert_eq!(sound(dir.path()).records, 10);
}

#[test]
fn a_long_file_is_ended_and_a_next_one_begun() {
    let dir = scratch();
    let ledger = Ledger::open(dir.path()).unwrap();
    let one = ledger.intend(&intent(1)).unwrap();
    for n in 0..6 {
        let word = Some(n.to_string().repeat(1 << 20));
        let seen = Observation { engine_state: word, ..Observation::of(JobState::Running) };
        ledger.observed(&one, &seen).unwrap();
    }
    assert_eq!(segments(dir.path()).len(), 2);
    assert_eq!(sound(dir.path()).records, 7);
    assert_eq!(View::read(dir.path()).unwrap().job(one.job).unwrap().last().history.len(), 6);
}

#[test]
fn reading_makes_no_file() {
    let dir = scratch();
    let ledger = dir.path().join("none");
    assert_eq!(View::read(&ledger).unwrap().jobs().count(), 0);
    assert!(sound(&ledger).records == 0 && !ledger.exists());
    Ledger::open(&ledger).unwrap();
    assert_eq!(segments(&ledger).len(), 0);
}

#[test]
fn a_file_that_grew_is_left_alone() {
    let dir = scratch();
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger.intend(&intent(1)).unwrap();
    let first = segments(dir.path()).pop().unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&first).unwrap();
    file.write_all(b"somebody else\n").unwrap();
    let before = fs::read(&first).unwrap();
    ledger.intend(&intent(2)).unwrap();
    assert_eq!(fs::read(&first).unwrap(), before);
    assert_eq!(segments(dir.path()).len(), 2);
    let view = View::read(dir.path()).unwrap();
    assert_eq!((view.jobs().count(), view.damaged), (2, 1));
    // and a later process does not build on the damage either
    drop(ledger);
    Ledger::open(dir.path()).unwrap().intend(&intent(3)).unwrap();
    assert_eq!(fs::read(&first).unwrap(), before);
}

#[test]
fn eight_threads_at_once() {
    let dir = scratch();
    let shared = Ledger::open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (dir, shared) = (dir.path(), &shared);
            scope.spawn(move || {
                let own = Ledger::open(dir).unwrap();
                for n in 0..10 {
                    let ledger = if n % 2 == 0 { &own } else { shared };
                    ledger.intend(&intent(thread * 10 + n)).unwrap();
                }
            });
        }
    });
    assert_eq!(View::read(dir.path()).unwrap().jobs().count(), 80);
    let report = sound(dir.path());
    assert_eq!((report.records, report.notes.len()), (80, 0));
    assert!(report.files <= 9, "{} files", report.files);
}

/// Not a test: what the processes below run. Writes jobs FIRST.. and acknowledges each.
#[test]
#[ignore = "started by other tests"]
fn child_that_writes() {
    let Ok(dir) = std::env::var("LEDGER_CHILD_DIR") else { return };
    let first: u64 = std::env::var("LEDGER_CHILD_FIRST").unwrap().parse().unwrap();
    let count: u64 = std::env::var("LEDGER_CHILD_COUNT").unwrap().parse().unwrap();
    let ledger = Ledger::open(Path::new(&dir)).unwrap();
    for n in first..first + count {
        ledger.intend(&intent(n)).unwrap();
        let mut out = std::io::stdout().lock();
        out.write_all(format!("\nack {n}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

fn child(dir: &Path, first: u64, count: u64) -> Child {
    let me = std::env::current_exe().unwrap();
    Command::new(me)
        .args(["--ignored", "--exact", "ledger::writers::child_that_writes"])
        .args(["--nocapture", "--test-threads=1"])
        .env("LEDGER_CHILD_DIR", dir)
        .env("LEDGER_CHILD_FIRST", first.to_string())
        .env("LEDGER_CHILD_COUNT", count.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn acknowledged(child: &mut Child) -> impl Iterator<Item = u64> + use<> {
    // a line goes through the pipe in one piece (PIPE_BUF), so a kill cuts no number short
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.filter_map(|line| line.unwrap().strip_prefix("ack ").map(|n| n.parse().unwrap()))
}

#[test]
fn eight_processes_at_once() {
    let dir = scratch();
    let mut children: Vec<_> = (0..8).map(|n| child(dir.path(), n * 100, 20)).collect();
    for child in &mut children {
        assert_eq!(acknowledged(child).count(), 20);
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(View::read(dir.path()).unwrap().jobs().count(), 160);
    let report = sound(dir.path());
    assert_eq!((report.records, report.payloads, report.notes.len()), (160, 160, 0));
    assert!(report.files <= 8, "{} files", report.files);
}

#[test]
fn no_kill_loses_an_acknowledged_record() {
    let dir = scratch();
    let mut promised = BTreeSet::new();
    // the full count is for `just soak`
    let rounds = if std::env::var_os("MOORLINE_SOAK").is_some() { 200 } else { 20 };
    for round in 0..rounds {
        let mut child = child(dir.path(), round * 1_000_000, 1_000_000);
        let mut seen = acknowledged(&mut child);
        // a different place each time; what is acknowledged until the kill arrives counts too
        promised.extend(seen.by_ref().take(1 + usize::try_from(round * 7 % 13).unwrap()));
        child.kill().unwrap();
        promised.extend(seen);
        child.wait().unwrap();
        let view = View::read(dir.path()).unwrap();
        for n in &promised {
            let job = view.job(entry(*n).job);
            let whole = job.is_some_and(|job| job.last().spec().is_some());
            assert!(whole, "round {round}: job {n} is lost");
        }
        assert_eq!(view.damaged, 0);
        sound(dir.path());
    }
    assert!(promised.len() >= 20);
}

#[test]
fn everything_is_private() {
    let dir = scratch();
    let place = dir.path().join("a/ledger");
    write_all_kinds(&Ledger::open(&place).unwrap());
    let mut files = 0;
    let mut todo = vec![place];
    while let Some(path) = todo.pop() {
        let meta = fs::metadata(&path).unwrap();
        let mode = meta.mode() & 0o7777;
        if meta.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            todo.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
            files += 1;
        }
    }
    assert_eq!(files, 1 + 1 + 8, "a segment, a claim, the payloads");
}

#[test]
fn a_place_where_others_may_write_is_refused() {
    let dir = scratch();
    for mode in [0o720, 0o702, 0o777, 0o1777] {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        let error = Ledger::open(dir.path()).unwrap_err();
        assert!(matches!(error, LedgerError::Unsafe { .. }), "{mode:o}: {error}");
        assert_eq!(error.kind(), Kind::Configuration);
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    Ledger::open(dir.path()).unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(Ledger::open(&file).is_err());
}

#[test]
fn another_users_place_is_refused() {
    if !root("another_users_place_is_refused") {
        return;
    }
    let dir = scratch();
    std::os::unix::fs::chown(dir.path(), Some(12_345), None).unwrap();
    let error = Ledger::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("belongs to user 12345"), "{error}");
}

#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    if !root("a_full_disk_is_named_and_loses_nothing") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs"])
        .arg(dir.path())
        .status()
        .unwrap();
    if !mounted.success() {
        // root of a container need not be allowed to mount
        let why = "a tmpfs cannot be mounted here";
        skip("a_full_disk_is_named_and_loses_nothing", "kernel-mount", why);
        return;
    }
    let full = std::panic::catch_unwind(|| fill(dir.path()));
    assert!(Command::new("umount").arg(dir.path()).status().unwrap().success());
    if let Err(panic) = full {
        std::panic::resume_unwind(panic);
    }
}

fn fill(dir: &Path) {
    let ledger = Ledger::open(dir).unwrap();
    let one = ledger.intend(&intent(1)).unwrap();
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![0; 32 << 10]).unwrap();
    let mut written = 0;
    // this kind has no payload, so it is the append itself that finds the disk full
    let error = loop {
        match ledger.cancelled(&one) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100_000, "the disk does not fill");
    };
    assert_eq!(error.kind(), Kind::NoSpace, "{error}");
    assert!(ledger.intend(&intent(2)).is_err_and(|error| error.kind() == Kind::NoSpace));
    let read = |n| View::read(dir).unwrap().job(entry(n).job).map(|job| job.last().history.len());
    assert_eq!((read(1), read(2)), (Some(written), None), "nothing half-written counts");
    sound(dir);
    fs::remove_file(&ballast).unwrap();
    ledger.cancelled(&one).unwrap();
    ledger.intend(&intent(2)).unwrap();
    assert_eq!((read(1), read(2)), (Some(written + 1), Some(0)));
    let report = sound(dir);
    assert_eq!(report.notes.len(), 1, "{report:#?}");
    assert!(report.notes[0].what.contains("torn tail"));
}

fn root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(test, "root", "needs root");
    }
    root
}

/// Says loudly that a test did not run; fails where its part is required.
fn skip(test: &str, part: &str, why: &str) {
    // a message that cannot be written is not worth a failure
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
    let required = std::env::var("MOORLINE_TESTS_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|p| p == part), "{test}: {part} is required, but {why}");
}
