//! Checking a ledger: every line's bytes, every link, every sequence number, every payload.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::error::LedgerError;
use super::hash::RecordHash;
use super::personal::{self, PERSONAL_DIR, Payload};
use super::record::{Content, Record};
use super::segment::{Line, Segment, SegmentName, list};

/// What no check of a local chain can show, whatever it finds.
pub const LIMITS: &str = "nothing outside of this directory vouches for it, so its owner could have \
    written all of it anew, changed or removed the last record of any writer, added a writer's file \
    with jobs of any date, or removed payloads, a writer's files, or all of it";

/// What was found. Files are named relative to the ledger's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Files looked at.
    pub files: usize,
    /// Sound records.
    pub records: usize,
    /// Of these, records that a newer program wrote and this one understands in part or not at all.
    pub newer: usize,
    /// Which these are.
    pub newer_records: Vec<Finding>,
    /// Payloads that are there and fit.
    pub payloads: usize,
    /// Payloads that are not there: erased, or lost.
    pub erased: usize,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What is not wrong but worth knowing: torn tails, leftovers.
    pub notes: Vec<Note>,
    /// [`LIMITS`].
    pub limits: &'static str,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// The line, from 1, when it is about one.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub what: String,
}

/// Something worth knowing; the same three fields.
pub type Note = Finding;

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}

impl Report {
    /// Whether everything that is there is as it was written ([`LIMITS`] hold all the same).
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.findings.is_empty()
    }

    fn empty() -> Self {
        Self {
            files: 0,
            records: 0,
            newer: 0,
            newer_records: Vec::new(),
            payloads: 0,
            erased: 0,
            findings: Vec::new(),
            notes: Vec::new(),
            limits: LIMITS,
        }
    }

    fn find(&mut self, file: impl fmt::Display, line: Option<usize>, what: impl Into<String>) {
        self.findings.push(Finding { file: file.to_string(), line, what: what.into() });
    }

    fn note(&mut self, file: impl fmt::Display, line: Option<usize>, what: impl Into<String>) {
        self.notes.push(Finding { file: file.to_string(), line, what: what.into() });
    }
}

/// Checks a whole ledger; one that does not exist is consistent and empty.
///
/// # Errors
/// When a file cannot be read.
pub fn verify(dir: &Path) -> Result<Report, LedgerError> {
    let mut report = Report::empty();
    let listing = list(dir)?;
    for stranger in &listing.strangers {
        report.find(stranger.display(), None, "its name is not that of a writer's segment");
    }
    // the names that records commit to
    let mut committed = BTreeMap::new();
    let mut chain: Option<Chain> = None;
    for name in listing.segments {
        let segment = Segment::read(dir, name)?;
        report.files += 1;
        let mut at = match chain.take() {
            Some(chain) if chain.name.writer == name.writer => chain,
            _ => Chain::new(name),
        };
        at.segment(&segment, &mut report);
        for record in segment.lines.iter().filter_map(|line| line.record.as_ref().ok()) {
            if let Content::Known(body) | Content::Partly { body, .. } = &record.body
                && let Some(hash) = body.personal()
                && let Some(intent) = body.intent()
            {
                committed.insert(personal::file_name(intent, hash), (intent, hash));
            }
        }
        chain = Some(at);
    }
    payloads(dir, &committed, &mut report)?;
    Ok(report)
}

/// What is wrong with the files of one writer, first to last.
pub(super) fn chain<'s>(segments: impl Iterator<Item = &'s Segment>) -> Vec<Finding> {
    let mut report = Report::empty();
    let mut chain: Option<Chain> = None;
    for segment in segments {
        chain.get_or_insert_with(|| Chain::new(segment.name)).segment(segment, &mut report);
    }
    report.findings
}

/// Where a writer's chain is.
struct Chain {
    /// The last segment.
    name: SegmentName,
    /// The last line: its place, its hash, and its sequence number if it is sound.
    last: Option<(SegmentName, usize, RecordHash, Option<u64>)>,
}

impl Chain {
    fn new(first: SegmentName) -> Self {
        Self { name: SegmentName { number: 0, ..first }, last: None }
    }

    fn segment(&mut self, segment: &Segment, report: &mut Report) {
        let name = segment.name;
        for number in self.name.number + 1..name.number.min(self.name.number + 4) {
            report.find(SegmentName { number, ..name }, None, "the file is missing");
        }
        self.name = name;
        for line in &segment.lines {
            match &line.record {
                Err(error) => report.find(name, Some(line.number), error.to_string()),
                Ok(record) => self.record(line, record, report),
            }
            let sequence = line.record.as_ref().ok().map(|record| record.sequence);
            self.last = Some((name, line.number, line.hash, sequence));
        }
        torn_tail(segment, report);
    }

    fn record(&self, line: &Line, record: &Record<Content>, report: &mut Report) {
        let (name, at) = (self.name, Some(line.number));
        report.records += 1;
        if (record.writer, record.segment) != (name.writer, name.number) {
            let said = SegmentName { writer: record.writer, number: record.segment };
            report.find(name, at, format!("the record belongs to {said}"));
        }
        match self.last {
            None => {
                if record.prev.is_some() || record.sequence != 1 {
                    report.find(name, at, "records before this one are missing");
                }
            }
            // the line before is named already; its bytes are not those that this one follows
            Some((_, _, _, None)) => {}
            Some((file, before, hash, Some(sequence))) => {
                if record.prev != Some(hash) {
                    let what = "this is not the line that the next one followed: it was changed, \
                                moved or repeated, or lines between them were removed";
                    report.find(file, Some(before), what);
                    report.find(name, at, "the line before is not the one that this one followed");
                } else if record.sequence != sequence + 1 {
                    let what = format!("sequence {} follows {sequence}", record.sequence);
                    report.find(name, at, what);
                }
            }
        }
        if let Content::Partly { why, .. } | Content::Foreign { why, .. } = &record.body {
            report.newer += 1;
            let known = matches!(record.body, Content::Partly { .. });
            let read = if known { "read in part" } else { "skipped" };
            let what = format!("{read}, a newer moorline wrote it: {why}");
            report.newer_records.push(Finding { file: name.to_string(), line: at, what });
        }
    }
}

fn torn_tail(segment: &Segment, report: &mut Report) {
    let (name, torn) = (segment.name, &segment.torn);
    let Some((_, all_but_one)) = torn.split_last() else { return };
    let at = Some(segment.lines.len() + 1);
    if super::record::decode(all_but_one).is_ok() {
        // a whole record, and then a byte where its newline was
        report.find(name, at, "its bytes were changed: the newline at its end");
    } else {
        let what = format!("torn tail: {} bytes of a write that was cut short", torn.len());
        report.note(name, at, what);
    }
}

fn payloads(
    dir: &Path,
    committed: &BTreeMap<String, (crate::job::IntentId, RecordHash)>,
    report: &mut Report,
) -> Result<(), LedgerError> {
    for (file, (intent, hash)) in committed {
        match personal::load(dir, *intent, *hash)? {
            Payload::Present(_) => report.payloads += 1,
            Payload::Erased | Payload::Left => report.erased += 1,
            Payload::Damaged(why) => report.find(format!("{PERSONAL_DIR}/{file}"), None, why),
        }
    }
    for file in personal::names(dir)? {
        if !committed.contains_key(&file) {
            let what = "a payload without a record: left by a write that did not end";
            report.note(format!("{PERSONAL_DIR}/{file}"), None, what);
        }
    }
    Ok(())
}
