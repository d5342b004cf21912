//! How long a conversion takes beside other programs that do it: `just bench-convert`.
//!
//! Each candidate runs once per round, in turn, as a process of its own under GNU time; printed are
//! medians and how much longer each takes than a cold `moorline convert`. What pulls, pulls from a
//! docker-registry on loopback that the bench starts over its own images, into an empty store or
//! without a cache. Moorline syncs what it stores, the others sync nothing.
//!
//! ```text
//! cargo bench --bench convert -- [--image small|analysis|tiny|huge|limits] [--mb N] [--files N]
//!                                [--rounds 3] [--dir DIR] [--threads 2] [--only NAME,NAME]
//!                                [--apptainer CMD] [--crane CMD] [--umoci CMD]
//! ```
//!
//! `small`, `analysis` (the default), `tiny` (many tiny files) and `huge` (few large ones) only set
//! size and number of files. `--dir` on a tmpfs measures without a disk. `limits` measures memory: 10^6 entries and a file of 10 GB, 64 threads.
//! CMD is put in a program's place, for one that lives in another tree.

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
mod registry;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use moorline::pin::Codec;
use moorline::stage::convert::{Work, convert, recipe};

use image::{Image, Shape, Variant};

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
    let text = |name: &str, default: &str| options.get(name).map_or(default, |v| v).to_owned();
    let kind = text("image", "analysis");
    let (size, files) = match kind.as_str() {
        "small" => (40, 1_500),
        "analysis" => (2_800, 75_000),
        "tiny" => (400, 400_000),
        "huge" => (3_000, 60),
        "limits" => (1_000, 1_000_000),
        other => panic!("--image {other}: there is no such image"),
    };
    let shape = |variant| Shape {
        bytes: number("mb", size) * 1_000_000,
        files: number("files", files),
        variant,
    };
    let limits = kind == "limits";
    let base = shape(if limits { Variant::Huge } else { Variant::Base });
    let dir = options.get("dir").map_or_else(default_dir, PathBuf::from);
    let image = image::open(&dir, base).expect("the image is made");
    let threads = number("threads", if limits { 64 } else { 2 });
    if let Some(out) = options.get("child") {
        child(&image, Path::new(out), threads);
        return;
    }
    let (top, rebuilt);
    let mut served = vec![("bench/base", &image)];
    if !limits {
        top = image::open(&dir, shape(Variant::Top)).expect("the image is made");
        rebuilt = image::open(&dir, shape(Variant::Rebuilt)).expect("the image is made");
        served.extend([("bench/top", &top), ("bench/rebuilt", &rebuilt)]);
    }
    let registry = if there("docker-registry") {
        Some(registry::start(&dir, &served).expect("the registry starts"))
    } else {
        println!("no docker-registry: only what reads the disk is measured");
        None
    };
    let plan = Plan {
        again: format!("--image {kind} --mb {} --files {}", base.bytes / 1_000_000, base.files),
        registry: registry.as_ref().map(|r| r.address.to_string()),
        limits,
        threads,
        programs: [text("apptainer", "apptainer"), text("crane", "crane"), text("umoci", "umoci")],
    };
    let only: Option<Vec<&str>> = options.get("only").map(|v| v.split(',').collect());
    println!(
        "image: {} layers, {:.1} MB compressed, {:.1} MB unpacked, {} files",
        image.blobs.len(),
        mb(image.packed),
        mb(image.unpacked),
        base.files
    );
    let candidates: Vec<Candidate> = candidates(&image, &dir, &plan)
        .into_iter()
        .filter(|c| only.as_ref().is_none_or(|only| only.contains(&c.name)))
        .filter(|c| {
            let missing = c.needs.iter().find(|program| !there(program));
            if c.pulls && plan.registry.is_none() {
                return false;
            }
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
    needs: Vec<String>,
    pulls: bool,
    /// For `sh -c`, before the clock starts.
    before: String,
    /// For `sh -c`.
    script: String,
    output: PathBuf,
}

/// What all candidates need to know.
struct Plan {
    /// Options with which this program finds the same image.
    again: String,
    registry: Option<String>,
    limits: bool,
    threads: u64,
    /// apptainer, crane, umoci.
    programs: [String; 3],
}

fn candidates(image: &Image, dir: &Path, plan: &Plan) -> Vec<Candidate> {
    let own = std::env::current_exe().expect("this program's path");
    let (own, moorline) = (own.display(), env!("CARGO_BIN_EXE_moorline"));
    let at = image.dir.display().to_string();
    let output = |name: &str| image.dir.join(format!("out.{}", name.replace([' ', ':', '/'], "-")));
    let candidate = |name, needs: &[&str], pulls, before: &str, script: &dyn Fn(&str) -> String| {
        let output = output(name);
        let needs = needs.iter().map(|&program| program.to_owned()).collect();
        let script = script(&output.display().to_string());
        Candidate { name, needs, pulls, before: before.to_owned(), script, output }
    };
    let threads = plan.threads;
    let host = plan.registry.clone().unwrap_or_default();
    let blobs: Vec<String> = image.blobs.iter().map(|b| b.display().to_string()).collect();
    let blobs = blobs.join(" ");
    let [apptainer, crane, umoci] = &plan.programs;
    // the SIF stays in the store; one more name lets its size be seen
    let pull = |store: &str, name: &str, out: &str| {
        format!(
            "MOORLINE_CACHE={at}/{store} {moorline} -q convert --threads {threads} \
             {host}/bench/{name} >{at}/path && ln -f $(cat {at}/path) {out}"
        )
    };
    let empty = format!("rm -rf {at}/store");
    // a copy: the store uses no file that has another name beside its own
    let first = pull("store", "base:latest", &format!("{at}/link"));
    let known = format!("{empty}; {first} && cp {at}/link {at}/known && rm {at}/link");
    let mksquashfs = format!("-comp zstd -Xcompression-level {LEVEL} -b {BLOCK}");
    let tar2sqfs = format!("tar2sqfs -q -f -j 2 -c zstd -X level={LEVEL} -b {BLOCK}");
    let flat = format!("{at}/flat.tar");
    let flatten =
        format!("test -e {flat} || {crane} export --insecure {host}/bench/base:latest {flat}");
    let tars = format!("for blob in {blobs}; do gzip -dc $blob; done");
    let mut all = vec![
        candidate("moorline", &[], true, &empty, &|out| pull("store", "base:latest", out)),
        candidate("moorline: blobs on disk", &[], false, "", &|out| {
            format!(
                "{own} {} --dir {} --threads {threads} --child {out}",
                plan.again,
                dir.display()
            )
        }),
    ];
    if plan.limits {
        return all;
    }
    all.extend([
        candidate("warm: by digest", &[], true, &known, &|out| {
            pull("store", &format!("base@{}", image.source.manifest), out)
        }),
        candidate("top layer changed", &[], true, &known, &|out| pull("store", "top:latest", out)),
        candidate("base rebuilt", &[], true, &known, &|out| pull("store", "rebuilt:latest", out)),
        // what an incremental conversion cannot be faster than: the bytes of the SIF again
        candidate("cp of the SIF", &[], true, &known, &|out| format!("cp {at}/known {out}")),
        candidate("cp and fsync of the SIF", &["sync"], true, &known, &|out| {
            format!("cp {at}/known {out} && sync {out}")
        }),
        candidate("crane+tar2sqfs", &[crane, "tar2sqfs"], true, "", &|out| {
            format!("{crane} export --insecure {host}/bench/base:latest - | {tar2sqfs} {out}")
        }),
        candidate("apptainer build zstd", &[apptainer], true, "", &|out| {
            format!(
                "APPTAINER_NOHTTPS=1 APPTAINER_DISABLE_CACHE=1 {apptainer} -q build -F \
                 --mksquashfs-args '{mksquashfs}' {out} docker://{host}/bench/base:latest"
            )
        }),
        candidate("apptainer pull", &[apptainer], true, "", &|out| {
            format!(
                "APPTAINER_NOHTTPS=1 {apptainer} -q pull -F --disable-cache {out} \
                 docker://{host}/bench/base:latest"
            )
        }),
        candidate(
            "umoci+mksquashfs",
            &[umoci, "mksquashfs"],
            false,
            &format!("rm -rf {at}/bundle"),
            &|out| {
                format!(
                    "{umoci} unpack --rootless --image {at}/oci:bench {at}/bundle >/dev/null && \
                 mksquashfs {at}/bundle/rootfs {out} -quiet -no-progress -noappend \
                 -processors 2 {mksquashfs}; rm -rf {at}/bundle"
                )
            },
        ),
        // what any conversion of this image has to do, by programs that do one thing
        candidate("part: sha256 of blobs", &["sha256sum"], false, "", &|_| {
            format!("sha256sum {blobs}")
        }),
        candidate(
            "part: sha256 of tars",
            &["sha256sum"],
            false,
            &format!("test -e {at}/tars || ({tars}) >{at}/tars"),
            &|_| format!("sha256sum {at}/tars"),
        ),
        candidate("part: inflate", &["libdeflate-gunzip"], false, "", &|_| {
            format!("for blob in {blobs}; do libdeflate-gunzip -c <$blob; done >/dev/null")
        }),
        candidate("part: tar2sqfs", &["tar2sqfs", crane], true, &flatten, &|out| {
            format!("{tar2sqfs} {out} <{flat}")
        }),
    ]);
    all
}

/// Whether the first word of a command can be found.
fn there(command: &str) -> bool {
    let program = command.split(' ').next().unwrap_or_default();
    let found = Command::new("sh").args(["-c", "command -v \"$0\" >/dev/null", program]).status();
    found.is_ok_and(|status| status.success())
}

#[derive(Clone, Copy, Debug)]
struct Run {
    wall: f64,
    cpu: f64,
    /// Peak of the largest process, in MiB.
    memory: f64,
    output: f64,
}

fn measure(candidate: &Candidate) -> Run {
    let _ = fs::remove_file(&candidate.output);
    let ready = Command::new("sh").args(["-c", &candidate.before]).status();
    assert!(ready.is_ok_and(|status| status.success()), "{}: {}", candidate.name, candidate.before);
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
    let cpu = |name: &str| {
        let at = candidates.iter().position(|c| c.name == name)?;
        Some(median(&results[at], |r| r.cpu))
    };
    let parts = ["blobs", "tars"].map(|of| cpu(&format!("part: sha256 of {of}")));
    let parts = parts.into_iter().chain([cpu("part: inflate"), cpu("part: tar2sqfs")]);
    match (cpu("moorline"), parts.sum::<Option<f64>>()) {
        (Some(own), Some(sum)) => {
            println!("\nCPU: {own:.2} s; its parts {sum:.2} s; {:.2} of them", own / sum);
        }
        _ => println!("\nCPU against the sum of its parts: some of them were not measured"),
    }
    if let (Some(own), Some(rebuilt)) = (cpu("moorline"), cpu("base rebuilt")) {
        println!("CPU of a rebuilt base: {:.2} of a cold conversion", rebuilt / own);
    }
    let wall = |name: &str| {
        let at = candidates.iter().position(|c| c.name == name)?;
        Some(median(&results[at], |r| r.wall))
    };
    if let Some(top) = wall("top layer changed") {
        let bars = [("cp of the SIF", 2.0), ("cp and fsync of the SIF", 1.3)];
        for (of, times) in bars {
            if let Some(copy) = wall(of) {
                let bar = times * copy + 0.5;
                println!("top layer changed: {top:.2} s; {times} x {of} + 0.5 s: {bar:.2} s");
            }
        }
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
