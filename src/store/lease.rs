//! A lease: one process does the work, the others wait for it. It only saves work; two winners are
//! harmless, because what they publish are the same bytes under the same name.
//!
//! ```text
//! leases/own-PROCESS-ID     a process' own file; its modification time is the heartbeat
//! leases/NAME               the lease: a hard link to the holder's own file
//! leases/heir-ID            the one process that could link this takes over from the dead holder ID
//!
//! free:   link own -> NAME                          the one whose link(2) succeeds holds it
//! held:   wait; look at the result, then again      older than `expiry`: its holder is dead
//! dead:   link own -> heir-ID, is NAME still ID's?  then rename own -> NAME, unlink heir-ID
//! ```
//!
//! Nothing relies on `flock`. Link and rename are atomic on NFS. When the answer was lost, NAME is looked at: the
//! process whose file it links to holds the lease. Ages are taken from the file server: a holder touches its file, a
//! waiting process touches its own, and the two times are compared. A holder on the same machine is looked up as a
//! process, so nobody waits for the expiry of one that was killed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::process::Process;
use super::{StoreError, clock, safe};
use crate::files::ForeignFile;
use crate::listing;

const SCHEMA: u32 = 1;
/// A lease is read up to this many bytes; ours have about 300.
const MOST_BYTES: u64 = 4096;
/// Heirs of heirs that died; each is a kill within a few system calls.
const MOST_HEIRS: usize = 64;

/// How leases pass time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two signs of life.
    pub heartbeat: Duration,
    /// Without a sign of life for this long a holder counts as dead.
    pub expiry: Duration,
    /// Between two looks of who waits.
    pub poll: Duration,
}

impl Timing {
    /// The intervals that go with an expiry.
    #[must_use]
    pub fn with_expiry(expiry: Duration) -> Self {
        Self { heartbeat: expiry / 15, expiry, poll: (expiry / 20).min(Duration::from_millis(250)) }
    }
}

impl Default for Timing {
    /// Dead after 90 s: longer than an NFS client keeps attributes.
    fn default() -> Self {
        Self::with_expiry(Duration::from_secs(90))
    }
}

/// Who does the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    schema: u32,
    id: String,
    /// The machine.
    pub host: String,
    /// The process there.
    pub pid: u32,
    process: Option<String>,
    /// Since when, by that machine's clock.
    pub since: jiff::Timestamp,
    /// What is done.
    pub what: String,
}

/// A lease that this process holds; given up when dropped.
#[derive(Debug)]
pub struct Lease {
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    path: PathBuf,
    file: File,
    heartbeat: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut held) = self.held.take() else { return };
        if let Some((stop, thread)) = held.heartbeat.take() {
            drop(stop);
            let _ = thread.join();
        }
        // after a long pause it may be another's by now; a mistake in between costs work only
        if is_same(&held.file, &held.path) {
            let _ = fs::remove_file(&held.path);
        }
    }
}

/// What an attempt gave.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The lease.
    Held(Lease),
    /// Somebody has it, as far as can be read.
    Busy(Option<Holder>),
}

/// A process that wants a lease.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    dir: &'a Path,
    name: &'a str,
    what: &'a str,
    timing: Timing,
    own: Option<(File, PathBuf, String)>,
    here: Option<Process>,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(dir: &'a Path, name: &'a str, what: &'a str, timing: Timing) -> Self {
        Self { dir, name, what, timing, own: None, here: Process::current() }
    }

    /// Tries once to get the lease.
    pub(super) fn attempt(&mut self) -> Result<Attempt, StoreError> {
        let dir = self.dir;
        self.try_once().map_err(StoreError::io("cannot make a lease in", dir))
    }

    fn try_once(&mut self) -> io::Result<Attempt> {
        let target = self.dir.join(self.name);
        // a holder that ends, or an heir that is faster, in each round
        for _ in 0..MOST_HEIRS {
            if let Some(seen) = look(&target)? {
                match self.succeed(&target, seen)? {
                    Round::Again => continue,
                    Round::Mine => return self.hold(target).map(Attempt::Held),
                    Round::Busy(holder) => return Ok(Attempt::Busy(holder)),
                    Round::Alone => return Ok(Attempt::Held(Lease { held: None })),
                }
            }
            self.stamp()?;
            match self.link(&target)? {
                Link::Made => return self.hold(target).map(Attempt::Held),
                Link::Exists => {}
                // no hard links here: everybody works for himself
                Link::Unsupported => return Ok(Attempt::Held(Lease { held: None })),
            }
        }
        Ok(Attempt::Busy(None))
    }

    /// Takes over from a dead holder.
    fn succeed(&mut self, target: &Path, first: Seen) -> io::Result<Round> {
        let mut heirs = Vec::new();
        let root = first.id.clone();
        let mut seen = first;
        loop {
            let now = self.stamp()?;
            if self.is_alive(&seen, now) {
                return Ok(Round::Busy(seen.holder));
            }
            if heirs.len() == MOST_HEIRS {
                return Ok(Round::Busy(None));
            }
            let heir = self.dir.join(format!("heir-{}", seen.id));
            heirs.push(heir.clone());
            match self.link(&heir)? {
                Link::Made => break,
                Link::Unsupported => return Ok(Round::Alone),
                Link::Exists => match look(&heir)? {
                    Some(next) => seen = next,
                    None => return Ok(Round::Again),
                },
            }
        }
        // whoever succeeded before us has renamed already, and removed his heir's name after that
        let still = look(target)?.is_some_and(|now| now.id == root);
        let (_, own, _) = self.own_file()?;
        if still {
            match fs::rename(own, target) {
                Ok(()) => {}
                Err(_) if self.holds(target) => {}
                Err(e) => return Err(e),
            }
        } else {
            heirs.drain(..heirs.len() - 1);
        }
        for heir in heirs {
            let _ = fs::remove_file(heir);
        }
        Ok(if still { Round::Mine } else { Round::Again })
    }

    fn link(&self, target: &Path) -> io::Result<Link> {
        let (_, own, _) = self.own_file()?;
        match fs::hard_link(own, target) {
            Ok(()) => Ok(Link::Made),
            // the answer to the first try may have been lost
            Err(_) if self.holds(target) => Ok(Link::Made),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(Link::Exists),
            Err(e) => match Errno::from_io_error(&e) {
                Some(
                    Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK | Errno::XDEV,
                ) => Ok(Link::Unsupported),
                _ => Err(e),
            },
        }
    }

    fn own_file(&self) -> io::Result<&(File, PathBuf, String)> {
        self.own.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Whether a name is that of this process' own file.
    fn holds(&self, name: &Path) -> bool {
        self.own.as_ref().is_some_and(|(file, _, _)| is_same(file, name))
    }

    /// A sign of life with the time from which the work would count; the server's now.
    fn stamp(&mut self) -> io::Result<std::time::SystemTime> {
        // a name that was swept away while this process was stopped is made again
        let gone = self.own.as_ref().is_some_and(|(file, path, _)| !is_same(file, path));
        if self.own.is_none() || gone {
            self.own = Some(self.create()?);
        }
        let holder = self.myself();
        let Some((file, _, _)) = &mut self.own else { return Err(io::ErrorKind::NotFound.into()) };
        let text = serde_json::to_vec(&holder)?;
        file.rewind()?;
        file.write_all(&text)?;
        file.set_len(text.len() as u64)?;
        clock::touch(file)?;
        file.metadata()?.modified()
    }

    fn create(&self) -> io::Result<(File, PathBuf, String)> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
        let id: String = random.iter().map(|b| format!("{b:02x}")).collect();
        let process = self.here.as_ref().map_or_else(|| "unknown".into(), Process::to_string);
        let path = self.dir.join(format!("own-{process}-{id}"));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((file, path, id))
    }

    fn myself(&self) -> Holder {
        Holder {
            schema: SCHEMA,
            id: self.own.as_ref().map(|(_, _, id)| id.clone()).unwrap_or_default(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid: std::process::id(),
            process: self.here.as_ref().map(Process::to_string),
            since: jiff::Timestamp::now(),
            what: self.what.to_owned(),
        }
    }

    fn is_alive(&self, seen: &Seen, now: std::time::SystemTime) -> bool {
        let dead =
            seen.process().zip(self.here.as_ref()).is_some_and(|(it, here)| it.is_dead(here));
        !dead && clock::age(now, seen.modified) < self.timing.expiry
    }

    fn hold(&mut self, path: PathBuf) -> io::Result<Lease> {
        let (file, own, _) = self.own.take().ok_or(io::ErrorKind::NotFound)?;
        // after a take-over it has this name no more
        let _ = fs::remove_file(own);
        let heartbeat = beat(file.try_clone()?, self.timing.heartbeat);
        Ok(Lease { held: Some(Held { path, file, heartbeat }) })
    }
}

impl Drop for Candidate<'_> {
    fn drop(&mut self) {
        if let Some((_, path, _)) = self.own.take() {
            let _ = fs::remove_file(path);
        }
    }
}

enum Round {
    Mine,
    Busy(Option<Holder>),
    Again,
    /// There are no hard links here.
    Alone,
}

enum Link {
    Made,
    Exists,
    Unsupported,
}

/// A lease as it was found.
struct Seen {
    id: String,
    holder: Option<Holder>,
    modified: std::time::SystemTime,
}

impl Seen {
    fn process(&self) -> Option<Process> {
        self.holder.as_ref()?.process.as_deref()?.parse().ok()
    }
}

/// A lease, if it is there. One that another machine removes meanwhile is not.
fn look(path: &Path) -> io::Result<Option<Seen>> {
    safe::there(seen(path))
}

/// Opening makes an NFS client ask the server for the attributes.
fn seen(path: &Path) -> io::Result<Seen> {
    let opened = ForeignFile::anyones(u64::MAX).open(path)?;
    let meta = opened.meta().clone();
    let mut bytes = Vec::new();
    opened.into_file().take(MOST_BYTES).read_to_end(&mut bytes)?;
    // what cannot be read, for example a newer program's, counts by its age alone
    let holder: Option<Holder> = serde_json::from_slice(&bytes).ok();
    let holder = holder.filter(|h| !h.id.is_empty() && h.id.bytes().all(|b| b.is_ascii_hexdigit()));
    let id = holder.as_ref().map_or_else(|| format!("inode-{}", meta.ino()), |h| h.id.clone());
    Ok(Seen { id, holder, modified: meta.modified()? })
}

/// Who holds a lease that is alive as far as `now` tells; `Err` when it is held by somebody unknown.
pub(super) fn holder(
    path: &Path,
    now: std::time::SystemTime,
    timing: Timing,
) -> io::Result<Option<Holder>> {
    let Some(dir) = path.parent() else { return Ok(None) };
    let candidate = Candidate::new(dir, "", "", timing);
    Ok(look(path)?.filter(|seen| candidate.is_alive(seen, now)).and_then(|seen| seen.holder))
}

/// Removes what dead holders left: a lease by taking it over and giving it up, so that nobody else's is
/// hit; an heir when the one that it followed holds nothing any more.
pub(super) fn sweep(dir: &Path, timing: Timing) -> io::Result<()> {
    let (mut leases, mut heirs) = (Vec::new(), Vec::new());
    for name in listing::names(dir)? {
        let Ok(name) = name.into_string() else { continue };
        match name.strip_prefix("heir-") {
            Some(id) => heirs.push(id.to_owned()),
            None if name.starts_with("own-") => {}
            None => leases.push(name),
        }
    }
    if leases.is_empty() && heirs.is_empty() {
        return Ok(());
    }
    let here = Process::current();
    let is_dead = |seen: &Seen| {
        let process = seen.process();
        process.zip(here.as_ref()).is_some_and(|(process, here)| process.is_dead(here))
    };
    for name in &leases {
        if look(&dir.join(name))?.is_some_and(|seen| is_dead(&seen)) {
            // held for a moment, and dropped
            Candidate::new(dir, name, "cleaning up", timing).try_once()?;
        }
    }
    for id in heirs {
        let path = dir.join(format!("heir-{id}"));
        let dead = look(&path)?.is_some_and(|seen| is_dead(&seen));
        let holds = |name: &String| {
            // what cannot be read may be it
            look(&dir.join(name)).map_or(true, |seen| seen.is_some_and(|seen| seen.id == id))
        };
        if dead && !leases.iter().any(holds) {
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

fn is_same(file: &File, path: &Path) -> bool {
    let other = File::open(path).and_then(|file| file.metadata());
    file.metadata()
        .is_ok_and(|own| other.is_ok_and(|o| (o.dev(), o.ino()) == (own.dev(), own.ino())))
}

/// Touches the file until it is told to stop. Without a thread the lease expires early: harmless.
fn beat(file: File, interval: Duration) -> Option<(Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = mpsc::channel();
    let work = move || {
        while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            // a server that is away now may be back at the next one
            let _ = clock::touch(&file);
        }
    };
    let thread = std::thread::Builder::new().name("lease".into()).spawn(work).ok()?;
    Some((stop, thread))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Instant, SystemTime};

    use super::*;

    const FAST: Timing = Timing {
        heartbeat: Duration::from_millis(20),
        expiry: Duration::from_secs(60),
        poll: Duration::from_millis(1),
    };

    fn held(attempt: Attempt) -> Lease {
        match attempt {
            Attempt::Held(lease) => lease,
            Attempt::Busy(holder) => panic!("held by {holder:?}"),
        }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// A lease of a process that is gone: of this machine, or of another that was last heard of
    /// `age` ago.
    fn abandoned(dir: &Path, name: &str, id: &str, process: Option<String>, age: Duration) {
        let holder = Holder {
            schema: SCHEMA,
            id: id.into(),
            host: "other".into(),
            pid: 7,
            process,
            since: jiff::Timestamp::UNIX_EPOCH,
            what: "convert".into(),
        };
        fs::write(dir.join(name), serde_json::to_vec(&holder).unwrap()).unwrap();
        let file = File::options().write(true).open(dir.join(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn one_holds_it_and_the_next_gets_it_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Candidate::new(dir.path(), "n", "convert x", FAST);
        let mut second = Candidate::new(dir.path(), "n", "convert x", FAST);
        let lease = held(first.attempt().unwrap());
        let Attempt::Busy(Some(holder)) = second.attempt().unwrap() else { panic!() };
        assert_eq!((holder.pid, holder.what.as_str()), (std::process::id(), "convert x"));
        drop(lease);
        let lease = held(second.attempt().unwrap());
        assert_eq!(names(dir.path()), ["n"]);
        drop((lease, first, second));
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn a_holder_gives_signs_of_life() {
        let dir = tempfile::tempdir().unwrap();
        let _lease = held(Candidate::new(dir.path(), "n", "", FAST).attempt().unwrap());
        let file = File::options().write(true).open(dir.path().join("n")).unwrap();
        let old = SystemTime::now() - Duration::from_secs(3600);
        file.set_modified(old).unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while file.metadata().unwrap().modified().unwrap() <= old {
            assert!(Instant::now() < end, "no heartbeat");
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_lease_of_another_machine_expires_by_the_servers_time() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = || Some("0123.1.2.3".to_owned());
        abandoned(dir.path(), "n", "aa", elsewhere(), FAST.expiry * 2 / 3);
        let mut candidate = Candidate::new(dir.path(), "n", "", FAST);
        assert!(
            matches!(candidate.attempt().unwrap(), Attempt::Busy(Some(h)) if h.host == "other")
        );
        abandoned(dir.path(), "n", "aa", elsewhere(), FAST.expiry + Duration::from_secs(1));
        let lease = held(candidate.attempt().unwrap());
        assert_eq!(names(dir.path()), ["n"]);
        drop(lease);
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn a_dead_process_of_this_machine_is_known_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let here = Process::current().unwrap().to_string();
        let (rest, start) = here.rsplit_once('.').unwrap();
        let gone = format!("{rest}.{}", start.parse::<u64>().unwrap() + 1);
        abandoned(dir.path(), "n", "aa", Some(gone), Duration::ZERO);
        held(Candidate::new(dir.path(), "n", "", FAST).attempt().unwrap());
    }

    #[test]
    fn an_heir_that_died_has_an_heir() {
        let dir = tempfile::tempdir().unwrap();
        let old = FAST.expiry * 2;
        abandoned(dir.path(), "n", "aa", None, old);
        abandoned(dir.path(), "heir-aa", "bb", None, old);
        let mut candidate = Candidate::new(dir.path(), "n", "", FAST);
        let lease = held(candidate.attempt().unwrap());
        drop(lease);
        assert_eq!(names(dir.path()), [""; 0]);
        // one that lives is waited for
        abandoned(dir.path(), "n", "aa", None, old);
        abandoned(dir.path(), "heir-aa", "bb", None, Duration::ZERO);
        assert!(matches!(candidate.attempt().unwrap(), Attempt::Busy(Some(h)) if h.id == "bb"));
    }

    #[test]
    fn what_the_dead_left_is_swept_and_what_the_living_hold_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let here = Process::current().unwrap().to_string();
        let (rest, start) = here.rsplit_once('.').unwrap();
        let gone = Some(format!("{rest}.{}", start.parse::<u64>().unwrap() + 1));
        let living = Some(here);
        let now = Duration::ZERO;
        abandoned(dir.path(), "convert-a", "aa", gone.clone(), now);
        abandoned(dir.path(), "convert-b", "bb", living.clone(), now);
        abandoned(dir.path(), "convert-c", "cc", Some("0123.1.2.3".into()), now);
        abandoned(dir.path(), "heir-cc", "dd", living, now);
        abandoned(dir.path(), "heir-ee", "ff", gone.clone(), now);
        abandoned(dir.path(), "heir-bb", "11", gone, now);
        sweep(dir.path(), FAST).unwrap();
        // an heir of somebody who holds a lease is left to who takes that over
        assert_eq!(names(dir.path()), ["convert-b", "convert-c", "heir-bb", "heir-cc"]);
    }

    #[test]
    fn torn_and_newer_leases_count_by_their_age() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        let mut candidate = Candidate::new(dir.path(), "n", "", FAST);
        for bytes in [&b""[..], b"{\"schema\":9}", b"\xff\0", &[b'x'; 10_000]] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(candidate.attempt().unwrap(), Attempt::Busy(None)));
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - FAST.expiry * 2).unwrap();
            held(candidate.attempt().unwrap());
        }
    }

    #[test]
    fn of_many_that_see_a_dead_holder_one_takes_over() {
        for _ in 0..50 {
            let dir = tempfile::tempdir().unwrap();
            abandoned(dir.path(), "n", "aa", None, FAST.expiry * 2);
            let (holding, most, done) =
                (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        let mut candidate = Candidate::new(dir.path(), "n", "", FAST);
                        loop {
                            if let Attempt::Held(lease) = candidate.attempt().unwrap() {
                                let now = holding.fetch_add(1, Ordering::SeqCst) + 1;
                                most.fetch_max(now, Ordering::SeqCst);
                                std::thread::yield_now();
                                holding.fetch_sub(1, Ordering::SeqCst);
                                drop(lease);
                                done.fetch_add(1, Ordering::SeqCst);
                                return;
                            }
                            std::thread::yield_now();
                        }
                    });
                }
            });
            assert_eq!((most.into_inner(), done.into_inner()), (1, 8));
            assert_eq!(names(dir.path()), [""; 0]);
        }
    }
}
