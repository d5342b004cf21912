//! 64 processes that want one image, some of them killed at random: one conversion is finished, by one
//! process, and everybody gets the same file.

#![allow(clippy::print_stderr, reason = "the counts are the result")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use moorline::oci::{Sha256Digest, SifDigest};

use crate::place::{Place, Random};
use crate::support::{am_root, have};

const MANY: usize = 64;

struct One {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    /// When it is killed.
    end: Option<Instant>,
    /// It works, and is to be killed at it.
    aimed: bool,
    code: Option<i32>,
}

impl One {
    fn began(&self) -> bool {
        fs::read_to_string(&self.stderr).unwrap().contains("converting ")
    }

    /// Whether it is gone now.
    fn is_over(&mut self) -> bool {
        if self.code.is_none()
            && let Some(status) = self.child.try_wait().unwrap()
        {
            self.code = Some(status.code().unwrap_or(-1));
        }
        self.code.is_some()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.end = None;
    }
}

/// What a round counted.
#[derive(Debug, Default)]
struct Round {
    killed: usize,
    /// Conversions that killed processes had begun.
    lost: usize,
    /// Conversions that were begun and finished by a process that was not killed.
    finished: usize,
}

fn round(random: &mut Random, before: &[&str]) -> Round {
    let mut place = Place::new(8 << 20);
    place.env.insert("MOORLINE_TEST_LEASE_MS".into(), "5000".into());
    let image = place.image();
    // so many of those who work are killed at it
    let mut aim = random.below(3);
    let mut all: Vec<One> = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(240);
    loop {
        if all.len() < MANY {
            let (stdout, stderr) = (
                place.path(&format!("{}.out", all.len())),
                place.path(&format!("{}.err", all.len())),
            );
            let child = place
                .command_behind(before, &["convert", &image, "--json"])
                .stdin(Stdio::null())
                .stdout(File::create(&stdout).unwrap())
                .stderr(File::create(&stderr).unwrap())
                .spawn()
                .unwrap();
            let delay = Duration::from_millis(random.next() % 400);
            let end = (random.below(4) == 0).then(|| Instant::now() + delay);
            all.push(One { child, stdout, stderr, end, aimed: false, code: None });
        }
        let mut left = MANY - all.len();
        for one in &mut all {
            if one.is_over() {
                continue;
            }
            left += 1;
            if aim > 0 && !one.aimed && one.began() {
                aim -= 1;
                one.aimed = true;
                one.end = Some(Instant::now() + Duration::from_millis(random.next() % 150));
            }
            if one.end.is_some_and(|end| end <= Instant::now()) {
                one.kill();
            }
        }
        if left == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "{left} processes do not end");
        std::thread::sleep(Duration::from_millis(3));
    }

    let mut counted = Round::default();
    let mut expected = None;
    for one in &all {
        let stdout = fs::read_to_string(&one.stdout).unwrap();
        let stderr = fs::read_to_string(&one.stderr).unwrap();
        match one.code {
            Some(0) => {
                let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
                let (path, sif) =
                    (answer["path"].as_str().unwrap(), answer["sif"].as_str().unwrap());
                let (path, sif) = expected.get_or_insert_with(|| (path.to_owned(), sif.to_owned()));
                assert_eq!(
                    (answer["path"].as_str(), answer["sif"].as_str()),
                    (Some(&**path), Some(&**sif))
                );
                let worked = answer["known"] == false;
                assert_eq!(worked, one.began(), "{stdout}{stderr}");
                counted.finished += usize::from(worked);
            }
            // 137: from a process namespace whose parent was killed
            Some(-1 | 137) => {
                counted.killed += 1;
                counted.lost += usize::from(one.began());
            }
            other => panic!("{other:?}\n{stdout}\n{stderr}"),
        }
    }
    let (path, sif) = expected.expect("somebody was not killed");
    assert_eq!(SifDigest::of(&fs::read(Path::new(&path)).unwrap()).to_string(), sif);
    assert!(counted.finished <= 1, "{counted:?}");
    assert!(counted.finished == 1 || counted.lost > 0, "{counted:?}");
    if before.is_empty() {
        place.is_clean();
    } else {
        // from here nobody can tell whether they live; after a day they go
        place.run(&["cache", "verify"]).exits(0);
    }
    counted
}

fn rounds(count: u64, seed: u64, before: &[&str]) {
    let (mut killed, mut lost) = (0, 0);
    for number in 0..count {
        let mut random = Random((seed + number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let counted = round(&mut random, before);
        killed += counted.killed;
        lost += counted.lost;
    }
    eprintln!(
        "{count} rounds of {MANY} processes: {killed} killed, {lost} of them while converting"
    );
    assert!(killed > 0 && (lost > 0 || count < 8), "nobody was killed at work");
}

fn soak(short: u64, long: u64) -> u64 {
    if std::env::var_os("MOORLINE_SOAK").is_some() { long } else { short }
}

#[test]
fn of_64_processes_that_want_one_image_one_converts() {
    rounds(soak(20, 200), 1, &[]);
}

/// As if on 64 machines: a process namespace each, where nobody can look another one up, so that only
/// heartbeats tell who lives. Simulated: the machines share one kernel and one clock.
#[test]
fn of_64_simulated_machines_that_want_one_image_one_converts() {
    if !have("root", "of_64_simulated_machines_that_want_one_image_one_converts", am_root()) {
        return;
    }
    rounds(
        soak(2, 20),
        1000,
        &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"],
    );
}
