//! The records of another ledger, copied into this one: of a CI job whose runner is gone, of another machine.
//!
//! ```text
//! OTHER/WRITER-*.jsonl --check the chain--> compare with ours, file by file
//!     not here                              copied
//!     ours is the beginning of it           what is missing is appended
//!     it is the beginning of ours           nothing: it was merged before
//!     anything else                         an error, and nothing at all is merged
//! merged (a line for each writer) --> files, by writer and number --> payloads, when asked for
//! ```
//!
//! Twice the same is once. Only whole lines are copied, so the copy of a ledger that is being written to is sound, and
//! a later merge adds the rest. Nothing that is here is changed: a file only grows, and never one that this ledger's
//! own writers append to.
//!
//! Whose word it is: a chain shows that its lines belong together, not who wrote them. So a merged writer's conversions
//! are never believed (`merged.rs`), and records of a job that this ledger has of its own are refused unless the caller
//! says that the other one is a copy of it.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::dir::{check, private_dir};
use super::error::LedgerError;
use super::merged::{self, Held};
use super::personal;
use super::record::{Content, WriterId};
use super::segment::{MOST_BYTES, Segment, SegmentName, list};
use super::verify::chain;
use crate::files::{self, ForeignFile};
use crate::job::JobId;

/// What a merge takes besides records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Names, paths and arguments, as far as they are there.
    pub personal: bool,
    /// Records of jobs that this ledger recorded by itself.
    pub same_jobs: bool,
}

/// What a merge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// Writers that had something new.
    pub writers: usize,
    /// New records.
    pub records: usize,
    /// Jobs that these are about.
    pub jobs: usize,
    /// New payloads.
    pub payloads: usize,
}

/// A file that has something new.
struct Addition {
    name: SegmentName,
    /// The bytes that are not here yet; whole lines.
    bytes: Vec<u8>,
    /// How many bytes are here.
    from: u64,
}

/// What was found out about a ledger before anything is written.
#[derive(Default)]
struct Plan {
    files: Vec<Addition>,
    writers: BTreeSet<WriterId>,
    jobs: BTreeSet<JobId>,
    records: usize,
    /// Payloads that any record of it commits to: one may come later than its record.
    payloads: Vec<(crate::job::IntentId, super::hash::RecordHash)>,
}

/// Merges the ledger in `from` into the one in `into`.
///
/// # Errors
/// When there is no ledger in `from`, a file of it is damaged or is not what was merged before, or it speaks of jobs
/// that `into` has of its own. Then nothing was merged. When a file cannot be written, what was copied until then is
/// whole, and the same merge goes on from there.
pub fn merge(from: &Path, into: &Path, wanted: Wanted) -> Result<Merged, LedgerError> {
    private_dir(into)?;
    check(into)?;
    let mut held = Held::take(into)?;
    let known = merged::writers(into)?;
    let plan = plan(from, into, &known)?;
    if !wanted.same_jobs
        && let Some(job) = own_job(into, &known, &plan.jobs)?
    {
        return Err(LedgerError::OwnJob { dir: from.to_owned(), job });
    }
    let new: Vec<_> = plan.writers.difference(&known).copied().collect();
    if !new.is_empty() {
        held.add(into, new.into_iter())?;
    }
    for file in &plan.files {
        write(into, file)?;
    }
    let payloads = if wanted.personal { self::payloads(from, into, &plan)? } else { 0 };
    let Plan { writers, jobs, records, .. } = plan;
    Ok(Merged { writers: writers.len(), records, jobs: jobs.len(), payloads })
}

/// Reads and checks all of it, and compares it with what is here.
fn plan(from: &Path, into: &Path, known: &BTreeSet<WriterId>) -> Result<Plan, LedgerError> {
    let there = list(from)?;
    if let Some(stranger) = there.strangers.first() {
        let what = format!("{}: its name is not that of a writer's segment", stranger.display());
        return Err(LedgerError::NotMerged { dir: from.to_owned(), what });
    }
    if there.segments.is_empty() {
        return Err(LedgerError::NoLedger(from.to_owned()));
    }
    let here = list(into)?.segments;
    let mut plan = Plan::default();
    for of_writer in there.segments.chunk_by(|one, next| one.writer == next.writer) {
        let writer = of_writer[0].writer;
        let no = |what: String| Err(LedgerError::NotMerged { dir: from.to_owned(), what });
        let mut segments = Vec::new();
        for name in of_writer {
            let bytes = bytes(from, *name)?;
            segments.push((Segment::parse(*name, &bytes), bytes));
        }
        if let Some(finding) = chain(segments.iter().map(|(segment, _)| segment)).first() {
            return no(finding.to_string());
        }
        let before = plan.files.len();
        for (segment, mut bytes) in segments {
            let name = segment.name;
            bytes.truncate(bytes.len() - segment.torn.len());
            let ours = if here.contains(&name) { self::bytes(into, name)? } else { Vec::new() };
            commits(&segment, &mut plan);
            if ours.starts_with(&bytes) {
                // merged before, and perhaps more of it
            } else if bytes.starts_with(&ours) {
                let from = ours.len() as u64;
                let whole = memchr::memrchr(b'\n', &ours).map_or(0, |at| at + 1);
                let missing = Segment::parse(name, &bytes[whole..]);
                plan.records += missing.lines.len();
                plan.jobs.extend(jobs(&missing));
                plan.files.push(Addition { name, bytes: bytes.split_off(ours.len()), from });
            } else {
                return no(format!("{name}: this ledger has another file of this name"));
            }
        }
        if plan.files.len() > before {
            if here.iter().any(|name| name.writer == writer) && !known.contains(&writer) {
                let name = plan.files[before].name;
                return no(format!(
                    "{name}: this ledger's own writer was continued there, and may go on here"
                ));
            }
            plan.writers.insert(writer);
        }
    }
    Ok(plan)
}

fn bytes(dir: &Path, name: SegmentName) -> Result<Vec<u8>, LedgerError> {
    let path = dir.join(name.to_string());
    let bytes = ForeignFile::anyones(MOST_BYTES).bytes(&path);
    bytes.map_err(|error| LedgerError::io("read", &path)(error.into()))
}

/// The jobs that a file's lines speak of.
fn jobs(segment: &Segment) -> impl Iterator<Item = JobId> {
    segment.lines.iter().filter_map(|line| match &line.record.as_ref().ok()?.body {
        Content::Known(body) | Content::Partly { body, .. } => body.job(),
        Content::Foreign { .. } => None,
    })
}

fn commits(segment: &Segment, plan: &mut Plan) {
    for record in segment.lines.iter().filter_map(|line| line.record.as_ref().ok()) {
        if let Content::Known(body) | Content::Partly { body, .. } = &record.body
            && let (Some(intent), Some(hash)) = (body.intent(), body.personal())
        {
            plan.payloads.push((intent, hash));
        }
    }
}

/// One of these jobs that a writer of this ledger itself speaks of.
fn own_job(
    dir: &Path,
    merged: &BTreeSet<WriterId>,
    asked: &BTreeSet<JobId>,
) -> Result<Option<JobId>, LedgerError> {
    if asked.is_empty() {
        return Ok(None);
    }
    for name in list(dir)?.segments.into_iter().filter(|name| !merged.contains(&name.writer)) {
        let segment = Segment::read(dir, name)?;
        if let Some(job) = jobs(&segment).find(|job| asked.contains(job)) {
            return Ok(Some(job));
        }
    }
    Ok(None)
}

/// A new file is there as a whole or not at all. One that grows has whole lines at all times but for a crash, whose
/// rest the next merge completes.
fn write(into: &Path, file: &Addition) -> Result<(), LedgerError> {
    let path: PathBuf = into.join(file.name.to_string());
    if file.from == 0 && !path.exists() {
        return files::create(&path, 0o600, &file.bytes).map_err(LedgerError::io("write", &path));
    }
    let append = || {
        let mut ours = OpenOptions::new().append(true).open(&path)?;
        if ours.metadata()?.len() != file.from {
            return Err(std::io::Error::other("it changed while it was compared"));
        }
        ours.write_all(&file.bytes)?;
        ours.sync_all()
    };
    append().map_err(LedgerError::io("write", &path))
}

/// Copies the payloads that are there and that a record commits to.
fn payloads(from: &Path, into: &Path, plan: &Plan) -> Result<usize, LedgerError> {
    let mut copied = 0;
    for (intent, hash) in &plan.payloads {
        copied += usize::from(personal::copy(from, into, *intent, *hash)?);
    }
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::job::{JobState, Observation};
    use crate::ledger::testing::{self, entry, intent, key, private, receipt};
    use crate::ledger::{Conversion, Conversions, Ledger, Payload, View, verify};
    use crate::oci::{Digest, Sha256Digest, SifDigest};

    const PLAIN: Wanted = Wanted { personal: false, same_jobs: false };

    /// Records a job with its engine's key; a new writer for each ledger value while others are held.
    fn job(dir: &Path, number: u64) -> Ledger {
        let ledger = Ledger::open(dir).unwrap();
        let image = testing::sif(None, SifDigest::of(b"sif"));
        let entry = ledger.intend(&intent(&entry(number), "local", image)).unwrap();
        ledger.submitted(&entry, &key("local", number)).unwrap();
        ledger
    }

    fn copy(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }

    fn jobs_of(dir: &Path) -> usize {
        assert!(verify(dir).unwrap().is_consistent(), "{:?}", verify(dir).unwrap().findings);
        View::read(dir).unwrap().jobs().count()
    }

    #[test]
    fn what_is_new_is_copied_once() {
        let (one, two, home) = (private(), private(), private());
        let own = job(home.path(), 1);
        let other = job(one.path(), 2);
        drop(job(two.path(), 3));
        let first = merge(one.path(), home.path(), PLAIN).unwrap();
        assert_eq!(first, Merged { writers: 1, records: 2, jobs: 1, payloads: 0 });
        assert_eq!(merge(one.path(), home.path(), PLAIN).unwrap(), Merged::default());
        merge(two.path(), home.path(), PLAIN).unwrap();
        assert_eq!(jobs_of(home.path()), 3);
        // it goes on there, and here
        let entry = entry(2);
        other.observed(&entry, &Observation::of(JobState::Completed)).unwrap();
        other.receipt(&entry, &receipt(&entry)).unwrap();
        drop((own, job(home.path(), 4)));
        let more = merge(one.path(), home.path(), PLAIN).unwrap();
        assert_eq!((more.writers, more.records, more.jobs), (1, 2, 1));
        assert_eq!(jobs_of(home.path()), 4);
        let view = View::read(home.path()).unwrap();
        assert_eq!(view.job(entry.job).unwrap().state(), JobState::Completed);
        // names and paths were not asked for
        let personal = |number| {
            let view = View::read(home.path()).unwrap();
            view.job(testing::entry(number).job).unwrap().last().personal.clone()
        };
        assert_eq!(personal(2), Payload::Erased);
        let asked = Wanted { personal: true, ..PLAIN };
        assert!(merge(one.path(), home.path(), asked).unwrap().payloads > 0);
        assert!(
            matches!(personal(2), Payload::Present(_)),
            "also of records that were merged before"
        );
        assert_eq!(merge(one.path(), home.path(), asked).unwrap(), Merged::default());
        // an older copy of what is here adds nothing
        let old = private();
        copy(one.path(), old.path());
        other.observed(&entry, &Observation::of(JobState::Failed)).unwrap();
        merge(one.path(), home.path(), PLAIN).unwrap();
        assert_eq!(merge(old.path(), home.path(), PLAIN).unwrap(), Merged::default());
        assert_eq!(jobs_of(home.path()), 4);
    }

    #[test]
    fn what_is_damaged_or_another_is_not_merged() {
        let (other, home) = (private(), private());
        let error = merge(other.path(), home.path(), PLAIN).unwrap_err();
        assert!(matches!(error, LedgerError::NoLedger(_)), "{error}");
        drop(job(other.path(), 2));
        let name = list(other.path()).unwrap().segments[0].to_string();
        let file = other.path().join(&name);
        let text = fs::read_to_string(&file).unwrap();
        let refused = |text: &str| {
            fs::write(&file, text).unwrap();
            let error = merge(other.path(), home.path(), PLAIN).unwrap_err().to_string();
            assert!(list(home.path()).unwrap().segments.is_empty(), "{error}");
            error
        };
        let line = text.lines().next().unwrap();
        assert!(refused(&text.replacen("local", "looal", 1)).contains(&name));
        assert!(refused(&text.replacen(line, "", 1)).contains(&name));
        assert!(refused(&format!("{line}\n{line}\n")).contains(&name));
        // a tail that was cut short is left where it is
        fs::write(&file, &text[..text.len() - 9]).unwrap();
        assert_eq!(merge(other.path(), home.path(), PLAIN).unwrap().records, 1);
        fs::write(&file, &text).unwrap();
        assert_eq!(merge(other.path(), home.path(), PLAIN).unwrap().records, 1);
        assert_eq!(jobs_of(home.path()), 1);
        // a crash in the middle of a line
        let ours = home.path().join(&name);
        fs::write(&ours, &text[..text.len() - 9]).unwrap();
        assert_eq!(merge(other.path(), home.path(), PLAIN).unwrap().records, 1);
        assert_eq!(fs::read_to_string(&ours).unwrap(), text);
        // another history under a name that is here
        fs::remove_file(&file).unwrap();
        let third = private();
        drop(job(third.path(), 3));
        let strange = list(third.path()).unwrap().segments[0].to_string();
        fs::copy(third.path().join(strange), &file).unwrap();
        let error = merge(other.path(), home.path(), PLAIN).unwrap_err().to_string();
        assert!(error.contains("the record belongs to"), "{error}");
        assert_eq!(fs::read_to_string(&ours).unwrap(), text, "nothing is overwritten");
    }

    /// A copy whose writer is taken up again, as by another CI job that got the ledger with its claims; `None` where
    /// that cannot be.
    fn fork(from: &Path, test: &str) -> Option<(tempfile::TempDir, Ledger)> {
        let to = private();
        copy(from, to.path());
        fs::create_dir(to.path().join("claims")).unwrap();
        copy(&from.join("claims"), &to.path().join("claims"));
        let fork = Ledger::open(to.path()).unwrap();
        fork.observed(&entry(2), &Observation::of(JobState::Failed)).unwrap();
        if list(to.path()).unwrap().segments.len() > 1 {
            // not eprintln: what that prints in a passing test is not shown
            let why = "this file system has no locks, so no writer is taken up again";
            let said = format!("SKIPPED: {test}: {why}\n");
            let _ = std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes());
            return None;
        }
        Some((to, fork))
    }

    #[test]
    fn a_writer_with_two_histories_is_refused() {
        let (one, home) = (private(), private());
        drop(job(one.path(), 2));
        let name = list(one.path()).unwrap().segments[0].to_string();
        let Some((two, _)) = fork(one.path(), "two histories") else { return };
        let ledger = Ledger::open(one.path()).unwrap();
        ledger.observed(&entry(2), &Observation::of(JobState::Completed)).unwrap();
        merge(one.path(), home.path(), PLAIN).unwrap();
        let error = merge(two.path(), home.path(), PLAIN).unwrap_err().to_string();
        assert!(error.contains(&name) && error.contains("another file of this name"), "{error}");
    }

    /// It may append behind what it knows at any time.
    #[test]
    fn an_own_writer_is_not_continued_by_a_merge() {
        let home = private();
        drop(job(home.path(), 2));
        let Some((copy, _)) = fork(home.path(), "an own writer") else { return };
        let asked = Wanted { same_jobs: true, ..PLAIN };
        let error = merge(copy.path(), home.path(), asked).unwrap_err().to_string();
        assert!(error.contains("own writer was continued there"), "{error}");
        assert_eq!(merge(home.path(), home.path(), asked).unwrap(), Merged::default());
    }

    #[test]
    fn a_merged_word_counts_for_no_conversion_and_no_own_job() {
        let (other, home) = (private(), private());
        let ledger = job(other.path(), 7);
        let recipe = testing::recipe();
        let (manifest, sif) = (Digest::of(b"manifest"), SifDigest::of(b"evil"));
        let made = Conversion { manifest, recipe: recipe.clone(), sif, tree: None };
        ledger.converted(&made).unwrap();
        assert!(Conversions::read(other.path()).unwrap().holds(&manifest, &recipe, &sif));
        drop(job(home.path(), 7));
        let error = merge(other.path(), home.path(), PLAIN).unwrap_err();
        assert!(matches!(error, LedgerError::OwnJob { .. }), "{error}");
        let asked = Wanted { same_jobs: true, ..PLAIN };
        assert_eq!(merge(other.path(), home.path(), asked).unwrap().writers, 1);
        let known = Conversions::read(home.path()).unwrap();
        assert!(!known.holds(&manifest, &recipe, &sif) && !known.made(&sif));
        // this ledger's own are believed as before
        Ledger::open(home.path()).unwrap().converted(&made).unwrap();
        assert!(Conversions::read(home.path()).unwrap().made(&sif));
    }

    #[test]
    fn one_merges_at_a_time() {
        let (other, home) = (private(), private());
        drop(job(other.path(), 2));
        let held = Held::take(home.path()).unwrap();
        let error = merge(other.path(), home.path(), PLAIN).unwrap_err();
        assert!(matches!(error, LedgerError::Merging(_)), "{error}");
        drop(held);
        merge(other.path(), home.path(), PLAIN).unwrap();
        // a line of which a kill left a part
        let file = OpenOptions::new().append(true).open(home.path().join("merged"));
        file.unwrap().write_all(b"0123").unwrap();
        assert_eq!(merged::writers(home.path()).unwrap().len(), 1);
        let third = private();
        drop(job(third.path(), 3));
        merge(third.path(), home.path(), PLAIN).unwrap();
        assert_eq!(merged::writers(home.path()).unwrap().len(), 2);
    }
}
