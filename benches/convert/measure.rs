//! Runs a candidate under GNU time.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::candidates::Candidate;

/// What one run took.
pub struct Run {
    pub wall: f64,
    /// User and system time.
    pub cpu: f64,
    /// Peak of the largest process, in MiB.
    pub memory: f64,
    /// Size of what it made, in MB.
    pub output: f64,
    /// `counters` of `moorline convert --json`.
    pub counters: Value,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wall, cpu, memory, output, .. } = self;
        write!(f, "{wall:.3} s, CPU {cpu:.2} s, peak {memory:.0} MiB, output {output:.1} MB")
    }
}

pub fn run(candidate: &Candidate) -> Run {
    let _ = fs::remove_file(&candidate.output);
    let ready = Command::new("sh").args(["-c", &candidate.before]).status();
    assert!(ready.is_ok_and(|status| status.success()), "{}: {}", candidate.name, candidate.before);
    // what was made ready is not to be written while the clock runs
    let _ = Command::new("sync").status();
    let start = Instant::now();
    let done = Command::new("/usr/bin/time")
        .args(["-q", "-f", "measured %U %S %M", "sh", "-c", &candidate.script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .expect("GNU time is installed");
    let wall = start.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{}: {text}", candidate.name);
    let line = text.lines().find_map(|l| l.strip_prefix("measured ")).expect("time's line");
    let numbers: Vec<f64> = line.split(' ').map(|n| n.parse().expect("a number")).collect();
    // what it made is a file of the given name, or what its JSON says
    let said: Value = serde_json::from_slice(&done.stdout).unwrap_or_default();
    let made = said["path"].as_str().map_or(candidate.output.as_path(), Path::new);
    let output = crate::mb(fs::metadata(made).map_or(0, |m| m.len()));
    let _ = fs::remove_file(&candidate.output);
    let (cpu, memory) = (numbers[0] + numbers[1], numbers[2] / 1024.0);
    Run { wall, cpu, memory, output, counters: said["counters"].clone() }
}

/// Whether the first word of a command can be found.
pub fn there(command: &str) -> bool {
    let program = command.split(' ').next().unwrap_or_default();
    let found = Command::new("sh").args(["-c", "command -v \"$0\" >/dev/null", program]).status();
    found.is_ok_and(|status| status.success())
}
