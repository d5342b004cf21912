//! The bars that a conversion of the analysis image has to reach, one line each.
//!
//! ```text
//! bar: NAME: NUMBER of what was measured, at most|at least NUMBER: reached|NOT reached
//! bar: NAME: not measured (WHAT is missing)
//! ```

use std::path::Path;

use crate::image::TOP_BYTES;
use crate::report::Results;
use crate::{BLOCK, mb};

const TMPFS_MAGIC: u32 = 0x0102_1994;
/// What Moorline adds to every image (`.singularity.d`) and how tails of the top layer are padded
/// into groups: small beside what is compressed again when something known is not found.
const ADDED: u64 = 64_000;

/// A number and what it may be.
#[derive(Clone, Copy)]
enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

/// A line; `None` where a row was left out.
fn line(name: &str, unit: &str, value: Option<f64>, bar: Option<Bar>) -> String {
    let (Some(value), Some(bar)) = (value, bar) else {
        return format!("bar: {name}: not measured (a row that it needs was left out)");
    };
    let (reached, at) = match bar {
        Bar::AtLeast(least) => (value >= least, format!("at least {least:.2}")),
        Bar::AtMost(most) => (value <= most, format!("at most {most:.2}")),
    };
    let said = if reached { "reached" } else { "NOT reached" };
    format!("bar: {name}: {value:.3}{unit}, {at}{unit}: {said}")
}

/// Whether files of `dir` lie in memory.
fn in_memory(dir: &Path) -> bool {
    rustix::fs::statfs(dir).is_ok_and(|s| i128::from(s.f_type) == i128::from(TMPFS_MAGIC))
}

/// Those of the analysis image.
pub fn analysis(results: &Results<'_>, dir: &Path) {
    let times = |name: &str| Some(results.wall(name)? / results.wall("moorline")?);
    let of_cold = |cpu: Option<f64>| Some(results.cpu("moorline")? / cpu?);
    let output = |name: &str| results.of(name, |run| run.output);
    let memory = results.of("moorline", |run| run.memory * 1.048_576);
    let copied = |row: &str, times: f64| Some(Bar::AtMost(times * results.wall(row)? + 0.5));
    let top = results.wall("top layer changed");
    let rebuilt = results.cpu("base rebuilt").zip(results.cpu("moorline")).map(|(a, b)| a / b);
    let warm = results.wall("warm: by digest").map(|s| s * 1e3);
    let least = |n| Some(Bar::AtLeast(n));
    let most = |n| Some(Bar::AtMost(n));
    println!();
    for text in [
        line("cold against apptainer pull", " times", times("apptainer pull"), least(16.0)),
        line(
            "cold against apptainer build, zstd 3",
            " times",
            times("apptainer build zstd"),
            least(5.0),
        ),
        line("cold against crane+tar2sqfs", " times", times("crane+tar2sqfs"), least(2.7)),
        line(
            "output against tar2sqfs'",
            " MB",
            output("moorline"),
            output("crane+tar2sqfs").map(Bar::AtMost),
        ),
        line("cold CPU of the sum of its parts", "", of_cold(results.parts()), most(0.8)),
        if in_memory(dir) {
            line("top layer changed, 2 x cp + 0.5 s", " s", top, copied("cp of the SIF", 2.0))
        } else {
            let row = "cp and fsync of the SIF";
            line("top layer changed, 1.3 x (cp + fsync) + 0.5 s", " s", top, copied(row, 1.3))
        },
        counters(results),
        line("base rebuilt, CPU of a cold conversion's", "", rebuilt, most(0.55)),
        line("known digest", " ms", warm, most(30.0)),
        line("peak memory", " MB", memory, most(150.0)),
    ] {
        println!("{text}");
    }
}

/// The one of the image at the limits: the highest peak of both rows.
pub fn limits(results: &Results<'_>) {
    let rows = ["moorline", "moorline: blobs on disk"];
    let peaks = rows.iter().filter_map(|row| results.of(row, |run| run.memory * 1.048_576));
    let most = Some(Bar::AtMost(300.0));
    println!("\n{}", line("peak memory", " MB", peaks.reduce(f64::max), most));
}

/// With a changed top layer nothing else is fetched, inflated or compressed.
fn counters(results: &Results<'_>) -> String {
    let count = |name| results.counter("top layer changed", name);
    let all = ["layers_fetched", "layers_inflated", "bytes_compressed", "groups_mixed"].map(count);
    let [Some(fetched), Some(inflated), Some(compressed), Some(mixed)] = all else {
        return line("top layer changed, counters", "", None, None);
    };
    let most = TOP_BYTES + ADDED + mixed * u64::from(BLOCK);
    let reached = fetched <= 1 && inflated <= 1 && compressed <= most;
    let (compressed, most) = (mb(compressed), mb(most));
    format!(
        "bar: top layer changed, counters: {fetched} fetched and {inflated} inflated, at most 1; \
         {compressed:.2} MB compressed, at most {most:.2} with {mixed} mixed groups: {}",
        if reached { "reached" } else { "NOT reached" }
    )
}
