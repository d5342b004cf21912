//! Lets the disk take a large file while it is being written, so that little is left for its last sync.
//!
//! ```text
//! who writes    ....................|..................|.......|end
//! this thread   looks, looks, syncs what came, looks, syncs ...|
//! ```
//!
//! Nothing relies on it: a file gets its name only after a sync of all of it (`incoming.rs`). An error is kept and
//! reported, because the system reports a lost write only once.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::StoreError;

/// So many new bytes are worth a sync: a small file is synced once, when it is complete.
const WORTH: u64 = 64 << 20;
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);

/// A thread that syncs a file now and then, until this is ended or dropped.
#[derive(Debug)]
pub struct Writeback {
    /// Closed to end the thread; `None` only while it is dropped.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<io::Result<u64>>>,
    path: PathBuf,
}

impl Writeback {
    /// Of a file that grows; `path` is for messages.
    pub(super) fn of(file: &File, path: &Path) -> Result<Self, StoreError> {
        Self::with(file, path, WORTH)
    }

    fn with(file: &File, path: &Path, worth: u64) -> Result<Self, StoreError> {
        let file = file.try_clone().map_err(StoreError::io("cannot write", path))?;
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut synced = 0;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK) {
                let length = file.metadata()?.len();
                if length >= synced + worth {
                    file.sync_data()?;
                    synced = length;
                }
            }
            Ok(synced)
        });
        Ok(Self { stop: Some(stop), thread: Some(thread), path: path.to_owned() })
    }

    /// Ends it; how much of the file it synced, in bytes.
    ///
    /// # Errors
    /// When the disk did not take what was written.
    pub fn end(mut self) -> Result<u64, StoreError> {
        self.stop = None;
        let ended = self.thread.take().map(JoinHandle::join);
        let gone = || io::Error::other("the thread that syncs ended");
        ended
            .and_then(Result::ok)
            .unwrap_or_else(|| Err(gone()))
            .map_err(StoreError::io("cannot write", &self.path))
    }
}

impl Drop for Writeback {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // whoever drops it has another error to tell
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_file_that_grows_is_synced_before_it_is_complete() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[1; 5000]).unwrap();
        let path = file.path().to_owned();
        let small = Writeback::with(file.as_file(), &path, 5001).unwrap();
        let large = Writeback::with(file.as_file(), &path, 5000).unwrap();
        // it looks again and again; dropping or ending it never waits for more than one look
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut synced = large.end().unwrap();
        while synced == 0 && Instant::now() < deadline {
            let again = Writeback::with(file.as_file(), &path, 5000).unwrap();
            std::thread::sleep(LOOK * 2);
            synced = again.end().unwrap();
        }
        assert_eq!(synced, 5000);
        assert_eq!(small.end().unwrap(), 0);
    }
}
