//! In which files a job's records stand, kept beside the job: with a whole id in hand no index is needed.
//!
//! ```text
//! JOBS_DIR/ID/control/ledger-WRITER-000001     empty; the job has records in this segment, or was about to
//! ```
//!
//! The name is there, durable, before the record is. So the names are complete, also when a process is killed
//! between the two. They are made only for jobs whose intent was written so; a job without them is found by the
//! index. Names and not lines of a file: two machines may make them at once, also on a network file system.
//!
//! Not promised: that somebody who can write the job's directory leaves them there. A verdict is read through the
//! index where there is one.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::record::{Content, Record};
use super::segment::{Segment, SegmentName};
use crate::files::{ForeignFile, sync_folder};
use crate::job::JobId;

const PREFIX: &str = "ledger-";

fn control(jobs: &Path, job: JobId) -> PathBuf {
    jobs.join(job.to_string()).join("control")
}

fn mark(segment: SegmentName) -> String {
    let name = segment.to_string();
    format!("{PREFIX}{}", name.strip_suffix(".jsonl").unwrap_or(&name))
}

fn segment(mark: &str) -> Option<SegmentName> {
    SegmentName::parse(&format!("{}.jsonl", mark.strip_prefix(PREFIX)?))
}

/// Notes that records of a job are about to be written to a segment; `first`: among them its intent. Where that
/// cannot be noted, the names that are there are removed: no names are better than some.
pub(super) fn note(jobs: &Path, job: JobId, into: SegmentName, first: bool) {
    let folder = control(jobs, job);
    if !first && marks(&folder).is_empty() {
        return;
    }
    let path = folder.join(mark(into));
    let made = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(_) => sync_folder(&folder),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    if made.is_err() {
        for segment in marks(&folder) {
            // a directory that is gone has no names either
            let _ = std::fs::remove_file(folder.join(mark(segment)));
        }
    }
}

fn marks(folder: &Path) -> Vec<SegmentName> {
    let names = crate::listing::names(folder).unwrap_or_default();
    let mut found: Vec<SegmentName> =
        names.iter().filter_map(|name| segment(name.to_str()?)).collect();
    found.sort_unstable();
    found
}

/// The records of a job, in the order in which they stand; `None` when its directory does not say where, or says
/// something that is not so.
pub(super) fn lines(ledger: &Path, jobs: &Path, job: JobId) -> Option<Vec<Record<Content>>> {
    let marks = marks(&control(jobs, job));
    let id = job.to_string();
    let finder = memchr::memmem::Finder::new(id.as_bytes());
    let mut records = Vec::new();
    for name in marks {
        let path = ledger.join(name.to_string());
        let found = ForeignFile::anyones(super::segment::MOST_BYTES).find(&path).ok()?;
        // the process that made the name never wrote
        let Some(opened) = found else { continue };
        let bytes = opened.bytes().ok()?;
        for line in Segment::lines_with(&bytes, &finder) {
            let Ok(record) = super::record::decode(line) else { continue };
            if record.body.job() == Some(job) {
                records.push(record);
            }
        }
    }
    let begun = |record: &Record<Content>| {
        matches!(&record.body, Content::Known(body) | Content::Partly { body, .. }
            if matches!(body, super::Body::Intent { .. }))
    };
    records.iter().any(begun).then_some(records)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ledger::record::WriterId;

    #[test]
    fn names_read_back_and_strangers_do_not() {
        let name = SegmentName { writer: WriterId::from_bytes([7; 16]), number: 12 };
        assert_eq!(segment(&mark(name)), Some(name));
        for other in ["ledger-", "ledger-x", "receipt-a.json", "ledger-07-000001"] {
            assert_eq!(segment(other), None);
        }
    }

    #[test]
    fn no_names_are_better_than_some() {
        let dir = tempfile::tempdir().unwrap();
        let job = JobId::from_parts(1, 1);
        let folder = control(dir.path(), job);
        let name = |number| SegmentName { writer: WriterId::from_bytes([7; 16]), number };
        note(dir.path(), job, name(1), true);
        assert!(!folder.exists(), "no directory is made");
        fs::create_dir_all(&folder).unwrap();
        note(dir.path(), job, name(1), false);
        assert!(marks(&folder).is_empty(), "its intent was written without");
        note(dir.path(), job, name(1), true);
        note(dir.path(), job, name(2), false);
        note(dir.path(), job, name(2), false);
        assert_eq!(marks(&folder), [name(1), name(2)]);
        // a name that cannot be made: something else has it
        let file = folder.join(mark(name(3)));
        std::os::unix::fs::symlink("/nowhere/at/all", &file).unwrap();
        note(dir.path(), job, name(3), false);
        assert_eq!(marks(&folder).len(), 3, "it is there, whatever it is");
        assert!(lines(dir.path(), dir.path(), job).is_none(), "no intent was found");
    }
}
