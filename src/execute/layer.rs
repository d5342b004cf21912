//! `--scratch SIZE`: a layer over the image that the program can write to. It lies on the node's disk and goes with the
//! job.
//!
//! ```text
//! SCRATCH/layer/upper   what the program wrote             SCRATCH/layer/work   the kernel's own (overlayfs)
//! ```
//!
//! **The limit is watched, not enforced.** Quotas and file systems in files need the machine's root. A thread adds up what
//! lies in the layer, at most every second and for a tenth of the time; when it is more than SIZE the job is told to end.
//! So a program may write more for a moment, and what it deleted and still has open is not counted.

use std::fs;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::ExecuteError;
use super::attend::Ended;
use super::report::Report;
use crate::job::Terms;
use crate::listing;
use crate::worker::{SizeLimit, WritableLayer, exit};

/// Between two looks at least.
const PAUSE: Duration = Duration::from_secs(1);
/// What a look took, so many times, is the pause, too.
const SHARE: u32 = 9;

/// How many bytes a job may write into its image.
pub(super) fn asked(terms: &Terms) -> Option<u64> {
    terms.scratch_mib.map(|mib| mib.saturating_mul(1 << 20))
}

/// The directories of a layer.
#[derive(Debug)]
pub(super) struct Layer {
    top: PathBuf,
    /// How large it may become, in bytes.
    size: u64,
}

impl Layer {
    /// Makes it in a directory of the job's.
    ///
    /// # Errors
    /// [`ExecuteError::NoRoom`] when the disk has less than was asked for.
    pub(super) fn make(directory: &Path, size: u64) -> Result<Self, ExecuteError> {
        room(directory, size)?;
        let top = directory.join("layer");
        let layer = Self { top, size };
        let mut private = fs::DirBuilder::new();
        private.mode(0o700);
        for path in [&layer.top, &layer.work()] {
            private.create(path).map_err(ExecuteError::io(format!("making {}", path.display())))?;
        }
        // the container's root has this one's mode
        let upper = layer.upper();
        let made = fs::create_dir(&upper)
            .and_then(|()| fs::set_permissions(&upper, fs::Permissions::from_mode(0o755)));
        made.map_err(ExecuteError::io(format!("making {}", upper.display())))?;
        Ok(layer)
    }

    /// The directory that holds both.
    pub(super) fn path(&self) -> &Path {
        &self.top
    }

    /// What the program writes comes here.
    pub(super) fn upper(&self) -> PathBuf {
        self.top.join("upper")
    }

    /// For the kernel.
    pub(super) fn work(&self) -> PathBuf {
        self.top.join("work")
    }

    /// Begins to watch it, and says so in the receipt.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn watch(&self, report: &mut Report) -> Result<Watch, ExecuteError> {
        let limit = SizeLimit::Watched;
        report.conditions.scratch = Some(WritableLayer { size: self.size, limit, used: None });
        Watch::start(&self.upper(), 0, self.size)
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        // a program may have closed directories of its own, and the kernel's has mode 0: the owner opens them again
        open_up(&self.top);
        let _ = listing::remove_tree(&self.top);
    }
}

/// Begins to watch a tree that the program can write to as it is, and says so in the receipt.
///
/// # Errors
/// When no thread can be started.
pub(super) fn watch_tree(
    top: &Path,
    size: u64,
    report: &mut Report,
) -> Result<Watch, ExecuteError> {
    let limit = SizeLimit::Watched;
    report.conditions.scratch = Some(WritableLayer { size, limit, used: None });
    Watch::start(top, used(top), size)
}

/// Whether a disk has so much.
///
/// # Errors
/// [`ExecuteError::NoRoom`] when it has less.
pub(super) fn room(directory: &Path, size: u64) -> Result<(), ExecuteError> {
    let what = || format!("asking the disk of {}", directory.display());
    let disk = rustix::fs::statvfs(directory).map_err(|e| ExecuteError::io(what())(e.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < size {
        return Err(ExecuteError::NoRoom { directory: directory.to_owned(), size, free });
    }
    Ok(())
}

fn open_up(top: &Path) {
    let mut todo = vec![top.to_owned()];
    while let Some(dir) = todo.pop() {
        let Ok(meta) = fs::symlink_metadata(&dir) else { continue };
        if !meta.is_dir() {
            continue;
        }
        if meta.permissions().mode() & 0o700 != 0o700 {
            let _ = fs::set_permissions(&dir, fs::Permissions::from_mode(0o700));
        }
        todo.extend(listing::names(&dir).unwrap_or_default().iter().map(|name| dir.join(name)));
    }
}

/// Watches how large a directory becomes, until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    top: PathBuf,
    /// What it held at the beginning, in bytes.
    before: u64,
    /// Becomes readable when it is too large.
    alarm: PipeReader,
    exceeded: Arc<AtomicBool>,
    /// Dropped, it ends the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn start(top: &Path, before: u64, size: u64) -> Result<Self, ExecuteError> {
        let (alarm, bell) = io::pipe().map_err(ExecuteError::io("making a pipe"))?;
        let exceeded = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = mpsc::channel();
        let (dir, flag) = (top.to_owned(), exceeded.clone());
        let watch = move || {
            let mut bell: PipeWriter = bell;
            let mut pause = PAUSE;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let begun = Instant::now();
                if used(&dir).saturating_sub(before) > size {
                    flag.store(true, Ordering::Relaxed);
                    // the worker has the other end as long as this thread lives
                    let _ = bell.write_all(b"!");
                    return;
                }
                pause = PAUSE.max(begun.elapsed() * SHARE);
            }
        };
        let thread = std::thread::Builder::new()
            .name("scratch".into())
            .spawn(watch)
            .map_err(|e| ExecuteError::starting("watching the scratch layer", e))?;
        let (stop, thread) = (Some(stop), Some(thread));
        Ok(Self { top: top.to_owned(), before, alarm, exceeded, stop, thread })
    }

    /// Becomes readable when the directory is too large.
    ///
    /// # Errors
    /// When the handle cannot be duplicated.
    pub(super) fn alarm(&self) -> Result<OwnedFd, ExecuteError> {
        let alarm = self.alarm.try_clone().map_err(ExecuteError::io("duplicating a handle"))?;
        Ok(alarm.into())
    }

    /// Says in the receipt what came of it; a layer that became too large is the end of the job.
    pub(super) fn finish(mut self, ended: &mut Ended, report: &mut Report) {
        self.end();
        let Some(layer) = &mut report.conditions.scratch else { return };
        let used = used(&self.top).saturating_sub(self.before);
        layer.used = Some(used);
        if self.exceeded.load(Ordering::Relaxed) {
            let asked = layer.size >> 20;
            report.notes.push(format!(
                "the program wrote more than {asked} MiB into its image (--scratch), so that it was told to end; \
                 it ended with {}",
                ended.code
            ));
            ended.code = exit::LIMIT;
        }
    }

    fn end(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a directory takes of its disk, in bytes. What cannot be read is not counted.
fn used(top: &Path) -> u64 {
    let mut total = 0;
    let mut todo = vec![top.to_owned()];
    while let Some(dir) = todo.pop() {
        for name in listing::names(&dir).unwrap_or_default() {
            let path = dir.join(name);
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            let bytes = meta.blocks().saturating_mul(512);
            if meta.is_dir() {
                total += bytes;
                todo.push(path);
            } else {
                total += bytes / meta.nlink().max(1);
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_counted_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let layer = Layer::make(dir.path(), 1 << 20).unwrap();
        let upper = layer.upper();
        assert!(used(&upper) < 1 << 16);
        fs::write(upper.join("file"), vec![1; 1 << 19]).unwrap();
        fs::hard_link(upper.join("file"), upper.join("link")).unwrap();
        let counted = used(&upper);
        assert!((1 << 19..1 << 20).contains(&counted), "{counted}");
        // as a program or the kernel may leave it
        fs::create_dir_all(upper.join("closed/below")).unwrap();
        fs::set_permissions(upper.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
        drop(layer);
        assert!(!dir.path().join("layer").exists());
    }

    #[test]
    fn a_disk_with_less_room_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = Layer::make(dir.path(), 1 << 60).unwrap_err();
        assert_eq!(error.exit_code(), exit::NO_SPACE, "{error}");
        assert!(error.to_string().contains("1099511627776 MiB"), "{error}");
        assert!(!dir.path().join("layer").exists());
    }

    #[test]
    fn a_layer_that_is_too_large_rings() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), vec![1; 1 << 16]).unwrap();
        let small = Watch::start(dir.path(), 0, 1 << 10).unwrap();
        let large = Watch::start(dir.path(), 1 << 20, 1 << 10).unwrap();
        let mut heard = [0];
        io::Read::read_exact(&mut &small.alarm, &mut heard).unwrap();
        assert!(small.exceeded.load(Ordering::Relaxed));
        assert!(!large.exceeded.load(Ordering::Relaxed));
        // ends its thread at once
        drop(large);
    }
}
