//! Appending: one writer per file, whole lines, on the disk before the call returns.
//!
//! ```text
//! LEDGER/                                 0700
//!   WRITER-000001.jsonl                   0600, only ever appended to
//!   WRITER-000002.jsonl                   after a torn tail or at 4 MiB
//!   claims/BOOT.WRITER                    0600, empty; locked while its writer is in use
//!   personal/...                          (personal.rs)
//! ```
//!
//! Two processes never append to one file. A process takes a writer that is free *on this running
//! kernel*: the claim's name holds the kernel's boot id, and a lock (`flock`) is tried, never
//! waited for. So a lock has to be right only between processes of one kernel, which also a network
//! file system with local locks gives; where locks are not supported, and on every other host and
//! after every boot, a process makes a new writer, whose random name was never used. A wrong guess
//! here costs a small file, never a record. Locks end with their process, so a kill leaves no claim.
//!
//! Not covered: a virtual machine that was cloned while it ran has the boot id of its original. Its
//! locks then go to the file server as all do, and a file that grew under a writer is left alone.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::body::Body;
use super::dir::{cannot_lock, private_dir, sync_dir};
use super::error::LedgerError;
use super::hash::RecordHash;
use super::record::{RECORD_SCHEMA, Record, WriterId, encode};
use super::segment::{SegmentName, Tail, list};

/// At this size in bytes a segment is ended; it only bounds what is read when a writer is taken up.
const SEGMENT_LIMIT: u64 = 4 << 20;
/// Their directory in the ledger.
const CLAIMS_DIR: &str = "claims";

/// A writer that this process holds.
#[derive(Debug)]
pub(super) struct Writer {
    id: WriterId,
    /// Keeps the lock; `None` where locks are not supported.
    claim: Option<(File, PathBuf)>,
    file: File,
    path: PathBuf,
    segment: u32,
    /// Of the last record, 0 before the first.
    sequence: u64,
    /// Of the last line.
    last: Option<RecordHash>,
    /// Of the file, as this process left it.
    size: u64,
}

impl Writer {
    /// Takes up a free writer of this kernel, or makes a new one.
    pub(super) fn acquire(dir: &Path) -> Result<Self, LedgerError> {
        let Some(boot) = boot_id() else { return Self::new(dir, None) };
        let claims = dir.join(CLAIMS_DIR);
        private_dir(&claims)?;
        for id in claimed(&claims, &boot)? {
            let path = claims.join(format!("{boot}.{id}"));
            let file = match OpenOptions::new().write(true).open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(LedgerError::io("open", &path)(error)),
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) if cannot_lock(&error) => {
                    return Self::new(dir, None);
                }
                Err(TryLockError::Error(error)) => {
                    return Err(LedgerError::io("lock", &path)(error));
                }
            }
            // the one who held it before may have given the writer up while we waited
            let kept = file.metadata().is_ok_and(|meta| meta.nlink() > 0);
            if kept && let Some(writer) = Self::resume(dir, id, (file, path))? {
                return Ok(writer);
            }
        }
        Self::new(dir, Some(&boot))
    }

    fn new(dir: &Path, boot: Option<&str>) -> Result<Self, LedgerError> {
        // a second try is needed only when two processes draw one number of 128 bits
        for _ in 0..4 {
            let mut random = [0; 16];
            getrandom::fill(&mut random)?;
            let id = WriterId::from_bytes(random);
            let claim = match boot {
                Some(boot) => match claim(&dir.join(CLAIMS_DIR), boot, id)? {
                    Claim::Held(file, path) => Some((file, path)),
                    Claim::Taken => continue,
                    Claim::NoLocks => None,
                },
                None => None,
            };
            let name = SegmentName { writer: id, number: 1 };
            if let Some((file, path)) = create(dir, name)? {
                let (sequence, last, size) = (0, None, 0);
                return Ok(Self { id, claim, file, path, segment: 1, sequence, last, size });
            }
        }
        Err(LedgerError::NoWriter(dir.to_owned()))
    }

    /// Goes on where a writer ended; `None` when nothing may be appended to it any more.
    fn resume(
        dir: &Path,
        id: WriterId,
        claim: (File, PathBuf),
    ) -> Result<Option<Self>, LedgerError> {
        let mut names = list(dir)?.segments;
        names.retain(|name| name.writer == id);
        let Some(newest) = names.last().copied() else {
            // it was claimed and never written to
            let name = SegmentName { writer: id, number: 1 };
            return Ok(create(dir, name)?.map(|(file, path)| Self {
                id,
                claim: Some(claim),
                file,
                path,
                segment: 1,
                sequence: 0,
                last: None,
                size: 0,
            }));
        };
        let Tail { mut last, torn, size } = Tail::read(dir, newest)?;
        let mut earlier = names.iter().rev().skip(1);
        while last.is_none()
            && let Some(name) = earlier.next()
        {
            last = Tail::read(dir, *name)?.last;
        }
        let (sequence, last) = match &last {
            None => (0, None),
            Some(line) => match &line.record {
                Ok(record) if record.schema <= RECORD_SCHEMA => (record.sequence, Some(line.hash)),
                // damaged, or a newer program's: nothing is added to it
                _ => return Ok(None),
            },
        };
        let path = dir.join(newest.to_string());
        let mut options = OpenOptions::new();
        let file = options.append(true).open(&path).map_err(LedgerError::io("open", &path))?;
        // the one before may have been killed between its write and its sync
        file.sync_all().map_err(LedgerError::io("sync", &path))?;
        sync_dir(dir)?;
        let segment = newest.number;
        let mut writer = Self { id, claim: Some(claim), file, path, segment, sequence, last, size };
        if torn && !writer.next_segment(dir)? {
            return Ok(None);
        }
        Ok(Some(writer))
    }

    /// Opens the next file; `false` when somebody has it already.
    fn next_segment(&mut self, dir: &Path) -> Result<bool, LedgerError> {
        let name = SegmentName { writer: self.id, number: self.segment + 1 };
        let Some((file, path)) = create(dir, name)? else { return Ok(false) };
        (self.file, self.path, self.segment, self.size) = (file, path, name.number, 0);
        Ok(true)
    }

    /// Whether another process changed the file, or removed it.
    fn is_alone(&self) -> Result<bool, LedgerError> {
        let meta = self.file.metadata().map_err(LedgerError::io("read", &self.path))?;
        Ok(meta.len() == self.size && meta.nlink() > 0)
    }

    /// Makes the writer ready for one more record; `false` when it has to be given up.
    pub(super) fn is_ready(&mut self, dir: &Path) -> Result<bool, LedgerError> {
        Ok(self.is_alone()? && (self.size < SEGMENT_LIMIT || self.next_segment(dir)?))
    }

    /// The file that the next records go to.
    pub(super) fn segment(&self) -> SegmentName {
        SegmentName { writer: self.id, number: self.segment }
    }

    /// Appends records; they are on the disk when this returns, all by one sync.
    ///
    /// After an error the writer is not to be used again.
    pub(super) fn append(
        &mut self,
        time: jiff::Timestamp,
        bodies: &[Body],
    ) -> Result<(), LedgerError> {
        let mut bytes = Vec::new();
        let (mut sequence, mut last) = (self.sequence, self.last);
        for body in bodies {
            sequence += 1;
            let line = encode(&Record {
                schema: RECORD_SCHEMA,
                writer: self.id,
                segment: self.segment,
                sequence,
                time,
                prev: last,
                body,
            })?;
            last = Some(RecordHash::of(&line[..line.len() - 1]));
            bytes.extend_from_slice(&line);
        }
        // one write(2); only a full disk or a signal makes it two
        self.file.write_all(&bytes).map_err(LedgerError::io("write", &self.path))?;
        if let Err(error) = self.file.sync_data() {
            self.abandon();
            return Err(LedgerError::io("sync", &self.path)(error));
        }
        (self.sequence, self.last) = (sequence, last);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// After a failed sync nobody knows which bytes the disk has: nobody may build on them.
    pub(super) fn abandon(&mut self) {
        if let Some((_, path)) = self.claim.take() {
            // when this fails, the next one finds the tail as it is
            let _ = fs::remove_file(path);
        }
    }
}

enum Claim {
    Held(File, PathBuf),
    Taken,
    NoLocks,
}

fn claim(claims: &Path, boot: &str, id: WriterId) -> Result<Claim, LedgerError> {
    let path = claims.join(format!("{boot}.{id}"));
    let file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Claim::Taken),
        Err(error) => return Err(LedgerError::io("create", &path)(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Claim::Held(file, path)),
        // another process saw the new claim first and is welcome to it
        Err(TryLockError::WouldBlock) => Ok(Claim::Taken),
        Err(TryLockError::Error(error)) if cannot_lock(&error) => {
            fs::remove_file(&path).map_err(LedgerError::io("remove", &path))?;
            Ok(Claim::NoLocks)
        }
        Err(TryLockError::Error(error)) => Err(LedgerError::io("lock", &path)(error)),
    }
}

/// The writers that were made on this running kernel.
fn claimed(claims: &Path, boot: &str) -> Result<Vec<WriterId>, LedgerError> {
    let mut ids = Vec::new();
    for name in crate::listing::names(claims).map_err(LedgerError::io("read", claims))? {
        let id = name.to_str().and_then(|name| name.strip_prefix(boot)?.strip_prefix('.'));
        ids.extend(id.and_then(|id| id.parse::<WriterId>().ok()));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Makes a new file, durable under its name; `None` when there is one of this name.
fn create(dir: &Path, name: SegmentName) -> Result<Option<(File, PathBuf)>, LedgerError> {
    let path = dir.join(name.to_string());
    match OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path) {
        Ok(file) => {
            sync_dir(dir)?;
            Ok(Some((file, path)))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(LedgerError::io("create", &path)(error)),
    }
}

/// Names this running kernel; containers on it share it, a reboot changes it.
fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = text.trim();
    let good = !id.is_empty() && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    good.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{IntentId, JobId};
    use crate::ledger::testing::private;
    use crate::ledger::{Ledger, verify};

    fn body() -> Body {
        Body::Cancelled {
            job: JobId::from_parts(1, 1),
            intent: IntentId::from_bytes([1; 16]),
            tasks: None,
        }
    }

    fn append(writer: &mut Writer) {
        writer.append(jiff::Timestamp::UNIX_EPOCH, &[body()]).unwrap();
    }

    #[test]
    fn without_locks_every_process_has_its_own_file() {
        let dir = private();
        for _ in 0..3 {
            append(&mut Writer::new(dir.path(), None).unwrap());
        }
        assert_eq!(list(dir.path()).unwrap().segments.len(), 3);
        assert!(verify(dir.path()).unwrap().is_consistent());
    }

    #[test]
    fn a_held_writer_is_not_taken_and_a_free_one_is() {
        let dir = private();
        Ledger::open(dir.path()).unwrap();
        let mut first = Writer::acquire(dir.path()).unwrap();
        append(&mut first);
        let mut second = Writer::acquire(dir.path()).unwrap();
        append(&mut second);
        assert_ne!(first.id, second.id);
        let id = first.id;
        drop(first);
        let mut third = Writer::acquire(dir.path()).unwrap();
        append(&mut third);
        assert_eq!((third.id, third.sequence), (id, 2));
        assert!(verify(dir.path()).unwrap().is_consistent());
    }

    #[test]
    fn an_abandoned_writer_is_not_taken_again() {
        let dir = private();
        let mut first = Writer::acquire(dir.path()).unwrap();
        append(&mut first);
        first.abandon();
        let id = first.id;
        drop(first);
        assert_ne!(Writer::acquire(dir.path()).unwrap().id, id);
    }

    #[test]
    fn a_claim_that_was_never_written_to_is_used() {
        let dir = private();
        let mut first = Writer::acquire(dir.path()).unwrap();
        let id = first.id;
        fs::remove_file(&first.path).unwrap();
        assert!(!first.is_ready(dir.path()).unwrap(), "its file is gone");
        drop(first);
        let mut second = Writer::acquire(dir.path()).unwrap();
        append(&mut second);
        assert_eq!((second.id, second.sequence), (id, 1));
        assert!(verify(dir.path()).unwrap().is_consistent());
    }
}
