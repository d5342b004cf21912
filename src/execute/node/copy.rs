//! A SIF that lies on a disk of another machine: copied to the node once, hashed while it is copied.
//!
//! Where the image's blocks are checked when the program reads them nothing is copied: only what is read goes through the
//! network then. Where the whole file is hashed before the start, each job of the node would read all of it there.

use std::fs::TryLockError;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::images::{COPYING, Images, marker};
use crate::execute::ExecuteError;
use crate::execute::attend::still_wanted;
use crate::files::{self, ForeignFile};
use crate::oci::{Sha256Digest, SifDigest};

/// Between two looks of who waits.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes that are copied at once.
const CHUNK: usize = 1 << 20;

/// Whether a copy saves work: it was wanted, or nobody said anything and the file lies on no disk of this machine.
pub(in crate::execute) fn is_worth_it(place: &Path, wanted: Option<bool>) -> bool {
    let is_far = || rustix::fs::statfs(place).is_ok_and(|stat| !files::is_local(stat.f_type));
    wanted.unwrap_or_else(is_far)
}

/// The copy of a SIF on this node, made now or by another job. Its bytes had the digest when it was made.
///
/// # Errors
/// [`ExecuteError::Told`] when the job is to end; else the reason why the file is to be used where it lies.
pub(in crate::execute) fn copied(
    images: &Images,
    place: &Path,
    digest: SifDigest,
) -> Result<Result<PathBuf, String>, ExecuteError> {
    let why =
        |error: &dyn std::fmt::Display| format!("the image is not copied to this node: {error}");
    let lock = match images.directory(COPYING).and_then(|dir| marker(&dir.join(digest.hex()))) {
        Ok(lock) => lock,
        Err(error) => return Ok(Err(why(&error))),
    };
    loop {
        if let Some(found) = images.store.fetched_sif(&digest) {
            return Ok(Ok(found));
        }
        match lock.try_lock() {
            // without locks two may copy, which is harmless
            Ok(()) | Err(TryLockError::Error(_)) => break,
            Err(TryLockError::WouldBlock) => {}
        }
        still_wanted()?;
        std::thread::sleep(PAUSE);
    }
    // it may have been named between the look and the lock
    if let Some(found) = images.store.fetched_sif(&digest) {
        return Ok(Ok(found));
    }
    match copy(images, place, digest) {
        Ok(path) => Ok(Ok(path)),
        Err(error) => {
            still_wanted()?;
            Ok(Err(why(&error)))
        }
    }
}

fn copy(images: &Images, place: &Path, digest: SifDigest) -> io::Result<PathBuf> {
    let mut from = ForeignFile::anyones(u64::MAX).through_links().open(place)?.into_file();
    let mut incoming = images.store.incoming().map_err(io::Error::other)?;
    let (mut chunk, mut size) = (vec![0; CHUNK], 0);
    loop {
        if let Err(told) = still_wanted() {
            return Err(io::Error::other(told));
        }
        let length = from.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        incoming.write(&chunk[..length]).map_err(io::Error::other)?;
        size += length as u64;
    }
    images.store.publish_fetched_sif(incoming, &digest, size).map_err(io::Error::other)
}
