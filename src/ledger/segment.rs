//! The files of a ledger: their names, and the lines in one of them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::error::LedgerError;
use super::hash::RecordHash;
use super::record::{Content, LineError, Record, WriterId, decode};
use crate::files::ForeignFile;

/// Larger segments are refused: they are read as a whole. A writer begins a new one after 4 MiB.
pub(super) const MOST_BYTES: u64 = 256 << 20;

/// `WRITERID-SEGMENT.jsonl`; sorts by writer, then segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// Who writes it.
    pub writer: WriterId,
    /// The writer's file number, from 1.
    pub number: u32,
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:06}.jsonl", self.writer, self.number)
    }
}

impl SegmentName {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (writer, number) = name.strip_suffix(".jsonl")?.split_once('-')?;
        let name_of = Self { writer: writer.parse().ok()?, number: number.parse().ok()? };
        // one spelling for each: -1 and -000001 would be two files of one number
        (name_of.number > 0 && name_of.to_string() == name).then_some(name_of)
    }
}

/// One line that ends with a newline.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// From 1.
    pub number: usize,
    /// Of the raw bytes, without the newline.
    pub hash: RecordHash,
    /// What it says.
    pub record: Result<Record<Content>, LineError>,
}

/// A file's lines, and what stands behind the last newline.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub name: SegmentName,
    pub lines: Vec<Line>,
    /// Bytes behind the last newline: a write that was cut short and never acknowledged.
    pub torn: Vec<u8>,
}

impl Segment {
    pub(super) fn parse(name: SegmentName, bytes: &[u8]) -> Self {
        let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let (whole, torn) = bytes.split_at(end);
        let lines = whole
            .split_inclusive(|b| *b == b'\n')
            .zip(1..)
            .map(|(line, number)| {
                let line = &line[..line.len() - 1];
                Line { number, hash: RecordHash::of(line), record: decode(line) }
            })
            .collect();
        Self { name, lines, torn: torn.to_owned() }
    }

    /// The whole lines that hold something, without their newlines.
    pub(super) fn lines_with<'b>(
        bytes: &'b [u8],
        what: &memchr::memmem::Finder<'_>,
    ) -> Vec<&'b [u8]> {
        let mut lines = Vec::new();
        let mut from = 0;
        while let Some(at) = what.find(&bytes[from..]) {
            let at = from + at;
            let start = memchr::memrchr(b'\n', &bytes[..at]).map_or(0, |before| before + 1);
            let Some(length) = memchr::memchr(b'\n', &bytes[at..]) else { break };
            lines.push(&bytes[start..at + length]);
            from = at + length + 1;
        }
        lines
    }

    pub(super) fn read(dir: &Path, name: SegmentName) -> Result<Self, LedgerError> {
        let path = dir.join(name.to_string());
        let bytes = ForeignFile::anyones(MOST_BYTES).bytes(&path);
        let bytes = bytes.map_err(|error| LedgerError::io("read", &path)(error.into()))?;
        Ok(Self::parse(name, &bytes))
    }
}

/// The end of a file: all that a writer needs to go on behind it.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    pub last: Option<Line>,
    /// Whether bytes stand behind the last newline.
    pub torn: bool,
    /// The whole file's size in bytes.
    pub size: u64,
}

impl Tail {
    /// The lines before the last one are not read: to take up a writer costs the same however full its file is.
    pub(super) fn read(dir: &Path, name: SegmentName) -> Result<Self, LedgerError> {
        let path = dir.join(name.to_string());
        let bytes = ForeignFile::anyones(MOST_BYTES).bytes(&path);
        let bytes = bytes.map_err(|error| LedgerError::io("read", &path)(error.into()))?;
        let whole = memchr::memrchr(b'\n', &bytes);
        let last = whole.map(|end| {
            let start = memchr::memrchr(b'\n', &bytes[..end]).map_or(0, |before| before + 1);
            let line = &bytes[start..end];
            let number = memchr::memchr_iter(b'\n', &bytes[..=end]).count();
            Line { number, hash: RecordHash::of(line), record: decode(line) }
        });
        let torn = whole.map_or(0, |end| end + 1) < bytes.len();
        Ok(Self { last, torn, size: bytes.len() as u64 })
    }
}

/// What lies in a ledger's directory.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Sorted by writer and number.
    pub segments: Vec<SegmentName>,
    /// `.jsonl` files whose names are not a segment's.
    pub strangers: Vec<PathBuf>,
}

/// Lists a ledger; one that does not exist is empty.
pub(super) fn list(dir: &Path) -> Result<Listing, LedgerError> {
    let mut listing = Listing::default();
    let names = match crate::listing::names(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listing),
        Err(error) => return Err(LedgerError::io("read", dir)(error)),
    };
    for name in names {
        match name.to_str().and_then(SegmentName::parse) {
            Some(segment) => listing.segments.push(segment),
            None if Path::new(&name).extension().is_some_and(|e| e == "jsonl") => {
                listing.strangers.push(name.into());
            }
            None => {}
        }
    }
    listing.segments.sort_unstable();
    listing.strangers.sort_unstable();
    Ok(listing)
}
