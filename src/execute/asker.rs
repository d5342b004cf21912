//! Questions to file systems that may never answer.
//!
//! A dead NFS server or a FUSE server that does not read stops whoever touches its files, and nothing
//! can interrupt that from inside. So such questions go to a process of their own, which is given up
//! when it takes too long:
//!
//! ```text
//! worker, container's process 1 --Question, a JSON line--> this program as `container-ask`
//!                               <--Answer, a JSON line---- or silence: it is killed, the next question
//!                                                          goes to a new one
//! ```
//!
//! Paths travel as bytes. All questions of one asker together have a limit too: a machine with many
//! dead mounts must not hold a job up for long.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::mount::MountFlags;
use serde::{Deserialize, Serialize};

pub(super) use super::answer::{Answer, Identity};
use super::inside::privileges;
use super::marker::{self, Search};
use super::verbs::{ASK, PLAIN};
use crate::files::handles::{self, as_path, mount_id};

/// How long one file system may take that nobody asked for by name.
pub(super) const SHORT: Duration = Duration::from_secs(2);
/// How long one may take that the job needs: an automount has to find its server first.
pub(super) const LONG: Duration = Duration::from_secs(30);
/// Why a mount cannot be reached whose place is known.
pub(super) const COVERED: &str = "another mount covers it";
/// How long the short questions of one asker may take together.
const TOTAL: Duration = Duration::from_secs(10);

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Question {
    /// Where a path leads when links are followed, and what is there. Starts an automount.
    Find(OsString),
    /// What is at a path, links not followed.
    Look(OsString),
    /// Which mount a path is on, links not followed; asks nothing of the file system at its end.
    Mount(OsString),
    /// Set these flags again on the mount at this path, if it is the one with this id.
    Restrict { path: OsString, mount: u32, flags: u32 },
    /// Look for marker files.
    Search(Search),
}

/// Asks; see the module.
pub(super) struct Asker {
    /// This process's directory in a `/proc`.
    proc: PathBuf,
    helper: Option<Helper>,
    left: Duration,
    /// Whether a helper that was lost is replaced.
    renew: bool,
    /// Whether the helper has no more rights than the job's program will have.
    plain: bool,
}

struct Helper {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Asker {
    /// An asker that starts its process when it is needed.
    pub(super) fn new() -> Self {
        Self { proc: "/proc/self".into(), helper: None, left: TOTAL, renew: true, plain: false }
    }

    /// An asker whose process runs, for a caller that must know when none can be started.
    ///
    /// # Errors
    /// When this program cannot be started again, as with a limit on processes.
    pub(super) fn started() -> std::io::Result<Self> {
        let asker = Self::new();
        let helper = Helper::start(&asker.proc, asker.plain)?;
        Ok(Self { helper: Some(helper), ..asker })
    }

    /// The same, and what is asked is whether the job's program gets there: root's gets nowhere by
    /// its capabilities, because it has none.
    pub(super) fn as_the_program() -> Self {
        Self { plain: true, ..Self::new() }
    }

    /// An asker whose only process is started now, for a caller that is about to change its root:
    /// afterwards this program's libraries are out of sight. `proc` is where `/proc/self` will be.
    pub(super) fn before_pivot(proc: &Path) -> std::io::Result<Self> {
        let mut helper = Helper::start(proc, false)?;
        // its libraries are loaded when it has answered something
        let answer = helper.ask(&Question::Look("/".into()), LONG);
        answer.ok_or_else(|| std::io::Error::other("it did not answer"))?;
        Ok(Self {
            proc: proc.to_owned(),
            helper: Some(helper),
            left: TOTAL,
            renew: false,
            plain: false,
        })
    }

    /// Asks with the limit for file systems that nobody asked for.
    pub(super) fn ask(&mut self, question: &Question) -> Answer {
        let limit = SHORT.min(self.left);
        let began = Instant::now();
        let answer = self.wait(question, limit);
        self.left = self.left.saturating_sub(began.elapsed());
        answer
    }

    /// Asks for something that the job needs.
    pub(super) fn ask_patiently(&mut self, question: &Question) -> Answer {
        self.wait(question, LONG)
    }

    fn wait(&mut self, question: &Question, limit: Duration) -> Answer {
        if limit.is_zero() {
            return Answer::Silent;
        }
        if self.helper.is_none() && self.renew {
            self.helper = Helper::start(&self.proc, self.plain).ok();
        }
        let answer = self.helper.as_mut().and_then(|helper| helper.ask(question, limit));
        if answer.is_none() {
            // what comes from it later would be taken for the answer to another question
            self.helper = None;
        }
        answer.unwrap_or(Answer::Silent)
    }
}

impl Helper {
    fn start(proc: &Path, plain: bool) -> std::io::Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .arg(ASK)
            .arg(proc)
            .args(plain.then_some(PLAIN))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let missing = || std::io::Error::other("no pipe");
        let to = child.stdin.take().ok_or_else(missing)?;
        let from = child.stdout.take().ok_or_else(missing)?;
        Ok(Self { child, to, from })
    }

    fn ask(&mut self, question: &Question, limit: Duration) -> Option<Answer> {
        let mut line = serde_json::to_vec(question).ok()?;
        line.push(b'\n');
        self.to.write_all(&line).ok()?;
        let deadline = Instant::now() + limit;
        let mut text = Vec::new();
        while text.last() != Some(&b'\n') {
            let left = deadline.checked_duration_since(Instant::now())?;
            let left = Timespec::try_from(left).ok()?;
            let mut ready = [PollFd::new(&self.from, PollFlags::IN)];
            match rustix::event::poll(&mut ready, Some(&left)) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return None,
            }
            let mut piece = [0; 4096];
            match self.from.read(&mut piece) {
                Ok(0) => return None,
                Ok(n) => text.extend_from_slice(&piece[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        serde_json::from_slice(&text).ok()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // one that hangs in the kernel ends when its server does; nobody waits for that
        let deadline = Instant::now() + Duration::from_millis(200);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The main function of the process; returns its exit code.
pub(super) fn main((proc, plain): (&Path, bool), stdin: impl Read, stdout: &mut dyn Write) -> i32 {
    // whoever asked may end while this process hangs
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    if plain && rustix::thread::set_capabilities(None, privileges::NONE).is_err() {
        return 1;
    }
    for line in std::io::BufReader::new(stdin).split(b'\n') {
        let Ok(question) =
            line.map_err(drop).and_then(|l| serde_json::from_slice(&l).map_err(drop))
        else {
            return 1;
        };
        let Ok(mut text) = serde_json::to_vec(&answer(proc, question)) else { return 1 };
        text.push(b'\n');
        if stdout.write_all(&text).and_then(|()| stdout.flush()).is_err() {
            return 1;
        }
    }
    0
}

fn answer(proc: &Path, question: Question) -> Answer {
    let answered = match question {
        Question::Find(path) => find(Path::new(&path)),
        Question::Look(path) => opened(&path).and_then(|handle| {
            let m = std::fs::File::from(handle).metadata()?;
            Ok(Answer::Found { path, directory: m.is_dir(), identity: Identity::of(&m) })
        }),
        Question::Mount(path) => {
            opened(&path).and_then(|handle| Ok(Answer::Mount(mount_id(proc, handle.as_fd())?)))
        }
        Question::Restrict { path, mount, flags } => {
            opened(&path).and_then(|handle| restrict(proc, handle.as_fd(), mount, flags))
        }
        Question::Search(search) => Ok(marker::search(&search)),
    };
    answered.unwrap_or_else(|No { why, out_of_reach }| Answer::No { why, out_of_reach })
}

/// [`Answer::No`] on its way.
struct No {
    why: String,
    out_of_reach: bool,
}

impl<E: Into<std::io::Error>> From<E> for No {
    fn from(error: E) -> Self {
        Self { why: error.into().to_string(), out_of_reach: false }
    }
}

fn find(path: &Path) -> Result<Answer, No> {
    let path = std::fs::canonicalize(path)?;
    let m = std::fs::metadata(&path)?;
    Ok(Answer::Found { path: path.into(), directory: m.is_dir(), identity: Identity::of(&m) })
}

fn opened(path: &OsStr) -> Result<OwnedFd, No> {
    let root = std::fs::File::open("/")?;
    handles::open(root.as_fd(), Path::new(path)).map_err(|refused| {
        // the path is known to whoever asked
        let why = match &refused {
            handles::Refused::System(_, errno) => std::io::Error::from(*errno).to_string(),
            handles::Refused::Link(_) | handles::Refused::Upwards => refused.to_string(),
        };
        No { why, out_of_reach: refused.is_out_of_reach() }
    })
}

fn restrict(proc: &Path, handle: BorrowedFd<'_>, mount: u32, flags: u32) -> Result<Answer, No> {
    if mount_id(proc, handle)? != mount {
        return Err(No { why: COVERED.into(), out_of_reach: true });
    }
    let flags = MountFlags::from_bits_truncate(flags);
    rustix::mount::mount_remount(as_path(proc, handle), flags, "")?;
    Ok(Answer::Done)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    /// What the process would answer.
    fn told(question: &Question) -> Answer {
        let mut out = Vec::new();
        let line = serde_json::to_vec(question).unwrap();
        assert_eq!(main((Path::new("/proc/self"), false), line.as_slice(), &mut out), 0);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn paths_are_bytes_and_links_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let base = std::fs::canonicalize(dir.path()).unwrap();
        let odd = base.join(OsString::from_vec(b"\xb1 x\n".to_vec()));
        std::fs::create_dir(&odd).unwrap();
        let link = base.join("link");
        std::os::unix::fs::symlink(&odd, &link).unwrap();
        let Answer::Found { path, directory: true, identity } =
            told(&Question::Find(link.clone().into()))
        else {
            panic!("not found");
        };
        assert_eq!(
            (path.as_os_str(), identity),
            (odd.as_os_str(), Identity::of(&odd.metadata().unwrap()))
        );
        assert!(matches!(told(&Question::Look(odd.clone().into())), Answer::Found { .. }));
        let Answer::No { why, out_of_reach: false } = told(&Question::Look(link.into())) else {
            panic!("followed");
        };
        assert!(why.contains("is a symbolic link"), "{why}");
        assert!(matches!(told(&Question::Mount(odd.into())), Answer::Mount(_)));
        let gone = Question::Mount(base.join("gone").into());
        assert!(matches!(told(&gone), Answer::No { out_of_reach: true, .. }));
    }
}
