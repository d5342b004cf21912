//! What an unpacked tree was when it was whole, in 32 bytes: whether anything was removed from it,
//! added or changed is seen without reading a file.
//!
//! ```text
//! seal = number of entries, sum over all entries of
//!        BLAKE3(path NUL mode inode | size mtime ctime links   of what is not a directory
//!                                   | mtime                    of a directory)
//! ```
//!
//! A sum, so that several threads may walk in any order. It tells damage: a file's owner cannot set its
//! ctime. It is no proof against somebody who can write the seal too, so the tree is hidden from every
//! container. The ctime of directories is left out: cleaners of `/tmp` that set access times back move it.

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Condvar, Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use crate::listing;

/// More threads than this wait for each other.
const MAX_THREADS: usize = 8;
/// A tree of this many directories is worth a second thread.
const WORTH: usize = 64;

/// A tree's seal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seal {
    /// How many entries, the root among them.
    pub(super) entries: u64,
    sum: [u64; 4],
}

impl Seal {
    /// Walks a tree; links are not followed.
    ///
    /// # Errors
    /// When a directory cannot be read. One that vanishes meanwhile is missing in the seal.
    pub(super) fn of(root: &Path) -> io::Result<Self> {
        let mut seal = Self::default();
        let top = rustix::fs::lstat(root)?;
        seal.add(Path::new(""), &top);
        let todo = Todo::new(root.to_owned());
        // a small tree is walked before a thread would be there
        let mut seen = 0;
        while seen < WORTH {
            let Some(dir) = todo.next() else { return todo.result(seal) };
            todo.done(seal.directory(root, &dir));
            seen += 1;
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let total = Mutex::new(seal);
        let work = || {
            let mut own = Self::default();
            while let Some(dir) = todo.next() {
                todo.done(own.directory(root, &dir));
            }
            total.lock().unwrap_or_else(PoisonError::into_inner).join(own);
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                // where no thread can be started the others do it
                let _ = std::thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        todo.result(total.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds what is in a directory; gives the directories in it.
    fn directory(&mut self, root: &Path, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = match rustix::fs::open(dir, flags, Mode::empty()) {
            Ok(handle) => handle,
            // its own entry is missing in the sum of its parent, or it is another kind now
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        };
        let mut below = Vec::new();
        for name in listing::names(dir)? {
            let stat = match rustix::fs::statat(&handle, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(rustix::io::Errno::NOENT) => continue,
                Err(e) => return Err(e.into()),
            };
            let path = dir.join(&name);
            self.add(path.strip_prefix(root).unwrap_or(&path), &stat);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                below.push(path);
            }
        }
        Ok(below)
    }

    fn add(&mut self, path: &Path, stat: &Stat) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(path.as_os_str().as_bytes()).update(&[0]);
        let mut number = |n: i128| {
            hasher.update(&n.to_le_bytes());
        };
        number(stat.st_mode.into());
        number(stat.st_ino.into());
        number(stat.st_mtime.into());
        number(stat.st_mtime_nsec.into());
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            number(stat.st_size.into());
            number(stat.st_ctime.into());
            number(stat.st_ctime_nsec.into());
            number(stat.st_nlink.into());
        }
        let hash = hasher.finalize();
        let mut sum = [0; 4];
        for (lane, bytes) in sum.iter_mut().zip(hash.as_bytes().chunks_exact(8)) {
            *lane = bytes.try_into().map_or(0, u64::from_le_bytes);
        }
        self.join(Self { entries: 1, sum });
    }

    fn join(&mut self, other: Self) {
        self.entries += other.entries;
        for (lane, more) in self.sum.iter_mut().zip(other.sum) {
            *lane = lane.wrapping_add(more);
        }
    }
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.entries)?;
        self.sum.iter().try_for_each(|lane| write!(f, "{lane:016x}"))
    }
}

impl FromStr for Seal {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (entries, hex) = text.split_once(' ').ok_or(())?;
        if hex.len() != 64 || !hex.is_ascii() {
            return Err(());
        }
        let mut sum = [0; 4];
        for (at, lane) in sum.iter_mut().enumerate() {
            let digits = hex.get(16 * at..16 * (at + 1)).ok_or(())?;
            *lane = u64::from_str_radix(digits, 16).map_err(drop)?;
        }
        Ok(Self { entries: entries.parse().map_err(drop)?, sum })
    }
}

/// Directories that are still to be walked.
struct Todo {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    dirs: Vec<PathBuf>,
    /// How many are walked right now.
    busy: usize,
    failed: Option<io::Error>,
}

impl Todo {
    fn new(root: PathBuf) -> Self {
        let state = State { dirs: vec![root], busy: 0, failed: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The next; `None` when all were walked, or one could not be.
    fn next(&self) -> Option<PathBuf> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |s: &mut State| s.dirs.is_empty() && s.busy > 0 && s.failed.is_none();
        let mut state =
            self.changed.wait_while(state, wait).unwrap_or_else(PoisonError::into_inner);
        let next = state.dirs.pop().filter(|_| state.failed.is_none())?;
        state.busy += 1;
        Some(next)
    }

    fn done(&self, below: io::Result<Vec<PathBuf>>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.busy -= 1;
        match below {
            Ok(below) => state.dirs.extend(below),
            Err(error) => state.failed = Some(error),
        }
        self.changed.notify_all();
    }

    fn result(self, seal: Seal) -> io::Result<Seal> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.failed.map_or(Ok(seal), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree(root: &Path, directories: usize) {
        for at in 0..directories {
            let dir = root.join(format!("d{}/e{at}", at % 7));
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("file"), format!("{at}")).unwrap();
        }
        symlink("nowhere", root.join("link")).unwrap();
        fs::hard_link(root.join("d0/e0/file"), root.join("second")).unwrap();
    }

    #[test]
    fn every_change_is_seen() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 8] = [
            ("a file is removed", |r| fs::remove_file(r.join("d1/e1/file")).unwrap()),
            ("a directory is removed", |r| fs::remove_dir_all(r.join("d2")).unwrap()),
            ("a file is added", |r| fs::write(r.join("d1/new"), "").unwrap()),
            ("bytes change, the time is set back", |r| {
                let path = r.join("d3/e3/file");
                let time = fs::metadata(&path).unwrap().modified().unwrap();
                fs::write(&path, "x").unwrap();
                fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            }),
            ("another file of the same name", |r| {
                fs::rename(r.join("d3/e3/file"), r.join("d4/e4/file")).unwrap();
            }),
            ("a link leads elsewhere", |r| {
                fs::remove_file(r.join("link")).unwrap();
                symlink("else", r.join("link")).unwrap();
            }),
            ("a second name", |r| fs::hard_link(r.join("second"), r.join("third")).unwrap()),
            ("the mode of a directory", |r| {
                use std::os::unix::fs::PermissionsExt;
                fs::set_permissions(r.join("d5"), fs::Permissions::from_mode(0o711)).unwrap();
            }),
        ];
        for directories in [10, 400] {
            for (what, change) in changes {
                let dir = tempfile::tempdir().unwrap();
                tree(dir.path(), directories);
                let seal = Seal::of(dir.path()).unwrap();
                assert_eq!(Seal::of(dir.path()).unwrap(), seal);
                assert_eq!(seal.to_string().parse(), Ok(seal));
                // the walk reads the directories, which changes their access times only
                change(dir.path());
                assert_ne!(Seal::of(dir.path()).unwrap(), seal, "{what}, {directories}");
            }
        }
    }

    #[test]
    fn a_tree_that_moves_as_a_whole_keeps_its_seal() {
        let dir = tempfile::tempdir().unwrap();
        tree(&dir.path().join("new/root"), 100);
        let seal = Seal::of(&dir.path().join("new/root")).unwrap();
        assert_eq!(seal.entries, 1 + 7 + 200 + 2);
        fs::rename(dir.path().join("new"), dir.path().join("old")).unwrap();
        assert_eq!(Seal::of(&dir.path().join("old/root")).unwrap(), seal);
        assert!(Seal::of(&dir.path().join("none")).is_err());
    }

    #[test]
    fn only_whole_seals_are_read() {
        let seal = Seal { entries: 7, sum: [1, u64::MAX, 0, 2] };
        assert_eq!(seal.to_string().parse(), Ok(seal));
        for text in ["", "7", "7 00", "x 0", &seal.to_string()[..60]] {
            assert_eq!(text.parse::<Seal>(), Err(()), "{text}");
        }
    }
}
