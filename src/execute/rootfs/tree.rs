//! Writes an image's tree into an empty directory, by several threads.
//!
//! ```text
//! walk: mkdir, symlink, link, create ---- runs of pieces ----> worker: decode, pwrite
//!       (one thread, in order)           (a bounded queue)     worker: ...
//! ```
//!
//! Only the walk has names. It opens each directory part by part from the root with `O_NOFOLLOW`
//! and creates with `O_EXCL`, so nothing outside is touched, whatever the image or another process
//! does; workers get open files. A file's time is set when its last run was written.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::execute::ExecuteError;
use crate::execute::attend::still_wanted;
use crate::sif::Partition;
use crate::squashfs::read::{self, Decoder, Image, Kind, Limits, NamedInode, Piece, ReadError};

/// `[limits]` that were set, by name.
pub(in crate::execute) type Configured = BTreeMap<String, u64>;

const DIRECTORY: OFlags =
    OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::RDONLY);
/// Pieces that a worker gets at once: 4 MiB of the usual blocks.
const RUN: usize = 32;
/// More threads than this wait for the disk.
const MAX_THREADS: usize = 16;

/// A file that workers fill.
struct Target {
    file: File,
    path: PathBuf,
    modified: SystemTime,
}

/// What one worker does at once.
struct Run {
    target: Arc<Target>,
    pieces: Vec<Piece>,
}

/// Writes the tree of an image's partition below `root`, an empty directory.
pub(super) fn write(
    image: &File,
    partition: Partition,
    configured: &Configured,
    root: &Path,
) -> Result<(), ExecuteError> {
    let link = |from: &OwnedFd, name: &OsStr, to: &OwnedFd, new: &OsStr| {
        rustix::fs::linkat(from, name, to, new, AtFlags::empty())
    };
    write_with(image, partition, configured, root, &link)
}

/// As [`write`], with another way to link.
fn write_with(
    image: &File,
    partition: Partition,
    configured: &Configured,
    root: &Path,
    link: &Link,
) -> Result<(), ExecuteError> {
    let mut limits = Limits::default();
    for (name, value) in configured {
        limits.set(name, *value);
    }
    let image = Image::open(image, partition.offset, partition.size, limits)
        .map_err(|e| bad("its squashfs", &e))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let (runs, queue) = sync_channel(2 * threads);
    // each worker holds it: when all have ended, nobody waits for a place in the queue
    let queue = Arc::new(Mutex::new(queue));
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for _ in 0..threads {
            let (image, queue, failed) = (&image, Arc::clone(&queue), &failed);
            let work = move || {
                let ended = work(image, &queue);
                failed.fetch_or(ended.is_err(), Ordering::Relaxed);
                ended
            };
            match std::thread::Builder::new().spawn_scoped(scope, work) {
                Ok(worker) => workers.push(worker),
                // fewer are enough
                Err(_) if !workers.is_empty() => break,
                Err(e) => return Err(ExecuteError::starting("starting a thread that unpacks", e)),
            }
        }
        drop(queue);
        let mut entries = image.walk().take_while(|_| !failed.load(Ordering::Relaxed));
        let walked = walk(&image, &mut entries, root, &runs, link);
        drop(runs);
        let mut result = Ok(());
        for worker in workers {
            let ended = worker.join().unwrap_or_else(|_| Err(bad(root, &"a thread ended")));
            result = result.and(ended);
        }
        // a worker's error is the cause where both have one
        result.and(walked)
    })
}

fn work(image: &Image<&File>, queue: &Mutex<Receiver<Run>>) -> Result<(), ExecuteError> {
    let mut decoder = Decoder::new(image).map_err(|e| bad("its squashfs", &e))?;
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Run { target, pieces }) = next else { return Ok(()) };
        still_wanted()?;
        let io = || ExecuteError::io(format!("unpacking {}", target.path.display()));
        for piece in &pieces {
            let bytes = decoder.read(piece).map_err(|e| bad(&target.path, &e))?;
            target.file.write_all_at(bytes, piece.at).map_err(io())?;
        }
        if let Some(target) = Arc::into_inner(target) {
            target.finish()?;
        }
    }
}

impl Target {
    /// When everything was written.
    fn finish(self) -> Result<(), ExecuteError> {
        self.file
            .set_modified(self.modified)
            .map_err(ExecuteError::io(format!("unpacking {}", self.path.display())))
    }
}

/// Gives a file another name: `linkat` without `AT_SYMLINK_FOLLOW`.
type Link = dyn Fn(&OwnedFd, &OsStr, &OwnedFd, &OsStr) -> Result<(), Errno>;

/// Whether a file system refuses a further name for reasons of its own: it may have as many as it can
/// (`EMLINK`), or must have none in another directory (`EXDEV`: AFS, projects with a quota) or at all.
/// The file is written once more then.
fn cannot_link(error: Errno) -> bool {
    matches!(
        error,
        Errno::MLINK | Errno::XDEV | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NOSYS
    )
}

/// Makes all names; files' bytes go to the queue.
fn walk(
    image: &Image<&File>,
    entries: &mut dyn Iterator<Item = Result<NamedInode, ReadError>>,
    root: &Path,
    runs: &SyncSender<Run>,
    link: &Link,
) -> Result<(), ExecuteError> {
    let top = rustix::fs::open(root, DIRECTORY, Mode::empty()).map_err(writing(root))?;
    let mut parent: (PathBuf, OwnedFd) = (PathBuf::new(), reopen(&top)?);
    // by the number of the name: files that have more
    let mut linked: HashMap<u64, PathBuf> = HashMap::new();
    for entry in entries {
        let NamedInode { path, inode, name: number, first } =
            entry.map_err(|e| bad("its squashfs", &e))?;
        let path = Path::new(OsStr::from_bytes(&path));
        // the owner can read and write all directories: he fills and later removes them
        let mode = Mode::from_raw_mode(u32::from(inode.mode) & 0o777);
        let Some(name) = path.file_name() else {
            rustix::fs::fchmod(&top, mode | Mode::RWXU).map_err(writing(root))?;
            continue;
        };
        let above = path.parent().unwrap_or(Path::new(""));
        if parent.0 != above {
            parent = (above.to_owned(), descend(&top, above)?);
        }
        let parent = &parent.1;
        let new_file = |file: &read::File| {
            let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(inode.mtime.into());
            let target =
                Target { file: create(parent, name, path)?, path: path.to_owned(), modified };
            fill(image, file, mode, target, runs)
        };
        match &inode.kind {
            Kind::Directory(_) => {
                rustix::fs::mkdirat(parent, name, Mode::RWXU).map_err(writing(path))?;
                let made = rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())
                    .map_err(writing(path))?;
                rustix::fs::fchmod(&made, mode | Mode::RWXU).map_err(writing(path))?;
            }
            Kind::File(file) if first != number && linked.contains_key(&first) => {
                let other = &linked[&first];
                let directory = descend(&top, other.parent().unwrap_or(Path::new("")))?;
                let other = other.file_name().unwrap_or_default();
                match link(&directory, other, parent, name) {
                    // further names are those of the copy
                    Err(e) if cannot_link(e) => {
                        linked.insert(first, path.to_owned());
                        new_file(file)?;
                    }
                    linked => linked.map_err(writing(path))?,
                }
            }
            Kind::File(file) => {
                if inode.links > 1 {
                    linked.insert(number, path.to_owned());
                }
                new_file(file)?;
            }
            Kind::Symlink(target) => {
                rustix::fs::symlinkat(OsStr::from_bytes(target), parent, name)
                    .map_err(writing(path))?;
            }
            Kind::Character(..) | Kind::Block(..) | Kind::Fifo | Kind::Socket => {}
        }
    }
    Ok(())
}

/// Hands a new file's pieces out; holes stay holes.
fn fill(
    image: &Image<&File>,
    file: &read::File,
    mode: Mode,
    target: Target,
    runs: &SyncSender<Run>,
) -> Result<(), ExecuteError> {
    let set = |r: io::Result<()>| {
        r.map_err(ExecuteError::io(format!("unpacking {}", target.path.display())))
    };
    set(target.file.set_permissions(Permissions::from_mode(mode.as_raw_mode())))?;
    set(target.file.set_len(file.size))?;
    let target = Arc::new(target);
    // a closed queue: every worker ended with an error, which is told
    let stopped = || bad(&target.path, &"unpacking stopped");
    let mut pieces = Vec::new();
    for piece in image.pieces(file) {
        let piece = piece.map_err(|e| bad(&target.path, &e))?;
        if !piece.is_hole() {
            pieces.push(piece);
        }
        if pieces.len() == RUN {
            let pieces = std::mem::take(&mut pieces);
            let run = Run { target: Arc::clone(&target), pieces };
            runs.send(run).map_err(|_| stopped())?;
        }
    }
    // also an empty one: who has the file last sets its time
    let path = target.path.clone();
    runs.send(Run { target, pieces }).map_err(|_| bad(path, &"unpacking stopped"))
}

fn bad(path: impl AsRef<Path>, why: &impl ToString) -> ExecuteError {
    let path = path.as_ref().display().to_string();
    ExecuteError::Unpack { path, why: why.to_string() }
}

/// A failure to write, which may be a full disk.
fn writing(path: &Path) -> impl FnOnce(Errno) -> ExecuteError {
    let what = format!("unpacking {}", path.display());
    move |e| match e {
        Errno::EXIST => {
            ExecuteError::Unpack { path: what, why: "the name is in the image twice".into() }
        }
        Errno::LOOP | Errno::NOTDIR => {
            ExecuteError::Unpack { path: what, why: "its parent is not a directory".into() }
        }
        e => ExecuteError::Io { what, source: e.into() },
    }
}

fn reopen(directory: &OwnedFd) -> Result<OwnedFd, ExecuteError> {
    directory.try_clone().map_err(ExecuteError::io("duplicating a handle"))
}

/// Opens a directory below `top`, part by part, following no links.
fn descend(top: &OwnedFd, path: &Path) -> Result<OwnedFd, ExecuteError> {
    let mut here = reopen(top)?;
    for part in path.components() {
        here = rustix::fs::openat(&here, part.as_os_str(), DIRECTORY, Mode::empty())
            .map_err(writing(path))?;
    }
    Ok(here)
}

fn create(parent: &OwnedFd, name: &OsStr, path: &Path) -> Result<File, ExecuteError> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle =
        rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR).map_err(writing(path))?;
    Ok(File::from(handle))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::process::Command;

    use super::*;
    use crate::execute::find_program;
    use crate::oci::Platform;
    use crate::sif::Arch;

    /// The file systems that refuse are put in the place of real ones.
    type Refuse = fn(&File, &OsStr) -> Option<Errno>;

    #[test]
    fn a_name_that_the_file_system_refuses_is_a_copy() {
        if find_program("mksquashfs").is_none() {
            let required = std::env::var("MOORLINE_TESTS_REQUIRE").unwrap_or_default();
            assert!(
                !required.split(',').any(|part| part == "squashfs-tools"),
                "mksquashfs is required"
            );
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        fs::create_dir_all(source.join("sub")).unwrap();
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n / 7).to_le_bytes()[0]).collect();
        fs::write(source.join("a"), &bytes).unwrap();
        for name in ["b", "c", "sub/d", "sub/e"] {
            fs::hard_link(source.join("a"), source.join(name)).unwrap();
        }
        let image = dir.path().join("image");
        let made = Command::new("mksquashfs")
            .args([&source, &image])
            .args(["-noappend", "-quiet", "-no-progress"])
            .status();
        assert!(made.unwrap().success());
        let image = File::open(image).unwrap();
        let size = image.metadata().unwrap().len();
        let partition = Partition { offset: 0, size, arch: Arch::of(&Platform::host()).unwrap() };
        let refusals: [(&str, Refuse, usize); 4] = [
            (
                "two names at most",
                |f, _| (f.metadata().unwrap().nlink() > 1).then_some(Errno::MLINK),
                3,
            ),
            (
                "only in one directory",
                |_, new| (new == "d" || new == "e").then_some(Errno::XDEV),
                3,
            ),
            ("no links", |_, _| Some(Errno::PERM), 5),
            ("as many as you like", |_, _| None, 1),
        ];
        for (what, refuse, files) in refusals {
            let root = dir.path().join(what);
            fs::create_dir(&root).unwrap();
            let link = move |from: &OwnedFd, name: &OsStr, to: &OwnedFd, new: &OsStr| {
                let file = rustix::fs::openat(from, name, OFlags::RDONLY, Mode::empty())?;
                match refuse(&File::from(file), new) {
                    Some(error) => Err(error),
                    None => rustix::fs::linkat(from, name, to, new, AtFlags::empty()),
                }
            };
            write_with(&image, partition, &Configured::new(), &root, &link).unwrap();
            let mut inodes = Vec::new();
            for name in ["a", "b", "c", "sub/d", "sub/e"] {
                assert_eq!(fs::read(root.join(name)).unwrap(), bytes, "{what}: {name}");
                let time = |root: &Path| fs::metadata(root.join(name)).unwrap().mtime();
                assert_eq!(time(&root), time(&source), "{what}: {name}");
                inodes.push(fs::metadata(root.join(name)).unwrap().ino());
            }
            inodes.sort_unstable();
            inodes.dedup();
            assert_eq!(inodes.len(), files, "{what}");
        }
        let link = |_: &OwnedFd, _: &OsStr, _: &OwnedFd, _: &OsStr| Err(Errno::IO);
        let root = dir.path().join("broken");
        fs::create_dir(&root).unwrap();
        assert!(write_with(&image, partition, &Configured::new(), &root, &link).is_err());
    }
}
