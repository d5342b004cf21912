//! How long conversions take beside other programs that do them: `just bench-convert`.
//!
//! Each candidate runs once per round, in turn, as a process of its own under GNU time; printed are
//! medians, how much longer each takes than a cold `moorline convert`, and which bars are reached.
//! What pulls, pulls from a docker-registry on loopback that the bench starts over its own images,
//! into an empty store or without a cache. Moorline syncs what it stores, the others sync nothing.
//!
//! [`USAGE`] has the options.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "a program that prints measurements of made-up bytes"
)]

mod bars;
mod candidates;
mod image;
mod measure;
#[path = "../shared/options.rs"]
mod options;
mod registry;
mod report;

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use moorline::pin::Codec;
use moorline::stage::convert::{Work, convert, recipe};

use candidates::{Candidate, Plan, candidates};
use image::{Image, Shape, Variant};
use measure::{Run, there};
use options::Options;
use report::Results;

const LEVEL: i32 = 3;
const BLOCK: u32 = 128 << 10;

const USAGE: &str = "\
just bench-convert [OPTIONS]: conversions beside other programs that do them

  --image NAME,...  which images, of these; else the first four, one after the other
                      small      40 MB, 1,500 files
                      analysis   2.8 GB, 100,000 files: the image that the bars are for
                      tiny       400 MB, 400,000 files
                      huge       3 GB, 60 files
                      limits     a file of 10 GB, 1,000,000 files, 64 threads: memory alone
  --mb N            size of the one image, in MB
  --files N         how many files it has
  --rounds N        how often each row is measured: medians are printed [3]
  --only ROW,...    only these rows, by their names in the table
  --threads N       of Moorline [2; limits: 64]
  --dir DIR         where images are kept and outputs are made; a tmpfs measures without a disk
  --apptainer CMD, --crane CMD, --umoci CMD
                    in the program's place, for one that lives in another tree
  --help            this text

It needs GNU time, and docker-registry for everything that pulls. Programs that are not found are
left out, by name.";

const OPTIONS: [&str; 10] =
    ["image", "mb", "files", "rounds", "only", "threads", "dir", "apptainer", "crane", "umoci"];

/// Its size in MB and its number of files.
fn kind(name: &str) -> Option<(u64, u64)> {
    Some(match name {
        "small" => (40, 1_500),
        "analysis" => (2_800, 100_000),
        "tiny" => (400, 400_000),
        "huge" => (3_000, 60),
        "limits" => (1_000, 1_000_000),
        _ => return None,
    })
}

fn main() {
    // the bench starts itself with --child to measure a conversion without a store
    let options = options::read(USAGE, &[&OPTIONS[..], &["child"]].concat());
    let images: Vec<&str> =
        options.get("image").unwrap_or("small,analysis,tiny,huge").split(',').collect();
    if let Some(unknown) = images.iter().find(|name| kind(name).is_none()) {
        options::fail(&format!("--image {unknown}: there is no such image\n\n{USAGE}"));
    }
    if images.len() > 1 && ["mb", "files"].iter().any(|name| options.get(name).is_some()) {
        options::fail("--mb and --files are for one image: name it with --image");
    }
    for name in images {
        bench(name, &options);
    }
}

/// Makes an image and measures everything with it.
fn bench(name: &str, options: &Options) {
    let (size, files) = kind(name).expect("it was looked at");
    let (size, files) =
        (options.number("mb").unwrap_or(size), options.number("files").unwrap_or(files));
    if size == 0 || files == 0 {
        options::fail("--mb and --files: an image has at least one of each");
    }
    let shape = |variant| Shape { bytes: size * 1_000_000, files, variant };
    let limits = name == "limits";
    let dir = options.get("dir").map_or_else(default_dir, PathBuf::from);
    let base = shape(if limits { Variant::Huge } else { Variant::Base });
    let image = image::open(&dir, base).expect("the image is made");
    let threads = options.number("threads").unwrap_or(if limits { 64 } else { 2 });
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
    let program = |name: &str| options.get(name).unwrap_or(name).to_owned();
    let plan = Plan {
        again: format!("--image {name} --mb {size} --files {files}"),
        registry: registry.as_ref().map(|r| r.address.to_string()),
        limits,
        threads,
        programs: ["apptainer", "crane", "umoci"].map(program),
    };
    println!(
        "\nimage {name}: {} layers, {:.1} MB compressed, {:.1} MB unpacked, {files} files",
        image.blobs.len(),
        mb(image.packed),
        mb(image.unpacked),
    );
    let candidates = wanted(candidates(&image, &dir, &plan), options, registry.is_some());
    let mut runs: Vec<Vec<Run>> = candidates.iter().map(|_| Vec::new()).collect();
    for round in 1..=options.number("rounds").unwrap_or(3) {
        for (candidate, runs) in candidates.iter().zip(&mut runs) {
            let run = measure::run(candidate);
            eprintln!("{name}, round {round}: {:<28} {run}", candidate.name);
            runs.push(run);
        }
    }
    candidates::clean(&image);
    let results = Results { candidates: &candidates, runs };
    results.table();
    if kind(name) != Some((size, files)) {
        println!("(the bars are for another size)");
    }
    match name {
        "analysis" => bars::analysis(&results, &dir),
        "limits" => bars::limits(&results),
        _ => println!("the bars are the analysis image's"),
    }
}

/// Those that were asked for and can run; says what is left out.
fn wanted(all: Vec<Candidate>, options: &Options, registry: bool) -> Vec<Candidate> {
    let only: Option<Vec<&str>> = options.get("only").map(|v| v.split(',').collect());
    if let Some(unknown) = only.iter().flatten().find(|name| all.iter().all(|c| c.name != **name)) {
        options::fail(&format!("--only {unknown}: there is no such row"));
    }
    all.into_iter()
        .filter(|c| only.as_ref().is_none_or(|only| only.contains(&c.name)))
        .filter(|c| {
            let missing = c.needs.iter().find(|program| !there(program));
            if let Some(program) = missing {
                println!("left out: {} ({program} is not installed)", c.name);
            }
            missing.is_none() && (registry || !c.pulls)
        })
        .collect()
}

fn default_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-convert")
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
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
