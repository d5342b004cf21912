//! One suite for every implementation: the same questions to the memory, to `SQLite`, and to the whole view.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{
    Catalogue, Cursor, Filter, Home, ImageName, Index, IndexError, Memory, Page, Sqlite, Where,
};
use crate::job::{Evidence, Grade, JobId, JobState, Measured, Observation};
use crate::ledger::testing::{self, entry};
use crate::ledger::{Conversion, Ledger, Payloads, Recorded, View};
use crate::oci::{ConfigDigest, Digest, Reference, Sha256Digest, SifDigest};
use crate::pin::Pin;
use crate::worker::{Receipt, Start};

/// A directory with a ledger and a place for an index.
pub(super) struct Bench {
    pub root: tempfile::TempDir,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self { root: testing::private() }
    }

    pub(super) fn dir(&self) -> PathBuf {
        self.root.path().join("ledger")
    }

    pub(super) fn ledger(&self) -> Ledger {
        Ledger::open(&self.dir()).unwrap()
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.root.path().join("index")
    }

    pub(super) fn home(&self) -> Home {
        Home::new(self.cache(), None)
    }

    pub(super) fn sqlite(&self) -> Sqlite {
        Sqlite::open(&self.dir(), &self.home()).unwrap()
    }

    /// Every implementation, refreshed.
    fn all(&self) -> Vec<(&'static str, Box<dyn Index>)> {
        let mut all: Vec<(&'static str, Box<dyn Index>)> = vec![
            ("memory", Box::new(Memory::new(&self.dir()))),
            ("sqlite, kept", Box::new(self.sqlite())),
        ];
        let anew = Home::new(self.root.path().join("anew"), None);
        let _ = fs::remove_dir_all(self.root.path().join("anew"));
        all.push(("sqlite, made anew", Box::new(Sqlite::open(&self.dir(), &anew).unwrap())));
        for (_, index) in &mut all {
            index.refresh(&mut |_| {}).unwrap();
        }
        all
    }

    pub(super) fn view(&self) -> View {
        View::read(&self.dir()).unwrap()
    }
}

fn sif(n: u64) -> SifDigest {
    SifDigest::of(&n.to_le_bytes())
}

/// `image` tells images apart.
pub(super) fn intend(ledger: &Ledger, n: u64, image: u64) -> Recorded {
    let asked = ["a/b:v1", "a/b", "a/c:v1"][usize::try_from(image % 3).unwrap()];
    let pin = Pin {
        index: image.is_multiple_of(2).then(|| Digest::of(b"index")),
        manifest: Digest::of(&image.to_be_bytes()),
        config: ConfigDigest::of(&image.to_be_bytes()),
        ..testing::pin_of(&format!("registry.example/{asked}"))
    };
    let image = testing::sif(Some(pin), sif(image));
    ledger.intend(&testing::intent(&entry(n), "slurm", image)).unwrap()
}

fn receipt(entry: &Recorded, second: i64, exit_code: i32, measured: SifDigest) -> Receipt {
    let measured = Some(Measured::Sif(measured));
    let at = testing::at(second);
    Receipt {
        attempt: format!("{second:032x}"),
        evidence: Evidence { grade: Grade::Measured, measured, measured_at: None },
        start: Start::Started { at },
        ended_at: at,
        exit_code,
        ..testing::receipt(entry)
    }
}

/// A step of a history, chosen by a number.
fn step(ledger: &Ledger, n: u64, number: u64) {
    let entry = entry(n);
    let saw = |state, exit_code| {
        ledger.observed(&entry, &Observation { exit_code, ..Observation::of(state) }).unwrap();
    };
    let received = |exit_code, measured, told| {
        let mut receipt =
            receipt(&entry, i64::try_from(number % 1000).unwrap(), exit_code, measured);
        receipt.conditions.told = told;
        ledger.receipt(&entry, &receipt).unwrap();
    };
    match number % 14 {
        0 => ledger.submitted(&entry, &testing::key("slurm", n / 2)).unwrap(),
        1 => ledger.refused(&entry, "no").unwrap(),
        2 => ledger.uncertain(&entry, "who knows").unwrap(),
        3 => saw(JobState::Submitted, None),
        4 => saw(JobState::Running, None),
        5 => saw(JobState::Completed, Some(0)),
        6 => saw(JobState::Failed, Some(218)),
        7 => saw(JobState::Killed, None),
        8 => saw(JobState::Unknown, None),
        9 => received(0, sif(n % 5), None),
        10 => received(143, sif(n % 5), Some(15)),
        11 => received(3, sif(1000 + n % 2), None),
        12 => saw("suspended".parse().unwrap(), None),
        _ => ledger.cancelled(&entry).unwrap(),
    }
}

/// Numbers that look random and are the same each time.
pub(super) fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::from_fn(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some(state >> 11)
    })
}

fn ids(view: &View, keep: impl Fn(&crate::ledger::JobRecord) -> bool) -> Vec<JobId> {
    view.jobs().rev().filter(|job| keep(job)).map(|job| job.id).collect()
}

/// All questions, compared with the view of everything.
fn agrees(bench: &Bench, name: &str, index: &dyn Index) {
    let view = bench.view();
    let all = Page::newest(usize::MAX >> 1);
    let page = |filter| index.page(filter, all).unwrap();
    assert_eq!(page(Filter::All), ids(&view, |_| true), "{name}");
    let running = |job: &crate::ledger::JobRecord| !job.last().word().state.is_final();
    assert_eq!(page(Filter::Running), ids(&view, running), "{name}");
    let open = page(Filter::Open);
    assert!(ids(&view, running).iter().all(|id| open.contains(id)), "{name}");
    for (_, state) in JobState::ALL {
        let wanted = ids(&view, |job| running(job) || job.state() == *state);
        assert_eq!(page(Filter::State(*state)), wanted, "{name} {state}");
    }
    let counts = index.counts().unwrap();
    assert_eq!((counts.damaged, counts.newer), (view.damaged as u64, view.newer as u64), "{name}");
    // page after page
    let mut pages = Vec::new();
    let mut next = Page { from: Some(entry(3).job), ..Page::newest(2) };
    while let Some(last) = {
        let some = index.page(Filter::All, next).unwrap();
        pages.extend(some.iter().copied());
        some.last().copied()
    } {
        next = next.behind(last);
    }
    assert_eq!(pages, ids(&view, |job| job.id >= entry(3).job), "{name}");
    // engines
    for n in 0..20 {
        let asked = format!("slurm:{n}");
        let mut wanted = ids(&view, |job| {
            job.submissions.iter().filter_map(|s| s.key()).any(|key| key.to_string() == asked)
        });
        wanted.reverse();
        assert_eq!(index.of_engine(&asked).unwrap(), wanted, "{name} {asked}");
    }
    // images: digests of all kinds, and what was measured
    let place = || {
        let asked: Reference = "registry.example/a/b".parse().unwrap();
        (asked.registry, asked.repository)
    };
    let (registry, repository) = place();
    let of = |image: ImageName| index.of_image(&image, all).unwrap();
    let asked = |job: &crate::ledger::JobRecord, want: &dyn Fn(&Pin) -> bool| {
        job.submissions.iter().filter_map(|s| s.image.pin()).any(want)
    };
    let named = ids(&view, |job| asked(job, &|pin| pin.repository == repository));
    assert_eq!(of(ImageName::Repository(registry, repository.clone())), named, "{name}");
    let (registry, _) = place();
    let latest = ids(&view, |job| {
        asked(job, &|pin| pin.repository == repository && pin.asked.tag.is_none())
    });
    let tag = ImageName::Tag(registry.clone(), repository.clone(), "latest".into());
    assert_eq!(of(tag), latest, "{name}");
    let index_of = ids(&view, |job| asked(job, &|pin| pin.index.is_some()));
    assert_eq!(of(ImageName::Digest(*Digest::of(b"index").bytes())), index_of, "{name}");
    let pinned = ImageName::Pinned(registry, repository.clone(), Digest::of(b"index"));
    let wanted = ids(&view, |job| {
        asked(job, &|pin| pin.index.is_some() && pin.asked.repository == repository)
    });
    assert_eq!(of(pinned), wanted, "{name}");
    for n in (0..5).chain([1000, 1001]) {
        let wanted = ids(&view, |job| {
            job.submissions.iter().any(|s| {
                let measured = s.receipts.iter().any(|r| r.receipt.evidence.sif() == Some(sif(n)));
                s.image.sif() == Some(sif(n)) || measured
            })
        });
        assert_eq!(of(ImageName::Digest(*sif(n).bytes())), wanted, "{name} image {n}");
    }
    agrees_on_digests(&view, name, index);
    // every job's lines are its history
    for job in view.jobs() {
        let lines = index.lines(job.id).unwrap();
        let records: usize = job.submissions.iter().map(|s| s.history.len() + 1).sum();
        assert_eq!(lines.len(), records, "{name} {}", job.id);
    }
    assert!(index.lines(JobId::from_parts(1, 1)).unwrap().is_empty(), "{name}");
}

/// Ranges of digests: all that begin with the same half byte, and each one alone.
fn agrees_on_digests(view: &View, name: &str, index: &dyn Index) {
    let digests = |job: &crate::ledger::JobRecord| {
        let of = job.submissions.iter().flat_map(|s| {
            let pin = s.image.pin().into_iter();
            let pinned = pin.flat_map(|pin| {
                [
                    Some(*pin.manifest.bytes()),
                    pin.index.map(|d| *d.bytes()),
                    Some(*pin.config.bytes()),
                ]
            });
            let measured = s.receipts.iter().map(|r| r.receipt.evidence.sif());
            let sifs = measured.chain([s.image.sif()]).map(|sif| sif.map(|sif| *sif.bytes()));
            pinned.chain(sifs).flatten().collect::<Vec<_>>()
        });
        of.collect::<BTreeSet<[u8; 32]>>()
    };
    let known: BTreeSet<[u8; 32]> = view.jobs().flat_map(&digests).collect();
    let halves = (0..16).map(|half| ([half << 4; 32], [(half << 4) | 15; 32]));
    let halves = halves.map(|(mut low, mut high)| {
        low[1..].fill(0);
        high[1..].fill(u8::MAX);
        (low, high)
    });
    for (low, high) in halves.chain(known.iter().map(|digest| (*digest, *digest))) {
        let jobs = index.of_digests(low, high).unwrap();
        let inside = |digest: &[u8; 32]| (low..=high).contains(digest);
        let found: BTreeSet<[u8; 32]> =
            jobs.iter().filter_map(|id| view.job(*id)).flat_map(&digests).filter(inside).collect();
        let wanted: BTreeSet<[u8; 32]> = known.iter().copied().filter(inside).collect();
        assert_eq!(found, wanted, "{name} {low:?}");
        assert!(
            jobs.iter().filter_map(|id| view.job(*id)).all(|j| digests(j).iter().any(inside)),
            "{name}"
        );
        assert!(jobs.is_sorted() && jobs.iter().collect::<BTreeSet<_>>().len() == jobs.len());
    }
    assert!(index.of_digests([1; 32], [0; 32]).unwrap().is_empty(), "{name}");
}

#[test]
fn every_index_agrees_with_the_whole_ledger() {
    for seed in 1..=6 {
        let bench = Bench::new();
        // two writers, whose files are read in another order than they were written in
        let (one, two) = (bench.ledger(), bench.ledger());
        one.converted(&Conversion {
            manifest: Digest::of(b"m"),
            recipe: crate::pin::Recipe {
                schema: 1,
                layout: 1,
                template: 1,
                codec: crate::pin::Codec::Zstd,
                codec_version: "1".into(),
                level: 3,
                block_size: 131_072,
            },
            sif: sif(1),
            tree: None,
        })
        .unwrap();
        let mut kept = bench.sqlite();
        let mut random = numbers(seed);
        let mut begun = 0;
        for round in 0..3 {
            for _ in 0..40 {
                let number = random.next().unwrap();
                let ledger = if number.is_multiple_of(3) { &one } else { &two };
                if begun < 4 || number.is_multiple_of(5) {
                    intend(ledger, begun, random.next().unwrap() % 5);
                    begun += 1;
                } else {
                    step(ledger, number % begun, random.next().unwrap());
                }
            }
            kept.refresh(&mut |_| {}).unwrap();
            agrees(&bench, &format!("seed {seed} round {round}, kept open"), &kept);
            for (name, index) in bench.all() {
                agrees(&bench, &format!("seed {seed} round {round} {name}"), index.as_ref());
            }
        }
    }
}

#[test]
fn a_cursor_gives_what_came_later_and_outlives_the_index() {
    let bench = Bench::new();
    let ledger = bench.ledger();
    intend(&ledger, 1, 1);
    intend(&ledger, 2, 1);
    for (name, mut index) in bench.all() {
        let (jobs, cursor) = index.changes(&Cursor::default()).unwrap();
        let wanted: BTreeSet<JobId> = bench.view().jobs().map(|job| job.id).collect();
        assert_eq!(jobs.iter().copied().collect::<BTreeSet<_>>(), wanted, "{name}");
        assert_eq!(index.cursor().unwrap(), cursor, "{name}");
        assert_eq!(index.changes(&cursor).unwrap().0, [], "{name}");
        // by this writer, and by another one
        ledger.cancelled(&entry(2)).unwrap();
        let other = bench.ledger();
        other.cancelled(&entry(1)).unwrap();
        index.refresh(&mut |_| {}).unwrap();
        let (jobs, _) = index.changes(&cursor).unwrap();
        assert_eq!(jobs, [entry(1).job, entry(2).job], "{name}");
        let mut anew = Memory::new(&bench.dir());
        anew.refresh(&mut |_| {}).unwrap();
        assert_eq!(anew.changes(&cursor).unwrap().0, jobs, "{name}");
    }
}

/// What was read is changed, cut, removed or replaced: no index answers from it.
#[test]
fn a_ledger_that_was_changed_ends_the_index() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 4] = [
        ("cut", |file| {
            let text = fs::read_to_string(file).unwrap();
            let first = text.lines().next().unwrap();
            fs::write(file, format!("{first}\n")).unwrap();
        }),
        ("rewritten and longer", |file| {
            let text = fs::read_to_string(file).unwrap();
            let mut lines: Vec<&str> = text.lines().rev().collect();
            lines.push(lines[0]);
            fs::write(file, lines.join("\n") + "\n").unwrap();
        }),
        ("removed", |file| fs::remove_file(file).unwrap()),
        ("replaced", |file| {
            let text = fs::read(file).unwrap();
            fs::rename(file, file.with_extension("old")).unwrap();
            fs::write(file, text).unwrap();
        }),
    ];
    for (change, apply) in changes {
        let bench = Bench::new();
        let ledger = bench.ledger();
        for n in 0..3 {
            intend(&ledger, n, n);
        }
        for (name, mut index) in bench.all().into_iter().take(2) {
            let _ = fs::remove_dir_all(bench.dir());
            let ledger = bench.ledger();
            for n in 0..3 {
                intend(&ledger, n, n);
            }
            drop(ledger);
            match index.refresh(&mut |_| {}) {
                // another ledger has come into the place of the first
                Err(IndexError::Unfit(_)) => {}
                other => panic!("{name}: {other:?}"),
            }
            let mut index: Box<dyn Index> = if name == "memory" {
                Box::new(Memory::new(&bench.dir()))
            } else {
                let home = Home::new(bench.root.path().join(change.replace(' ', "-")), None);
                Box::new(Sqlite::open(&bench.dir(), &home).unwrap())
            };
            index.refresh(&mut |_| {}).unwrap();
            let names = crate::listing::names(&bench.dir()).unwrap();
            let file = names.iter().find(|n| n.to_string_lossy().ends_with(".jsonl")).unwrap();
            apply(&bench.dir().join(file));
            let found = index.refresh(&mut |_| {});
            assert!(matches!(found, Err(IndexError::Unfit(_))), "{change} {name}: {found:?}");
        }
        // and the catalogue makes it anew
        let mut catalogue = Catalogue::new(&bench.dir(), None, Where::Named(bench.cache()));
        let page = catalogue.page(Filter::All, Page::newest(9)).unwrap();
        assert_eq!(page, ids(&bench.view(), |_| true), "{change}");
        assert_eq!(catalogue.warning(), None, "{change}");
    }
}

#[test]
fn a_torn_tail_is_read_when_it_is_whole() {
    let bench = Bench::new();
    intend(&bench.ledger(), 1, 1);
    intend(&bench.ledger(), 2, 1);
    let names = crate::listing::names(&bench.dir()).unwrap();
    let file = names.iter().find(|n| n.to_string_lossy().ends_with(".jsonl")).unwrap();
    let file = bench.dir().join(file);
    let text = fs::read_to_string(&file).unwrap();
    let cut = text.len() - 40;
    fs::write(&file, &text[..cut]).unwrap();
    let mut all = bench.all();
    for (name, index) in &all {
        assert_eq!(index.page(Filter::All, Page::newest(9)).unwrap(), [entry(1).job], "{name}");
    }
    let mut end = fs::OpenOptions::new().append(true).open(&file).unwrap();
    end.write_all(&text.as_bytes()[cut..]).unwrap();
    for (name, index) in &mut all {
        index.refresh(&mut |_| {}).unwrap();
        agrees(&bench, name, index.as_ref());
    }
}

#[test]
fn names_mean_what_they_mean_in_the_whole_view() {
    let bench = Bench::new();
    let ledger = bench.ledger();
    for n in 0..30 {
        intend(&ledger, n, n);
        if n % 2 == 0 {
            ledger.submitted(&entry(n), &testing::key("slurm", n / 4)).unwrap();
        }
    }
    let view = bench.view();
    let whole = entry(7).job.to_string();
    let names = [
        "last",
        "",
        "0",
        "01",
        "01hf",
        &whole,
        &whole[..25],
        &whole[..20],
        "slurm:0",
        "slurm:7",
        "slurm:99",
        "local:1",
        "zz",
        "8zzz",
        "IL",
        "01hf7yat00000000000000000l",
        "a name that is no id at all",
    ];
    for place in [Where::Memory, Where::Named(bench.cache())] {
        let mut catalogue = Catalogue::new(&bench.dir(), None, place);
        for name in names {
            let found = catalogue.named(&[name]).map(|view| view.jobs().next().unwrap().id);
            match (view.find(name), found) {
                (Ok(job), Ok(id)) => assert_eq!(job.id, id, "{name}"),
                (Err(wanted), Err(found)) => {
                    assert_eq!(wanted.to_string(), found.to_string(), "{name}");
                }
                (wanted, found) => panic!("{name:?}: {wanted:?} and {found:?}"),
            }
        }
        let all: Vec<String> = (0..30).map(|n| entry(n).job.to_string()).collect();
        let found = catalogue.named(&all).unwrap();
        assert_eq!(found.jobs().count(), 30);
        let page = catalogue.page(Filter::All, Page::newest(3)).unwrap();
        let few = catalogue.view(&page, Payloads::Left).unwrap();
        assert_eq!(few.jobs().count(), 3);
    }
}
