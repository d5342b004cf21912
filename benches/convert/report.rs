//! Medians of what was measured, and ratios.

use serde_json::Value;

use crate::candidates::Candidate;
use crate::measure::Run;

/// All runs of all candidates, in the order of the rows.
pub struct Results<'a> {
    pub candidates: &'a [Candidate],
    pub runs: Vec<Vec<Run>>,
}

/// The middle of all; of an even number the mean of the two in the middle.
fn median(mut all: Vec<f64>) -> Option<f64> {
    all.sort_by(f64::total_cmp);
    let half = all.len() / 2;
    match all.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(all[half]),
        _ => Some(f64::midpoint(all[half - 1], all[half])),
    }
}

impl Results<'_> {
    /// The median of a row; `None` when it was left out.
    pub fn of(&self, name: &str, of: fn(&Run) -> f64) -> Option<f64> {
        median(self.rounds(name).map(of).collect())
    }

    /// The runs of a row; none when it was left out.
    fn rounds(&self, name: &str) -> impl Iterator<Item = &Run> {
        let row = self.candidates.iter().position(|c| c.name == name);
        row.into_iter().flat_map(|row| &self.runs[row])
    }

    pub fn wall(&self, name: &str) -> Option<f64> {
        self.of(name, |run| run.wall)
    }

    pub fn cpu(&self, name: &str) -> Option<f64> {
        self.of(name, |run| run.cpu)
    }

    /// A counter of a row that says its counters, from its last run: they are the same in each.
    pub fn counter(&self, name: &str, counter: &str) -> Option<u64> {
        self.rounds(name).last().map(|run| &run.counters[counter]).and_then(Value::as_u64)
    }

    /// CPU of everything that any conversion has to do; `None` when a part was left out.
    pub fn parts(&self) -> Option<f64> {
        ["sha256 of blobs", "sha256 of tars", "inflate", "tar2sqfs"]
            .iter()
            .map(|part| self.cpu(&format!("part: {part}")))
            .sum()
    }

    /// Prints a row for each candidate, and the ratios of CPU.
    pub fn table(&self) {
        println!(
            "\n| | wall s | CPU s | peak MiB | output MB | wall, times Moorline |\n\
             |---|---|---|---|---|---|"
        );
        let own = self.wall("moorline");
        for candidate in self.candidates {
            let name = candidate.name;
            let of = |of: fn(&Run) -> f64| self.of(name, of).unwrap_or_default();
            let (wall, cpu) = (of(|r| r.wall), of(|r| r.cpu));
            let (memory, output) = (of(|r| r.memory), of(|r| r.output));
            let times = own.map_or(String::new(), |own| format!("{:.2}", wall / own));
            println!("| {name} | {wall:.3} | {cpu:.2} | {memory:.0} | {output:.1} | {times} |");
        }
        match (self.cpu("moorline"), self.parts()) {
            (Some(own), Some(sum)) => {
                println!("\nCPU: {own:.2} s; its parts {sum:.2} s; {:.2} of them", own / sum);
            }
            _ => println!("\nCPU against the sum of its parts: some of them were not measured"),
        }
        if let (Some(own), Some(rebuilt)) = (self.cpu("moorline"), self.cpu("base rebuilt")) {
            println!("CPU of a rebuilt base: {:.2} of a cold conversion", rebuilt / own);
            let rounds = self.rounds("base rebuilt").zip(self.rounds("moorline"));
            let ratios: Vec<f64> = rounds.map(|(rebuilt, own)| rebuilt.cpu / own.cpu).collect();
            let all: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.3}")).collect();
            // both of a round were measured a moment apart
            let middle = median(ratios).unwrap_or_default();
            println!("round by round {}: median {middle:.3}", all.join(", "));
        }
    }
}
