//! How long a conversion takes beside other programs that do it: `just bench-convert`.
//!
//! Each candidate runs once per round, in turn, as a process of its own under GNU time; printed are
//! medians and how much longer each takes than Moorline. The image's blobs lie on this disk for
//! all of them, so nothing is downloaded; nobody's output is synced.
//!
//! ```text
//! cargo bench --bench convert -- [--mb 2800] [--files 75000] [--rounds 3] [--dir DIR] [--threads N]
//!                                [--only NAME,NAME]
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "a program that prints measurements of made-up bytes"
)]

mod image;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use moorline::pin::Codec;
use moorline::stage::convert::{Work, convert, recipe};

use image::{Image, Shape};

const LEVEL: i32 = 3;
const BLOCK: u32 = 128 << 10;

fn main() {
    let mut options = BTreeMap::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        // cargo adds it
        if arg != "--bench" {
            let value = args.next().unwrap_or_default();
            options.insert(arg.trim_start_matches('-').to_owned(), value);
        }
    }
    let number = |name: &str, default: u64| -> u64 {
        options.get(name).map_or(default, |v| v.parse().expect("a number"))
    };
    let shape = Shape { bytes: number("mb", 2800) * 1_000_000, files: number("files", 75_000) };
    let dir = options.get("dir").map_or_else(default_dir, PathBuf::from);
    let image = image::open(&dir, shape).expect("the image is made");
    if let Some(out) = options.get("child") {
        child(&image, Path::new(out), number("threads", 2));
        return;
    }
    let only: Option<Vec<&str>> = options.get("only").map(|v| v.split(',').collect());
    println!(
        "image: {} layers, {:.1} MB compressed, {:.1} MB unpacked, {} files",
        image.blobs.len(),
        mb(image.packed),
        mb(image.unpacked),
        shape.files
    );
    let candidates: Vec<Candidate> = candidates(&image, &dir, shape, number("threads", 2))
        .into_iter()
        .filter(|c| only.as_ref().is_none_or(|only| only.contains(&c.name)))
        .filter(|c| {
            let missing = c.needs.iter().find(|program| !there(program));
            if let Some(program) = missing {
                println!("left out: {} ({program} is not installed)", c.name);
            }
            missing.is_none()
        })
        .collect();
    let mut results: Vec<Vec<Run>> = candidates.iter().map(|_| Vec::new()).collect();
    for round in 1..=number("rounds", 3) {
        for (candidate, runs) in candidates.iter().zip(&mut results) {
            let run = measure(candidate);
            eprintln!("round {round}: {:<28} {run:?}", candidate.name);
            runs.push(run);
        }
    }
    report(&candidates, &results);
}

fn default_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-convert")
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// A way to make the output from the image.
struct Candidate {
    name: &'static str,
    needs: &'static [&'static str],
    /// For `sh -c`.
    script: String,
    output: PathBuf,
}

fn candidates(image: &Image, dir: &Path, shape: Shape, threads: u64) -> Vec<Candidate> {
    let own = std::env::current_exe().expect("this program's path");
    let at = image.dir.display();
    let output = |name: &str| image.dir.join(format!("out.{name}"));
    let candidate = |name, needs, script: &dyn Fn(&str) -> String| {
        let output = output(name);
        Candidate { name, needs, script: script(&output.display().to_string()), output }
    };
    let (mb, files, dir) = (shape.bytes / 1_000_000, shape.files, dir.display());
    let blobs: Vec<String> = image.blobs.iter().map(|b| b.display().to_string()).collect();
    vec![
        candidate("moorline", &[], &|out| {
            format!(
                "{} --mb {mb} --files {files} --dir {dir} --threads {threads} --child {out}",
                own.display()
            )
        }),
        candidate("crane+tar2sqfs", &["crane", "tar2sqfs"], &|out| {
            format!(
                "crane export - - <{at}/docker | tar2sqfs -q -f -j 2 -c zstd -X level={LEVEL} -b {BLOCK} {out}"
            )
        }),
        candidate("apptainer-zstd", &["apptainer"], &|out| {
            format!(
                "apptainer -q build -F --mksquashfs-args '-comp zstd -Xcompression-level {LEVEL}' {out} oci:{at}/oci"
            )
        }),
        candidate("apptainer", &["apptainer"], &|out| {
            format!("apptainer -q build -F {out} oci:{at}/oci")
        }),
        // what any conversion of this image has to do, by programs that do one thing
        candidate("part: gzip -dc", &["gzip"], &|_| {
            format!("gzip -dc {} >/dev/null", blobs.join(" "))
        }),
        candidate("part: sha256sum", &["sha256sum"], &|_| format!("sha256sum {}", blobs.join(" "))),
    ]
}

fn there(program: &str) -> bool {
    let quiet = |c: &mut Command| c.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    quiet(Command::new(program).arg("--version"))
}

#[derive(Clone, Copy, Debug)]
struct Run {
    wall: f64,
    cpu: f64,
    /// Peak of the largest process.
    memory: f64,
    output: f64,
}

fn measure(candidate: &Candidate) -> Run {
    let _ = fs::remove_file(&candidate.output);
    let start = Instant::now();
    let done = Command::new("/usr/bin/time")
        .args(["-q", "-f", "measured %U %S %M", "sh", "-c", &candidate.script])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .expect("GNU time is installed");
    let wall = start.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{}: {text}", candidate.name);
    let line = text.lines().find_map(|l| l.strip_prefix("measured ")).expect("time's line");
    let numbers: Vec<f64> = line.split(' ').map(|n| n.parse().expect("a number")).collect();
    let output = fs::metadata(&candidate.output).map_or(0, |m| m.len());
    let _ = fs::remove_file(&candidate.output);
    Run { wall, cpu: numbers[0] + numbers[1], memory: numbers[2] / 1024.0, output: mb(output) }
}

fn report(candidates: &[Candidate], results: &[Vec<Run>]) {
    let median = |runs: &[Run], of: fn(&Run) -> f64| {
        let mut all: Vec<f64> = runs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    println!(
        "\n| | wall s | CPU s | peak MiB | output MB | wall, times Moorline |\n|---|---|---|---|---|---|"
    );
    let first = results.first().map_or(1.0, |runs| median(runs, |r| r.wall));
    for (candidate, runs) in candidates.iter().zip(results) {
        let wall = median(runs, |r| r.wall);
        println!(
            "| {} | {wall:.2} | {:.2} | {:.0} | {:.1} | {:.2} |",
            candidate.name,
            median(runs, |r| r.cpu),
            median(runs, |r| r.memory),
            median(runs, |r| r.output),
            wall / first
        );
    }
}

/// One conversion, as the process that is measured.
fn child(image: &Image, out: &Path, threads: u64) {
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(out);
    let file = file.as_mut().expect("the output can be made");
    let mut open = |n: usize| -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(&image.blobs[n])?))
    };
    let recipe = recipe(Codec::Zstd, LEVEL, BLOCK);
    let threads = NonZeroUsize::new(threads as usize).expect("a thread");
    let report =
        convert(&image.source, &recipe, Work::new(threads), &mut open, file).expect("it converts");
    println!("{}", report.sif);
}
