//! Whether a runtime that is a program of its own started a program of the image. Its exit code does not tell: apptainer
//! ends with 255 when it cannot make a container, and a program may do so, too.
//!
//! ```text
//! worker -- leader -- the runtime -- ... -- a process of the container
//!    this thread looks at /proc of all of them, at first every millisecond, and less and less often
//! ```
//!
//! A process was started from the image when its root directory is another one than the worker's, and its executable is
//! the file of that name below this root: the runtime's own programs are not in the image. Where there is no other root
//! (proot), the process has mapped an executable file of the image's tree. A program that ends within less than a
//! millisecond can be missed; the container that it is in, which is there for longer, is seen then.
//!
//! Where the image's tree is on the disk, the kernel says when the program's file is opened (`inotify(7)`): that is how
//! it begins, however short it runs.
//!
//! The thread reads no file of the image, but it asks for its metadata, which an image on a dead file system may never
//! answer. So nobody waits for the thread.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// How a process of the container is known.
#[derive(Clone, Debug)]
pub(super) enum Sign {
    /// By a root directory of its own.
    Root,
    /// By a file of the tree at this path that it executes.
    Below(PathBuf),
}

/// Pauses between two looks: at least, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));
/// How much longer the job has taken than the next pause takes.
const SHARE: u32 = 100;
/// The pause while a container has its root and no program yet, and how long that is expected to last.
const NEAR: (Duration, Duration) = (Duration::from_micros(200), Duration::from_secs(2));

/// What sees it.
pub(super) struct Witness {
    /// The most that was seen.
    seen: Arc<AtomicU8>,
    done: Arc<AtomicBool>,
    /// Readable when the program's file was opened.
    opened: Option<OwnedFd>,
}

impl Witness {
    /// Looks at everything that this process starts, from now on. Where no thread can be started, nothing is seen.
    /// `program` is its file, which only the runtime opens from now on.
    pub(super) fn begin(sign: Sign, program: Option<&Path>) -> Self {
        let opened = program.and_then(openings);
        let witness = Self { seen: Arc::default(), done: Arc::default(), opened };
        let (seen, done) = (Arc::clone(&witness.seen), Arc::clone(&witness.done));
        let _ = std::thread::Builder::new().spawn(move || watch(&sign, &seen, &done));
        witness
    }

    /// The most that was seen up to now.
    pub(super) fn saw(&self) -> Seen {
        if self
            .opened
            .as_ref()
            .is_some_and(|opened| rustix::io::read(opened, &mut [0; 256]).is_ok_and(|n| n > 0))
        {
            return Seen::Inside;
        }
        [Seen::Inside, Seen::Near, Seen::Hidden]
            .into_iter()
            .find(|seen| *seen as u8 == self.seen.load(Ordering::Acquire))
            .unwrap_or(Seen::Outside)
    }
}

/// What becomes readable when a file is opened.
fn openings(file: &Path) -> Option<OwnedFd> {
    let handle = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
    inotify::add_watch(&handle, file, WatchFlags::OPEN).ok()?;
    Some(handle)
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Release);
    }
}

/// What is seen of a process. The order is from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seen {
    /// It is the machine's, or gone.
    Outside,
    /// It may not be looked at, as a setuid program.
    Hidden,
    /// It is in the container, and no program of the image yet.
    Near,
    /// It is a program of the image.
    Inside,
}

fn watch(sign: &Sign, seen: &AtomicU8, done: &AtomicBool) {
    let Ok(own) = fs::metadata("/proc/self/root") else { return };
    let (own, me) = ((own.dev(), own.ino()), std::process::id());
    let (begun, mut near) = (Instant::now(), None);
    while !done.load(Ordering::Acquire) {
        let most = all_below(me, &mut |pid| look(pid, own, sign));
        seen.fetch_max(most as u8, Ordering::Release);
        let soon = match most {
            Seen::Inside => return,
            Seen::Near => near.get_or_insert_with(Instant::now).elapsed() < NEAR.1,
            Seen::Hidden | Seen::Outside => false,
        };
        let pause = (begun.elapsed() / SHARE).clamp(PAUSES.0, PAUSES.1);
        std::thread::sleep(if soon { NEAR.0 } else { pause });
    }
}

/// The most that is seen of the processes below one.
fn all_below(pid: u32, look: &mut impl FnMut(u32) -> Seen) -> Seen {
    let (mut most, mut left) = (Seen::Outside, vec![pid]);
    while let Some(one) = left.pop() {
        if one != pid {
            most = most.max(look(one));
        }
        if most == Seen::Inside {
            break;
        }
        let Ok(threads) = fs::read_dir(format!("/proc/{one}/task")) else { continue };
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            left.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    most
}

fn look(pid: u32, own: (u64, u64), sign: &Sign) -> Seen {
    let at = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
    match sign {
        Sign::Below(tree) => {
            let maps = fs::read_to_string(at("maps")).unwrap_or_default();
            if executes(&maps, tree) { Seen::Inside } else { Seen::Outside }
        }
        Sign::Root => match fs::metadata(at("root")) {
            Ok(root) if (root.dev(), root.ino()) == own => Seen::Outside,
            Ok(_) if is_own_program(&at("root"), &at("exe")) => Seen::Inside,
            Ok(_) => Seen::Near,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Seen::Hidden,
            Err(_) => Seen::Outside,
        },
    }
}

/// Whether an executable is the file of its name below a root.
fn is_own_program(root: &Path, exe: &Path) -> bool {
    let found = || {
        let name = fs::read_link(exe)?;
        // of a root that this process can reach both names are the machine's; else both are the container's
        let from = fs::read_link(root).unwrap_or_else(|_| "/".into());
        let inside = name.strip_prefix(&from).or_else(|_| name.strip_prefix("/"));
        let below = fs::symlink_metadata(root.join(inside.unwrap_or(&name)))?;
        let exe = fs::metadata(exe)?;
        io::Result::Ok((below.dev(), below.ino()) == (exe.dev(), exe.ino()))
    };
    found().unwrap_or(false)
}

/// Whether one of the mappings of `/proc/PID/maps` executes a file below a directory.
fn executes(maps: &str, tree: &Path) -> bool {
    maps.lines().any(|line| {
        // address perms offset dev inode pathname
        let mut words = line.split_ascii_whitespace();
        let executable = words.nth(1).is_some_and(|perms| perms.contains('x'));
        let path = line.find('/').map(|at| Path::new(&line[at..]));
        executable && path.is_some_and(|path| path.starts_with(tree))
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn patient(mut what: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !what() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// A shell that starts another process, and waits until its input is closed.
    fn tree_of_processes() -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "/bin/cat; exit 0"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn all_processes_below_are_looked_at() {
        let mut child = tree_of_processes();
        let mut names = Vec::new();
        let found = patient(|| {
            names.clear();
            all_below(child.id(), &mut |pid| {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                names.push(name.trim().to_owned());
                Seen::Outside
            });
            names == ["cat"]
        });
        assert!(found, "{names:?}");
        assert_eq!(all_below(child.id(), &mut |_| Seen::Near), Seen::Near);
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_program_is_the_images_when_it_lies_below_the_root_of_its_process() {
        let own = fs::metadata("/proc/self/root").unwrap();
        let own = (own.dev(), own.ino());
        let mut child = tree_of_processes();
        let pid = child.id();
        assert_eq!(look(pid, own, &Sign::Root), Seen::Outside);
        // as if the machine's root were a container's
        assert_eq!(look(pid, (0, 0), &Sign::Root), Seen::Inside);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(look(pid, (0, 0), &Sign::Root), Seen::Outside);
        let root = tempfile::tempdir().unwrap();
        let exe = Path::new("/proc/self/exe");
        assert!(!is_own_program(root.path(), exe));
        let there = fs::read_link(exe).unwrap();
        let there = root.path().join(there.strip_prefix("/").unwrap());
        fs::create_dir_all(there.parent().unwrap()).unwrap();
        fs::write(&there, "another file of that name").unwrap();
        assert!(!is_own_program(root.path(), exe));
    }

    #[test]
    fn a_program_that_ends_at_once_is_seen_by_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("true");
        fs::copy("/bin/true", &program).unwrap();
        let witness = Witness::begin(Sign::Root, Some(&program));
        assert_eq!(witness.saw(), Seen::Outside);
        assert!(Command::new(&program).status().unwrap().success());
        assert_eq!(witness.saw(), Seen::Inside);
        let witness = Witness::begin(Sign::Root, Some(&dir.path().join("gone")));
        assert_eq!(witness.saw(), Seen::Outside);
    }

    #[test]
    fn what_a_process_executes_is_in_its_maps() {
        let maps = "5581-5582 r--p 00000000 fd:01 12 /t/ROOT/bin/busy box\n\
                    5582-5583 r-xp 00001000 fd:01 12                         /t/ROOT/bin/busy box\n\
                    7ffd-7ffe rw-p 00000000 00:00 0 [stack]\n";
        assert!(executes(maps, Path::new("/t/ROOT")));
        for (maps, tree) in [(maps, "/t/ROO"), (maps, "/t/ROOT/bin/busy"), ("", "/")] {
            assert!(!executes(maps, Path::new(tree)), "{tree}");
        }
        let data = maps.replace("r-xp", "r--p");
        assert!(!executes(&data, Path::new("/t/ROOT")));
    }
}
