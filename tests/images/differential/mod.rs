//! Differential test of the layer reader: generated archives through our reader and merge, GNU tar,
//! bsdtar and umoci. Each gives the same tree, or we refuse the archive, or a rule of `docs/tar.md`
//! says by name why they differ.
//!
//! `MOORLINE_DIFFERENTIAL=SEED` runs one archive and leaves it in `target/differential/SEED.tar`.

mod block;
mod generator;
mod images;
mod readers;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use self::generator::{Archive, Trait};
use self::readers::{IMPLIED, Tool, Tree, show};
use self::rules::{Field, RULES};

/// One difference between ours and a tool's tree, with both sides as text.
struct Difference {
    field: Field,
    text: String,
}

#[derive(Default)]
struct Counts {
    archives: u64,
    /// Archives that we read and all tools read alike.
    agreed: u64,
    /// By what we say of them, with the names taken out.
    refused: BTreeMap<String, u64>,
    /// By rule.
    known: BTreeMap<&'static str, u64>,
    /// How often a trait was in an archive, and how often we read such an archive.
    traits: BTreeMap<Trait, (u64, u64)>,
    failures: Vec<String>,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.archives += other.archives;
        self.agreed += other.agreed;
        for (why, count) in other.refused {
            *self.refused.entry(why).or_default() += count;
        }
        for (rule, count) in other.known {
            *self.known.entry(rule).or_default() += count;
        }
        for (name, (seen, read)) in other.traits {
            let entry = self.traits.entry(name).or_default();
            *entry = (entry.0 + seen, entry.1 + read);
        }
        self.failures.extend(other.failures);
    }
}

/// What differs between our tree and a tool's.
fn differences(ours: &Tree, theirs: &Tree) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut add = |path: &[u8], field, text: String| {
        let field = if path.is_empty() { Field::Root } else { field };
        found.push(Difference { field, text: format!("{}: {field:?}: {text}", show(path)) });
    };
    for (path, our) in ours {
        let Some(their) = theirs.get(path) else {
            add(path, Field::Missing, format!("{our:?}"));
            continue;
        };
        if our.kind != their.kind {
            add(path, Field::Kind, format!("{our:?}, not {their:?}"));
            continue;
        }
        if our.kind == 'd' && our.mtime == IMPLIED {
            // no entry describes it: every program makes such a directory as it likes
            continue;
        }
        // Linux has no modes for symbolic links
        if our.mode != their.mode && our.kind != 'l' {
            add(path, Field::Mode, format!("{:o}, not {:o}", our.mode, their.mode));
        }
        if our.owner != their.owner {
            add(path, Field::Owner, format!("{:?}, not {:?}", our.owner, their.owner));
        }
        if our.mtime != their.mtime {
            add(path, Field::Mtime, format!("{}, not {}", our.mtime, their.mtime));
        }
        if our.content != their.content {
            add(path, Field::Content, format!("{}, not {}", our.content, their.content));
        }
        if our.xattrs != their.xattrs {
            add(path, Field::Xattrs, format!("{:?}, not {:?}", our.xattrs, their.xattrs));
        }
        if our.first != their.first {
            add(path, Field::Names, format!("{}, not {}", show(&our.first), show(&their.first)));
        }
    }
    for (path, their) in theirs {
        if !ours.contains_key(path) {
            add(path, Field::Extra, format!("{their:?}"));
        }
    }
    found
}

/// An error without what it quotes and counts.
fn category(error: &str) -> String {
    let mut plain = String::new();
    for (n, part) in error.split('"').enumerate() {
        plain += if n % 2 == 0 { part } else { "..." };
    }
    let mut digit = false;
    plain.retain(|c| !std::mem::replace(&mut digit, c.is_ascii_digit()) || !c.is_ascii_digit());
    plain.replace(|c: char| c.is_ascii_digit(), "0")
}

fn run(seed: u64, scratch: &Path, counts: &mut Counts) {
    let Archive { bytes, traits } = generator::archive(seed);
    counts.archives += 1;
    let ours = readers::ours(&bytes);
    for name in &traits {
        let entry = counts.traits.entry(name).or_default();
        *entry = (entry.0 + 1, entry.1 + u64::from(ours.is_ok()));
    }
    let ours = match ours {
        Ok(tree) => tree,
        Err(error) => {
            *counts.refused.entry(category(&error.to_string())).or_default() += 1;
            return;
        }
    };
    let mut same = true;
    for tool in Tool::ALL {
        let dir = scratch.join(tool.command());
        fs::create_dir(&dir).unwrap();
        let (theirs, failed) = tool.unpack(&bytes, &dir);
        fs::remove_dir_all(&dir).unwrap();
        let found = match failed {
            Some(text) => vec![Difference { field: Field::Failed, text }],
            None => differences(&ours, &theirs),
        };
        let mut named = BTreeSet::new();
        for difference in found {
            same = false;
            if let Some(rule) = rules::explains(tool, &traits, difference.field) {
                named.insert(rule.name);
            } else {
                let text = &difference.text;
                let tool = tool.name();
                counts.failures.push(format!("seed {seed} {traits:?} {tool}: {text}"));
            }
        }
        for name in named {
            *counts.known.entry(name).or_default() += 1;
        }
    }
    counts.agreed += u64::from(same);
}

/// A folder in memory if there is one that keeps extended attributes.
fn scratch() -> tempfile::TempDir {
    let keeps = |dir: &tempfile::TempDir| xattr::set(dir.path(), "user.moorline", b"1").is_ok();
    let memory = tempfile::tempdir_in("/dev/shm").ok().filter(keeps);
    memory.unwrap_or_else(|| tempfile::tempdir().unwrap())
}

fn run_all(seeds: std::ops::Range<u64>) -> Counts {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let next = AtomicU64::new(seeds.start);
    let threads = thread::available_parallelism().map_or(2, usize::from).min(16);
    let mut counts = Counts::default();
    thread::scope(|scope| {
        let work = || {
            let scratch = scratch();
            let mut counts = Counts::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end || counts.failures.len() > 200 {
                    return counts;
                }
                run(seed, scratch.path(), &mut counts);
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            counts.add(worker.join().unwrap());
        }
    });
    counts
}

/// Whether the test can run; loud when it cannot, a failure when it must.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn can_run(test: &str) -> bool {
    let missing: Vec<_> = Tool::ALL
        .iter()
        .filter(|tool| {
            std::process::Command::new(tool.command()).arg("--version").output().is_err()
        })
        .map(|tool| tool.name())
        .collect();
    let why = if !rustix::process::geteuid().is_root() {
        "only root can unpack owners and devices".to_owned()
    } else if !missing.is_empty() {
        format!("{} is not installed", missing.join(", "))
    } else {
        return true;
    };
    let required = std::env::var("MOORLINE_TESTS_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|part| part == "differential"), "{test}: {why}");
    eprintln!("SKIPPED: {test}: {why}");
    false
}

#[test]
#[expect(clippy::print_stdout, reason = "the counts are what the test is run for")]
fn generated_archives_give_the_same_tree_or_are_refused() {
    if !can_run("generated_archives_give_the_same_tree_or_are_refused") {
        return;
    }
    let only = std::env::var("MOORLINE_DIFFERENTIAL").ok();
    let count = if std::env::var_os("MOORLINE_SOAK").is_some() { 100_000 } else { 5000 };
    let seeds = match only.as_deref().map(|text| text.split_once("..").unwrap_or((text, ""))) {
        Some((seed, "")) => seed.parse().unwrap()..seed.parse::<u64>().unwrap() + 1,
        Some((from, to)) => from.parse().unwrap()..to.parse().unwrap(),
        None => 0..count,
    };
    let counts = run_all(seeds);
    println!("{} archives, {} read alike by all", counts.archives, counts.agreed);
    let refused: u64 = counts.refused.values().sum();
    println!("{refused} refused by us:");
    for (why, count) in &counts.refused {
        println!("  {count:6} {why}");
    }
    println!("known differences (docs/tar.md):");
    for (rule, count) in &counts.known {
        println!("  {count:6} {rule}");
    }
    println!("traits: in so many archives, so many of them read by us");
    for (name, (seen, read)) in &counts.traits {
        println!("  {seen:6} {read:6} {name}");
    }
    for failure in counts.failures.iter().take(40) {
        println!("NOT EXPLAINED: {failure}");
    }
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("differential");
    let shown: BTreeSet<&str> =
        counts.failures.iter().filter_map(|text| text.split(' ').nth(1)).collect();
    for seed in shown.into_iter().chain(only.as_deref()).take(20).filter(|s| !s.contains('.')) {
        fs::create_dir_all(&dir).unwrap();
        let bytes = generator::archive(seed.parse().unwrap()).bytes;
        fs::write(dir.join(format!("{seed}.tar")), bytes).unwrap();
    }
    assert!(counts.failures.is_empty(), "{} differences have no rule", counts.failures.len());
    if only.is_none() {
        // a test in which nothing agrees, or a kind of archive never comes, would prove nothing
        assert!(counts.agreed * 2 > counts.archives, "{} agreed", counts.agreed);
        for rule in RULES {
            let needed = counts.known.contains_key(rule.name);
            assert!(needed, "the rule {:?} was never needed", rule.name);
        }
        for name in rules::REFUSED {
            let (seen, read) = counts.traits.get(name).copied().unwrap_or_default();
            assert!(seen > 0 && read == 0, "{name}: {seen} archives, {read} of them read");
        }
        for (name, (seen, read)) in &counts.traits {
            let refused = rules::REFUSED.contains(name);
            assert!(refused || *read > 0, "{name}: none of {seen} archives was read");
        }
    }
}

/// The table that people read and the rules that the test goes by are one.
#[test]
fn every_rule_is_in_the_table() {
    let page = include_str!("../../../docs/tar.md");
    let listed: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_suffix("` |")?.rsplit('`').next()).collect();
    let rules: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(listed, rules);
}
