//! What a large ledger costs: `just bench-ledger`.
//!
//! ```text
//!  generate.rs        --jobs ended jobs, 5 records each, of 4 writers; the newest 100 with payloads and directories
//!  rebuild            jobs --last 1 without an index
//!  warm               each verb --rounds times, the median; the highest memory of all
//!  refresh            jobs --last 1 after 100,000 further records of another writer
//!  without an index   one whole id; a ledger of 10,000 jobs
//!  submit             intent and answer recorded in an empty ledger, and in the large one
//! ```
//!
//! Each verb is a process of its own under GNU time. No engine is asked: all jobs have ended.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a program that prints measurements"
)]

mod generate;
#[path = "../shared/options.rs"]
mod options;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use generate::{Appender, Job, RECORDS, Template};
use moorline::ledger::{Conversions, Ledger};

const USAGE: &str = "\
just bench-ledger [OPTIONS]: what verbs cost on a large ledger

  --jobs N      how many jobs [1000000]; about 4 KB each
  --rounds N    how often each verb is run: the median is printed [21]
  --dir DIR     where the ledger and its index are made and removed [a temporary directory]
  --program P   measure this moorline, not the one that was just built
  --help        this text";

/// The newest jobs are written as the program writes them.
const REAL: u64 = 100;
const WRITERS: u64 = 4;

fn main() {
    let options = options::read(USAGE, &["jobs", "rounds", "dir", "program"]);
    let jobs: u64 = options.number("jobs").unwrap_or(1_000_000).max(1000);
    let rounds: usize = options.number("rounds").unwrap_or(21);
    let folder = match options.get("dir") {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    };
    let folder = folder.expect("a directory");
    let program = options.get("program").unwrap_or(env!("CARGO_BIN_EXE_moorline"));
    let bench = Bench { root: folder.path().to_owned(), program: program.into() };
    let template = Template::new(folder.path());

    println!("ledger of {jobs} jobs, {} records\n", jobs * RECORDS);
    println!("| | median ms | highest MiB | bar | |\n|---|---|---|---|---|");
    let began = Instant::now();
    let bytes = bench.make("large", &template, jobs);
    eprintln!("made in {:.0} s", began.elapsed().as_secs_f64());
    let large = bench.at("large", "index");
    // the first look makes the index
    let (rebuild, memory) = large.run(&["jobs", "--last", "1"]);
    let rate = (jobs * RECORDS) as f64 / rebuild;
    println!(
        "| index made anew: {rebuild:.1} s, {rate:.0} records/s | | {memory} | minutes, 100 MiB | {} |",
        reached(rebuild < 600.0 && memory < 100)
    );

    let newest = Job(jobs - 1).entry().job.to_string();
    let manifest = Job(jobs - 1).manifest().to_string();
    let short = &manifest[.."sha256:".len() + 8];
    let verbs: [(&[&str], f64); 7] = [
        (&["jobs", "--last", "20"], 30.0),
        (&["audit", "job", &newest], 30.0),
        (&["status", &newest], 30.0),
        (&["wait", &newest], 30.0),
        (&["status", "last"], 30.0),
        (&["audit", "image", &manifest], 50.0),
        (&["audit", "image", short], 50.0),
    ];
    for (verb, bar) in verbs {
        large.row(
            &verb
                .join(" ")
                .replace(&newest, "JOB")
                .replace(&manifest, "IMAGE")
                .replace(short, "IMAGE, shortened"),
            verb,
            rounds,
            bar,
        );
    }
    println!(
        "| size: ledger {:.0} MB, index {:.0} MB ({:.0} bytes a job) | | | | |",
        bytes as f64 / 1e6,
        bench.index_size() as f64 / 1e6,
        bench.index_size() as f64 / jobs as f64
    );

    let mut rates = Vec::new();
    let mut memory = 0;
    for round in 0..3 {
        let mut more = Appender::new(&bench.root.join("large"), 1000 + round);
        for n in 0..20_000 {
            more.job(&template, Job(jobs + round * 20_000 + n));
        }
        drop(more);
        let (seconds, high) = large.run(&["jobs", "--last", "1"]);
        rates.push(20_000.0 * RECORDS as f64 / seconds);
        memory = memory.max(high);
    }
    rates.sort_by(f64::total_cmp);
    println!(
        "| refresh by 100,000 records: {:.0} records/s (median of 3) | | {memory} | 100,000 | {} |",
        rates[1],
        reached(rates[1] >= 1e5 && memory < 100)
    );

    let fresh = bench.at("large", "nothing-here");
    fresh.row("without an index: status JOB", &["status", &newest], rounds.min(5), 50.0);
    let made = bench.root.join("cache-nothing-here/moorline/ledger-index");
    assert!(!made.exists(), "no index was needed");
    bench.make("small", &template, 10_000);
    let small = bench.at("small", "off");
    small.row(
        "10,000 jobs, no index: jobs --last 20",
        &["jobs", "--last", "20"],
        rounds.min(5),
        2000.0,
    );

    let empty = bench.submissions("empty", 2_000_000_000);
    let full = bench.submissions("large", 2_100_000_000);
    println!("| submit's records in an empty ledger | {empty:.2} | | | |");
    println!(
        "| the same in the large one | {full:.2} | | the same | {} |",
        reached(full < empty * 1.5 + 2.0)
    );
}

fn reached(yes: bool) -> &'static str {
    if yes { "reached" } else { "NOT reached" }
}

struct Bench {
    root: PathBuf,
    program: PathBuf,
}

impl Bench {
    /// Makes a ledger and says how large it is.
    fn make(&self, name: &str, template: &Template, jobs: u64) -> u64 {
        let dir = self.root.join(name);
        let mut writers: Vec<Appender> =
            (0..WRITERS).map(|number| Appender::new(&dir, number)).collect();
        for n in 0..jobs - REAL {
            // each for a while, as processes do
            let which = usize::try_from(n / 500 % WRITERS).expect("few");
            writers[which].job(template, Job(n));
        }
        let bytes = writers.iter().map(|writer| writer.bytes).sum();
        drop(writers);
        let jobs_dir = self.root.join("state/moorline/jobs");
        let ledger = Ledger::open(&dir).expect("a ledger").with_jobs(&jobs_dir);
        for n in jobs - REAL..jobs {
            let control = jobs_dir.join(Job(n).entry().job.to_string()).join("control");
            fs::DirBuilder::new().recursive(true).mode(0o700).create(control).expect("one");
            Job(n).write_real(&ledger);
        }
        bytes
    }

    fn at<'b>(&'b self, ledger: &'b str, index: &'b str) -> Place<'b> {
        Place { bench: self, ledger, index }
    }

    fn index_size(&self) -> u64 {
        let names = fs::read_dir(self.root.join("index")).expect("there is an index");
        names.map(|entry| entry.expect("one").metadata().expect("one").len()).sum()
    }

    /// Median milliseconds of what a submission records: a ledger is opened, intent and answer are written.
    fn submissions(&self, ledger: &str, from: u64) -> f64 {
        let mut walls: Vec<f64> = (0..15)
            .map(|n| {
                let began = Instant::now();
                let dir = self.root.join(ledger);
                let ledger = Ledger::open(&dir).expect("a ledger");
                let known = Conversions::read(&dir).expect("it is read");
                assert!(!known.made(&moorline::oci::Sha256Digest::of(b"none")));
                Job(from + n).write_real(&ledger);
                began.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        walls.sort_by(f64::total_cmp);
        walls[walls.len() / 2]
    }
}

struct Place<'b> {
    bench: &'b Bench,
    ledger: &'b str,
    /// A directory, or `off`; `nothing-here`: the usual place, where no index was made yet.
    index: &'b str,
}

impl Place<'_> {
    fn row(&self, what: &str, verb: &[&str], rounds: usize, bar: f64) {
        let mut walls = Vec::new();
        let mut memory = 0;
        for _ in 0..rounds.max(1) {
            let (seconds, high) = self.run(verb);
            walls.push(seconds * 1e3);
            memory = memory.max(high);
        }
        walls.sort_by(f64::total_cmp);
        let median = walls[walls.len() / 2];
        let all = reached(median <= bar && memory < 100);
        println!("| {what} | {median:.1} | {memory} | {bar:.0} ms | {all} |");
    }

    /// Seconds and MiB of one run.
    fn run(&self, verb: &[&str]) -> (f64, u64) {
        let root = &self.bench.root;
        let said = root.join("time");
        let mut command = Command::new("/usr/bin/time");
        command.args(["-f", "%M", "-o"]).arg(&said).arg(&self.bench.program).args(verb);
        command.env_clear().env("HOME", root).env("PATH", "/nowhere");
        command.env("XDG_STATE_HOME", root.join("state"));
        command.env("XDG_CACHE_HOME", root.join(format!("cache-{}", self.index)));
        command.env("MOORLINE_LEDGER", root.join(self.ledger));
        match self.index {
            "off" => _ = command.env("MOORLINE_INDEX", "off"),
            "nothing-here" => {}
            name => _ = command.env("MOORLINE_INDEX", root.join(name)),
        }
        command.stdout(Stdio::null());
        let began = Instant::now();
        let output = command.output().expect("GNU time is there");
        let seconds = began.elapsed().as_secs_f64();
        assert!(output.status.success(), "{verb:?}: {}", String::from_utf8_lossy(&output.stderr));
        (seconds, kib(&said) / 1024)
    }
}

fn kib(said: &Path) -> u64 {
    let text = fs::read_to_string(said).expect("time wrote it");
    text.trim().parse().expect("a number")
}
