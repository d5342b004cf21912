//! Copies ranges of older SIFs into the output while the rest of it is written.
//!
//! ```text
//! the writer    section|      gap       |block block|      gap      |tables     waits
//! this thread           copy_file_range  ............ copy_file_range ......... ends
//! ```
//!
//! The length of a range is known, so the writer leaves a gap and continues. A reader of the output asks
//! first how far it is complete ([`Copying::ready`]). Before the output is truncated or named, the thread
//! must have ended; dropping waits for that, too.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::io::Errno;

use super::SquashfsError;
use super::memo::Memo;

/// Ranges that may wait.
const AHEAD: usize = 64;
/// Bytes at once in the kernel: somebody may wait for them.
const STEP: usize = 4 << 20;
/// Bytes at once where the kernel cannot copy.
const BUFFER: usize = 256 << 10;

/// A range of a pack, and where it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    /// Which pack.
    pub(super) pack: usize,
    /// Where in it.
    pub(super) from: u64,
    /// Where in the output's file.
    pub(super) to: u64,
    /// In bytes.
    pub(super) length: u64,
}

/// Which side of a copy failed.
#[derive(Debug)]
pub(super) enum CopyError {
    /// The file that is copied.
    Read(io::Error),
    /// The output.
    Write(io::Error),
}

/// What went wrong, and with which pack.
type Failed = (usize, CopyError);

/// How far the output has what was copied: ranges come in the order of their places.
#[derive(Debug, Default)]
struct Reached {
    /// From the beginning of the file.
    place: Mutex<u64>,
    changed: Condvar,
}

impl Reached {
    fn set(&self, place: u64) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
        self.changed.notify_all();
    }

    fn wait(&self, place: u64) {
        let reached = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_while(reached, |reached| *reached < place);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Nobody waits for a thread that has ended, however it did.
struct Ended<'a>(&'a Reached);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.set(u64::MAX);
    }
}

/// The thread.
#[derive(Debug)]
pub(super) struct Copier {
    ranges: Option<SyncSender<Range>>,
    thread: Option<JoinHandle<Result<(), Failed>>>,
    reached: Arc<Reached>,
}

impl Copier {
    /// Starts it: `packs` by their numbers.
    pub(super) fn start(out: File, packs: Vec<File>) -> Self {
        let (ranges, queue) = sync_channel::<Range>(AHEAD);
        let reached = Arc::new(Reached::default());
        let told = Arc::clone(&reached);
        let thread = std::thread::spawn(move || {
            let _ended = Ended(&told);
            queue.iter().try_for_each(|range| {
                let copied = match packs.get(range.pack) {
                    Some(pack) => copy(pack, &out, range, &told),
                    None => Err(CopyError::Read(io::ErrorKind::NotFound.into())),
                };
                copied.map_err(|error| (range.pack, error))
            })
        });
        Self { ranges: Some(ranges), thread: Some(thread), reached }
    }

    /// Copies a range some time before [`Copier::end`].
    ///
    /// # Errors
    /// What went wrong with an earlier one.
    pub(super) fn copy(&mut self, range: Range) -> Result<(), Failed> {
        match &self.ranges {
            Some(ranges) if ranges.send(range).is_ok() => Ok(()),
            _ => self.end(),
        }
    }

    /// Waits until everything is copied.
    ///
    /// # Errors
    /// Where that was not possible.
    pub(super) fn end(&mut self) -> Result<(), Failed> {
        self.ranges = None;
        let ended = self.thread.take().map_or(Ok(Ok(())), JoinHandle::join);
        ended.unwrap_or_else(|_| {
            Err((0, CopyError::Write(io::Error::other("the thread that copies ended"))))
        })
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        // whoever drops it has another error to tell
        let _ = self.end();
    }
}

/// What may still be copied into a file system that is written otherwise.
#[derive(Debug, Default)]
pub struct Copying(pub(super) Option<Copier>);

impl Copying {
    /// Waits until everything before `end`, from the beginning of the output's file, is there.
    ///
    /// # Errors
    /// When it cannot be: a pack is damaged, or the output cannot be written.
    pub fn ready(&mut self, end: u64, memo: &Memo) -> Result<(), SquashfsError> {
        let Some(copier) = &mut self.0 else { return Ok(()) };
        // nothing more comes
        copier.ranges = None;
        copier.reached.wait(end);
        if copier.thread.as_ref().is_some_and(|thread| !thread.is_finished()) && end < u64::MAX {
            return Ok(());
        }
        let ended = copier.end();
        self.0 = None;
        ended.map_err(|(pack, error)| failed(memo, pack, error))
    }
}

/// What a failed copy means.
pub(super) fn failed(memo: &Memo, pack: usize, error: CopyError) -> SquashfsError {
    match error {
        CopyError::Read(error) => memo.damaged(pack, error.to_string()),
        CopyError::Write(error) => SquashfsError::writing("data")(error),
    }
}

/// In the kernel, which shares the blocks where the file system can.
fn copy(pack: &File, out: &File, range: Range, reached: &Reached) -> Result<(), CopyError> {
    let Range { mut from, mut to, mut length, .. } = range;
    while length > 0 {
        reached.set(to);
        let want = usize::try_from(length).unwrap_or(usize::MAX).min(STEP);
        match rustix::fs::copy_file_range(pack, Some(&mut from), out, Some(&mut to), want) {
            Ok(0) => return Err(CopyError::Read(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => length -= count as u64,
            Err(Errno::INTR) => {}
            Err(errno @ (Errno::NOSPC | Errno::DQUOT)) => {
                return Err(CopyError::Write(errno.into()));
            }
            // another file system, an old kernel, or something that is told better below
            Err(_) => {
                return through_memory(pack, from, length, |bytes, at| {
                    out.write_all_at(bytes, to + at)
                });
            }
        }
    }
    Ok(())
}

/// Gives a range of a file to `write`, piece by piece: with how much came before.
pub(super) fn through_memory(
    pack: &File,
    from: u64,
    length: u64,
    mut write: impl FnMut(&[u8], u64) -> io::Result<()>,
) -> Result<(), CopyError> {
    let mut buffer = vec![0; BUFFER];
    let mut done = 0;
    while done < length {
        let want = usize::try_from(length - done).unwrap_or(usize::MAX).min(BUFFER);
        pack.read_exact_at(&mut buffer[..want], from + done).map_err(CopyError::Read)?;
        write(&buffer[..want], done).map_err(CopyError::Write)?;
        done += want as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn read(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    fn range(pack: usize, from: u64, to: u64, length: u64) -> Range {
        Range { pack, from, to, length }
    }

    #[test]
    fn ranges_go_where_they_belong() {
        let out = file(b"............");
        let packs = vec![file(b"abcdef"), file(b"UVWXYZ")];
        let mut copier = Copier::start(out.try_clone().unwrap(), packs);
        copier.copy(range(0, 0, 1, 3)).unwrap();
        copier.copy(range(1, 2, 8, 4)).unwrap();
        copier.end().unwrap();
        assert_eq!(read(&out), b".abc....WXYZ");
        copier.end().unwrap();
    }

    #[test]
    fn what_is_ready_can_be_read_while_more_is_copied() {
        let bytes: Vec<u8> = (0..STEP * 3 + 7).map(|n| n.to_le_bytes()[n % 3]).collect();
        let length = bytes.len() as u64;
        let (pack, out) = (file(&bytes), file(b""));
        let mut copier = Copier::start(out.try_clone().unwrap(), vec![pack]);
        copier.copy(range(0, 0, 10, length)).unwrap();
        let (mut copying, memo) = (Copying(Some(copier)), Memo::default());
        for end in [10, 11, STEP, STEP * 2 + 1, STEP * 3 + 17] {
            copying.ready(end as u64, &memo).unwrap();
            let mut there = vec![0; end - 10];
            out.read_exact_at(&mut there, 10).unwrap();
            assert!(there == bytes[..end - 10], "{end}");
        }
        copying.ready(u64::MAX, &memo).unwrap();
        assert!(copying.0.is_none());
    }

    #[test]
    fn nobody_waits_for_what_failed() {
        let mut copier = Copier::start(file(b""), vec![file(b"abc")]);
        copier.copy(range(0, 2, 0, 1)).unwrap();
        copier.copy(range(0, 3, 1, 1)).unwrap();
        let (mut copying, memo) = (Copying(Some(copier)), Memo::default());
        // an error is told at the latest where everything is asked for
        let told = copying.ready(2, &memo).and_then(|()| copying.ready(u64::MAX, &memo));
        assert!(matches!(told, Err(SquashfsError::Pack { .. })), "{told:?}");
    }

    #[test]
    fn a_pack_that_is_too_short_is_named() {
        let out = file(b"");
        let mut copier = Copier::start(out, vec![file(b"abc"), file(b"de")]);
        copier.copy(range(0, 0, 0, 3)).unwrap();
        copier.copy(range(1, 0, 3, 3)).unwrap();
        let Err((pack, CopyError::Read(error))) = copier.end() else { panic!("it was copied") };
        assert_eq!((pack, error.kind()), (1, io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn an_error_ends_it_at_the_next_range() {
        let mut copier = Copier::start(file(b""), vec![file(b"")]);
        let failed = (0..10_000).find_map(|n| copier.copy(range(0, 0, n, 1)).err());
        assert!(matches!(failed, Some((0, CopyError::Read(_)))), "{failed:?}");
    }

    #[test]
    fn what_the_kernel_does_not_copy_goes_through_memory() {
        let bytes: Vec<u8> = (0..BUFFER * 2 + 5).map(|n| n.to_le_bytes()[n % 2]).collect();
        let (pack, out) = (file(&bytes), file(b"xx"));
        let length = bytes.len() as u64;
        through_memory(&pack, 1, length - 1, |b, at| out.write_all_at(b, 2 + at)).unwrap();
        assert_eq!(read(&out), [b"xx", &bytes[1..]].concat());
    }
}
