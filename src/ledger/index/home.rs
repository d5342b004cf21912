//! Where the index's file lies: in a private directory on a disk of this machine.
//!
//! ```text
//! DIR/                  0700, the caller's; a local file system (statfs(2))
//!   NAME.sqlite         0600; NAME is of the ledger's key and place (sealed.rs)
//!   NAME.sqlite-wal, -shm
//!   NAME.lock           shared by those who use the file, exclusive for who throws it away
//! ```
//!
//! `SQLite`'s locks are not to be trusted on network file systems (sqlite.org/faq.html, question 5), so there is
//! never an index there.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::error::IndexError;

/// A directory in memory that others use as well holds no more, in bytes: `XDG_RUNTIME_DIR`.
pub(super) const SMALL: u64 = 64 << 20;
/// How long another process may take to open or to throw away an index.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long another process may write one step.
pub(super) const BUSY: Duration = Duration::from_secs(30);
const PAGE: u32 = 4096;

/// A directory for indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    dir: PathBuf,
    most: Option<u64>,
}

/// Keeps an index from being thrown away; ends with the value.
#[derive(Debug)]
pub(super) struct Lease(#[expect(dead_code, reason = "holds the lock")] File);

impl Home {
    /// This directory; `most` bounds the file's size in bytes.
    #[must_use]
    pub fn new(dir: PathBuf, most: Option<u64>) -> Self {
        Self { dir, most }
    }

    /// The first good place: `cache`, else `runtime`, which may hold less than 64 MB.
    ///
    /// # Errors
    /// Why neither is one.
    pub fn choose(cache: &Path, runtime: Option<&Path>) -> Result<Self, IndexError> {
        let mut why = None;
        for home in Self::candidates(cache, runtime) {
            match home.prepare() {
                Ok(_) => return Ok(home),
                Err(error) => why = why.or(Some(error)),
            }
        }
        Err(why.unwrap_or_else(|| IndexError::Place("there is no place".into())))
    }

    /// The places in the order in which they are tried.
    pub(super) fn candidates(cache: &Path, runtime: Option<&Path>) -> Vec<Self> {
        let runtime = runtime.map(|dir| Self::new(dir.join("moorline/index"), Some(SMALL)));
        [Some(Self::new(cache.to_owned(), None)), runtime].into_iter().flatten().collect()
    }

    /// Whether an index has this name.
    pub(super) fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.dir.join(format!("{name}.sqlite"))).is_ok_and(|m| m.len() > 0)
    }

    pub(super) fn limit(&self) -> Option<u64> {
        self.most
    }

    /// Makes the directory, or checks it; gives it without links.
    fn prepare(&self) -> Result<PathBuf, IndexError> {
        let dir = &self.dir;
        let bad = |why: &str| IndexError::Place(format!("{} {why}", dir.display()));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let meta = fs::symlink_metadata(dir)?;
        if !meta.is_dir() {
            return Err(bad("is not a directory"));
        }
        if meta.uid() != rustix::process::geteuid().as_raw() {
            return Err(bad("is another user's"));
        }
        if meta.mode() & 0o022 != 0 {
            return Err(bad("can be written by others"));
        }
        let kind = rustix::fs::statfs(dir).map_err(io::Error::from)?.f_type;
        if !crate::files::is_local(kind) {
            return Err(bad(&format!(
                "is not known to be on a disk of this machine (file system {kind:#x})"
            )));
        }
        Ok(fs::canonicalize(dir)?)
    }

    /// The path of an index and the right to use it. A file that is not as ours are is thrown away.
    pub(super) fn lease(&self, name: &str) -> Result<(PathBuf, Lease), IndexError> {
        let dir = self.prepare()?;
        let path = dir.join(format!("{name}.sqlite"));
        for _ in 0..2 {
            let lock = lock_file(&dir, name)?;
            wait(|| lock.try_lock_shared())?;
            match fs::symlink_metadata(&path) {
                Ok(meta) if is_ours(&meta) => return Ok((path, Lease(lock))),
                Ok(_) => {
                    drop(lock);
                    self.throw_away(name)?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let mut options = OpenOptions::new();
                    match options.write(true).create_new(true).mode(0o600).open(&path) {
                        Ok(_) => return Ok((path, Lease(lock))),
                        // another process was quicker
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(IndexError::Place(format!("{} cannot be made anew", path.display())))
    }

    /// Removes an index that nobody uses.
    pub(super) fn throw_away(&self, name: &str) -> Result<(), IndexError> {
        let dir = self.prepare()?;
        let lock = lock_file(&dir, name)?;
        wait(|| lock.try_lock())?;
        for ending in ["sqlite", "sqlite-wal", "sqlite-shm"] {
            match fs::remove_file(dir.join(format!("{name}.{ending}"))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_ours(meta: &fs::Metadata) -> bool {
    meta.is_file()
        && meta.uid() == rustix::process::geteuid().as_raw()
        && meta.mode().trailing_zeros() >= 6
        && meta.nlink() == 1
}

fn lock_file(dir: &Path, name: &str) -> Result<File, IndexError> {
    let path = dir.join(format!("{name}.lock"));
    let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    Ok(options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)?)
}

/// Tries again for a while.
fn wait(mut lock: impl FnMut() -> Result<(), TryLockError>) -> Result<(), IndexError> {
    let end = Instant::now() + PATIENCE;
    loop {
        match lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(IndexError::Place("another process makes it anew".into()));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

/// Opens the file for `SQLite`.
pub(super) fn connect(path: &Path, most: Option<u64>) -> Result<Connection, IndexError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    // files beside it get the mode of the file, whatever the umask
    let base = Connection::open_with_flags(path, flags)?;
    base.busy_timeout(BUSY)?;
    base.set_prepared_statement_cache_capacity(64);
    base.pragma_update(None, "page_size", PAGE)?;
    // the file is a cache: what a crash of the machine loses is read again, what it damages is thrown away
    let _: String = base.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    base.pragma_update(None, "synchronous", "NORMAL")?;
    base.pragma_update(None, "cache_size", -24_576)?;
    base.pragma_update(None, "temp_store", "MEMORY")?;
    // a file of somebody else's making cannot run anything: no views, triggers or functions of its own are trusted
    base.pragma_update(None, "trusted_schema", "OFF")?;
    base.pragma_update(None, "cell_size_check", "ON")?;
    if let Some(most) = most {
        // a third is left for the log
        let pages = i64::try_from(most / u64::from(PAGE) * 2 / 3).unwrap_or(i64::MAX);
        let _: i64 =
            base.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |r| r.get(0))?;
        base.pragma_update(None, "wal_autocheckpoint", 256)?;
    }
    Ok(base)
}

/// Whether a mode lets nobody else in; for tests.
#[cfg(test)]
pub(super) fn private(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.mode().trailing_zeros() >= 6)
}
