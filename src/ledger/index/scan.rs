//! The lines that were appended since: which segments grew, and whether what was read before still stands.
//!
//! ```text
//! same inode, size and time      nothing new
//! same inode, larger             the last line that was read still has its hash: read on from there
//! anything else                  it was truncated, rewritten, replaced or removed: the index does not fit
//! ```

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::error::IndexError;
use super::sketch::{About, NoSketch, Sketcher};
use crate::files::ForeignFile;
use crate::job::JobId;
use crate::ledger::error::LedgerError;
use crate::ledger::hash::RecordHash;
use crate::ledger::record::WriterId;
use crate::ledger::segment::{MOST_BYTES, SegmentName, list};

/// So long a write of another process may take between a file's new time and its new size. A longer one costs a
/// new index and nothing else.
const LONGEST_WRITE: Duration = Duration::from_millis(200);

/// How far a segment was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The index's number for it.
    pub id: u32,
    pub inode: u64,
    /// Behind the last whole line that was read.
    pub offset: u64,
    /// The file's size and time of change when it was read.
    pub size: u64,
    pub changed: i64,
    /// Where the last line that was read begins, and its hash.
    pub last: Option<(u64, RecordHash)>,
    /// The latest clock of the writer so far.
    pub clock: i64,
    pub damaged: u64,
    pub newer: u64,
}

/// All segments that were read.
pub(super) type Positions = BTreeMap<SegmentName, Position>;

/// A segment with something new.
#[derive(Debug)]
pub(super) struct Grown {
    pub name: SegmentName,
    /// How many bytes are to be read.
    pub bytes: u64,
    /// How far it was read; `None` for a new one.
    known: Option<Position>,
}

/// A record with its place and the time that it counts as: never before its writer's record before it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub about: About,
    pub offset: u32,
    pub length: u32,
    pub at: i64,
}

/// Which segments have something new.
///
/// # Errors
/// [`IndexError::Unfit`] when something that was read is not there any more, or another.
pub(super) fn grown(dir: &Path, known: &Positions) -> Result<Vec<Grown>, IndexError> {
    let names = list(dir)?.segments;
    if let Some(gone) = known.keys().find(|name| names.binary_search(name).is_err()) {
        return Err(IndexError::Unfit(format!("{gone} is gone")));
    }
    let mut all = Vec::new();
    for name in names {
        let path = dir.join(name.to_string());
        let known = known.get(&name).copied();
        let meta = look(&path, known).map_err(LedgerError::io("read", &path))?;
        if let Some(known) = known {
            if (known.inode, known.size, known.changed) == (meta.ino(), meta.len(), changed(&meta))
            {
                continue;
            }
            if known.inode != meta.ino() || meta.len() <= known.size {
                return Err(IndexError::Unfit(format!("{name} was changed")));
            }
        }
        let bytes = meta.len().saturating_sub(known.map_or(0, |known| known.offset));
        all.push(Grown { name, bytes, known });
    }
    Ok(all)
}

/// The state of a segment. A write sets the time before the size: what is seen in between looks like a file that
/// was changed where it stands, so that is looked at again.
fn look(path: &Path, known: Option<Position>) -> io::Result<Metadata> {
    let began = Instant::now();
    loop {
        let meta = std::fs::symlink_metadata(path)?;
        let between = known.is_some_and(|known| {
            (known.inode, known.size) == (meta.ino(), meta.len()) && known.changed != changed(&meta)
        });
        if !between || began.elapsed() > LONGEST_WRITE {
            return Ok(meta);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn changed(meta: &Metadata) -> i64 {
    meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec())
}

impl Grown {
    /// Whether the last line that was read still stands where it stood.
    fn is_the_same(&self, file: &File) -> io::Result<bool> {
        let Some(Position { offset, last: Some((start, hash)), .. }) = self.known else {
            return Ok(true);
        };
        let line = read_at(file, start, offset.saturating_sub(start))?;
        Ok(line
            .split_last()
            .is_some_and(|(end, line)| *end == b'\n' && RecordHash::of(line) == hash))
    }

    /// Reads what is new: the records that speak of jobs, and how far the segment is read then.
    ///
    /// # Errors
    /// When it cannot be read, or was rewritten.
    pub(super) fn read(
        &self,
        dir: &Path,
        id: u32,
        clock: i64,
        sketcher: &mut Sketcher,
    ) -> Result<(Position, Vec<Found>), IndexError> {
        let path = dir.join(self.name.to_string());
        let opened = ForeignFile::anyones(MOST_BYTES).open(&path);
        let opened = opened.map_err(|error| LedgerError::io("read", &path)(error.into()))?;
        let (meta, file) = (opened.meta().clone(), opened.into_file());
        let size = meta.len();
        let same = self.is_the_same(&file).map_err(LedgerError::io("read", &path))?;
        if !same || self.known.is_some_and(|known| known.inode != meta.ino() || size < known.size) {
            return Err(IndexError::Unfit(format!("{} was rewritten", self.name)));
        }
        let mut position = self.known.unwrap_or(Position {
            id,
            inode: meta.ino(),
            offset: 0,
            size: 0,
            changed: 0,
            last: None,
            clock,
            damaged: 0,
            newer: 0,
        });
        (position.size, position.changed) = (size, changed(&meta));
        let bytes = read_at(&file, position.offset, size.saturating_sub(position.offset))
            .map_err(LedgerError::io("read", &path))?;
        let mut found = Vec::new();
        let (mut start, mut last) = (0, None);
        for end in memchr::memchr_iter(b'\n', &bytes) {
            let line = &bytes[start..end];
            let offset = position.offset + start as u64;
            match sketcher.read(line) {
                Ok(sketch) => {
                    position.clock = position.clock.max(sketch.time);
                    position.newer += u64::from(sketch.newer);
                    let place = (u32::try_from(offset), u32::try_from(line.len()));
                    if let (Some(about), (Ok(offset), Ok(length))) = (sketch.about, place) {
                        found.push(Found { about, offset, length, at: position.clock });
                    }
                }
                Err(NoSketch::Damaged) => position.damaged += 1,
                Err(NoSketch::Foreign) => position.newer += 1,
            }
            last = Some((offset, start..end));
            start = end + 1;
        }
        if let Some((offset, range)) = last {
            position.last = Some((offset, RecordHash::of(&bytes[range])));
        }
        position.offset += start as u64;
        Ok((position, found))
    }
}

/// The clock that a writer's segment goes on from, and the number for a new segment.
pub(super) fn clock_before(positions: &Positions, name: SegmentName) -> i64 {
    let first = SegmentName { number: 0, ..name };
    let before = positions.range(first..name).next_back();
    before.map_or(i64::MIN, |(_, position)| position.clock)
}

/// The bytes of one record.
pub(super) fn read_at(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut file = file;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(MOST_BYTES)).unwrap_or(0));
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// How far each writer's records are known: what came later is new. It says nothing of an index, so it stays good
/// when that is made again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(BTreeMap<WriterId, (u32, u64)>);

impl Cursor {
    /// The end of what was read.
    pub(super) fn at(positions: &Positions) -> Self {
        let ends = positions.iter().map(|(name, at)| (name.writer, (name.number, at.offset)));
        Self(ends.collect())
    }
}

/// The jobs that the lines behind a cursor speak of, as far as the index was refreshed.
pub(super) fn changes(
    dir: &Path,
    since: &Cursor,
    known: &Positions,
) -> Result<(Vec<JobId>, Cursor), IndexError> {
    let mut jobs = std::collections::BTreeSet::new();
    let mut sketcher = Sketcher::default();
    for (name, position) in known {
        let from = match since.0.get(&name.writer) {
            Some((number, _)) if *number > name.number => continue,
            Some((number, offset)) if *number == name.number => *offset,
            _ => 0,
        };
        if from >= position.offset {
            continue;
        }
        let path = dir.join(name.to_string());
        let read = || read_at(&File::open(&path)?, from, position.offset - from);
        let bytes = read().map_err(LedgerError::io("read", &path))?;
        for line in bytes.split(|byte| *byte == b'\n') {
            let about = sketcher.read(line).ok().and_then(|sketch| sketch.about);
            jobs.extend(about.map(|about| about.job));
        }
    }
    Ok((jobs.into_iter().collect(), Cursor::at(known)))
}
