//! One budget of requests for a host, shared by all processes of a user on this machine, and in a
//! process by all who ask that host: the clients of the registry and of GitLab's API get the same one.
//!
//! ```text
//! DIR/registry.example_443.0 ... .31   a slot each: whoever locks it has a request on its way
//! DIR/registry.example_443.wait        "1764000000000": nobody asks before this (Unix ms)
//! DIR/HEX.realm                        written by `registry/remembered.rs`
//! ```
//!
//! A slot is an advisory lock of the kernel, so that a killed process gives it back. It is held from
//! the request until the head of its answer; a body that streams for an hour is no request. What a
//! host says with `Retry-After` holds for all processes.
//!
//! The budget is a courtesy limit. After a minute the request is sent without a slot, because a stopped
//! process must not stop the others. Where the directory cannot be used (its file system is not local, or
//! full), each process has a budget of its own.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::Url;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::files::{self, ForeignFile};

/// After this long a wait is worth a sentence.
const WORTH_SAYING: Duration = Duration::from_secs(1);
/// After this long a request goes without a slot.
const LONGEST: Duration = Duration::from_secs(60);
/// A time further ahead than this is nothing that a host asked for: the clock was set.
const FURTHEST: Duration = Duration::from_secs(3600);

/// Told when a request has to wait for long, once for each host.
pub type Notice = Arc<dyn Fn(&str) + Send + Sync>;

/// How many requests go to one host at the same time, and who counts them.
#[derive(Clone, Debug)]
pub struct Sharing {
    /// Where the processes of this user meet, on a local file system; `None` counts for this
    /// process alone.
    pub dir: Option<PathBuf>,
    /// Requests on their way to one host.
    pub at_once: usize,
}

impl Default for Sharing {
    fn default() -> Self {
        Self { dir: None, at_once: 32 }
    }
}

/// The budget of all hosts.
pub struct HostBudget {
    at_once: usize,
    dir: Option<PathBuf>,
    notice: Option<Notice>,
    own: Mutex<HashMap<String, Host>>,
    told: Mutex<HashSet<String>>,
}

#[derive(Clone)]
struct Host {
    requests: Arc<Semaphore>,
    not_before: Option<Instant>,
}

/// A request on its way; dropping it lets the next one go.
pub struct Permit {
    _own: Option<OwnedSemaphorePermit>,
    slot: Option<File>,
}

impl Drop for Permit {
    /// By name: closed, a lock lasts as long as a child of this process has the same file, and no
    /// answer of `close` says so.
    fn drop(&mut self) {
        if let Some(slot) = &self.slot {
            // then it ends when it is closed
            let _ = slot.unlock();
        }
    }
}

impl fmt::Debug for HostBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostBudget").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl HostBudget {
    /// A budget; `notice` is told, once for a host, why nothing happens.
    #[must_use]
    pub fn new(sharing: &Sharing, notice: Option<Notice>) -> Self {
        let dir = sharing.dir.as_ref().and_then(|dir| match prepare(dir) {
            Ok(()) => Some(dir.clone()),
            Err(error) => {
                tracing::debug!(dir = %dir.display(), %error, "no budget shared with other processes");
                None
            }
        });
        Self {
            at_once: sharing.at_once.max(1),
            dir,
            notice,
            own: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// Where the processes of this user meet; made, and this user's own.
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// `name:port` of a URL, the scheme's own port too: what the budget counts for.
    #[must_use]
    pub fn host(url: &Url) -> String {
        let port = url.port_or_known_default().unwrap_or_default();
        format!("{}:{port}", url.host_str().unwrap_or_default())
    }

    fn own(&self, host: &str) -> Host {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Host { requests: Arc::new(Semaphore::new(self.at_once)), not_before: None };
        own.entry(host.to_owned()).or_insert_with(make).clone()
    }

    /// Waits for a place among the requests to `host` (`name:port`).
    pub async fn enter(&self, host: &str) -> Permit {
        let own = Arc::clone(&self.own(host).requests).acquire_owned().await.ok();
        let Some(dir) = &self.dir else { return Permit { _own: own, slot: None } };
        let began = Instant::now();
        let base = file_name(host);
        let first = getrandom::u32().unwrap_or(0) as usize;
        loop {
            match (0..self.at_once)
                .find_map(|i| slot(dir, &base, (first.wrapping_add(i)) % self.at_once).transpose())
            {
                Some(Ok(file)) => return Permit { _own: own, slot: Some(file) },
                Some(Err(error)) => {
                    tracing::debug!(host, %error, "no slot can be locked: going without");
                    return Permit { _own: own, slot: None };
                }
                None => {}
            }
            if began.elapsed() > WORTH_SAYING {
                self.say(host, || {
                    format!(
                        "waiting for {host}: {} requests of this user are on their way to it \
                         already (requests_at_once)",
                        self.at_once
                    )
                });
            }
            if began.elapsed() > LONGEST {
                tracing::debug!(host, "no slot became free in a minute: going without");
                return Permit { _own: own, slot: None };
            }
            let pause = 5 + u64::from(getrandom::u32().unwrap_or(0) % 20);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// How long the host wants to be left alone, as it told this or another process.
    pub fn held_off(&self, host: &str) -> Option<Duration> {
        let own = self.own(host).not_before;
        let own = own.and_then(|at| at.checked_duration_since(Instant::now()));
        let noted = self.dir.as_ref().and_then(|dir| noted(&wait_file(dir, host)));
        own.max(noted).filter(|wait| !wait.is_zero())
    }

    /// Says once in a process why nothing happens.
    pub fn say_held_off(&self, host: &str, wait: Duration) {
        if wait > WORTH_SAYING {
            self.say(host, || format!("{host} asks for a pause of {} s", wait.as_secs() + 1));
        }
    }

    /// The host said `Retry-After`.
    pub fn hold_off(&self, host: &str, wait: Duration) {
        let wait = wait.min(FURTHEST);
        let until = Instant::now() + wait;
        self.own(host);
        if let Some(own) = self.own.lock().unwrap_or_else(PoisonError::into_inner).get_mut(host) {
            own.not_before = own.not_before.max(Some(until));
        }
        let Some(dir) = &self.dir else { return };
        let file = wait_file(dir, host);
        if noted(&file).is_some_and(|left| left >= wait) {
            return;
        }
        if let Err(error) = note(&file, wait) {
            tracing::debug!(host, %error, "other processes are not told to wait");
        }
    }

    fn say(&self, host: &str, sentence: impl FnOnce() -> String) {
        let Some(notice) = &self.notice else { return };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(host.to_owned()) {
            notice(&sentence());
        }
    }
}

/// A locked slot; `None` when somebody else has it.
fn slot(dir: &Path, base: &str, number: usize) -> io::Result<Option<File>> {
    let path = dir.join(format!("{base}.{number}"));
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn wait_file(dir: &Path, host: &str) -> PathBuf {
    dir.join(format!("{}.wait", file_name(host)))
}

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}

/// What is left of the time that a file names; nothing when it is past or no time at all.
fn noted(file: &Path) -> Option<Duration> {
    let until: u128 = ForeignFile::own_or_roots(64).text(file).ok()?.trim().parse().ok()?;
    let left = u64::try_from(until.checked_sub(now_ms())?).ok().map(Duration::from_millis)?;
    (left <= FURTHEST).then_some(left)
}

fn note(file: &Path, wait: Duration) -> io::Result<()> {
    let text = (now_ms() + wait.as_millis()).to_string();
    files::jot(file, 0o600, text.as_bytes())
}

/// `registry.example:443` as a file's name.
fn file_name(host: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    host.chars().map(|c| if plain(c) { c } else { '_' }).collect()
}

/// Makes the directory, or checks that it is this user's own, on a local file system.
fn prepare(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let there = std::fs::symlink_metadata(dir)?;
    let own = there.uid() == rustix::process::geteuid().as_raw();
    if !there.is_dir() || !own || there.mode() & 0o022 != 0 {
        return Err(io::Error::other("not a directory that only this user can write"));
    }
    let kind = rustix::fs::statfs(dir)?.f_type;
    if crate::files::is_local(kind) {
        Ok(())
    } else {
        Err(io::Error::other(format!("not known to be a local file system (type {kind:#x})")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(dir: &Path, at_once: usize) -> HostBudget {
        HostBudget::new(&Sharing { dir: Some(dir.to_owned()), at_once }, None)
    }

    #[tokio::test]
    async fn two_processes_share_the_slots() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("hosts");
        // two budgets with files of their own are what two processes are
        let (one, other) = (budget(&dir, 2), budget(&dir, 2));
        assert!(one.dir.is_some(), "the test's directory is not local");
        let first = one.enter("[::1]:443").await;
        let _second = other.enter("[::1]:443").await;
        let blocked = tokio::time::timeout(Duration::from_millis(60), other.enter("[::1]:443"));
        assert!(blocked.await.is_err(), "a third request went out");
        let _elsewhere = other.enter("b:443").await;
        drop(first);
        let _third = other.enter("[::1]:443").await;
    }

    /// As a child has it between `fork` and `exec`, or after a `close` that failed.
    #[tokio::test]
    async fn a_slot_is_free_although_its_file_is_still_open() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("hosts");
        let (one, other) = (budget(&dir, 1), budget(&dir, 1));
        let permit = one.enter("a:443").await;
        let _open = permit.slot.as_ref().unwrap().try_clone().unwrap();
        drop(permit);
        let next = tokio::time::timeout(Duration::from_secs(30), other.enter("a:443")).await;
        assert!(next.unwrap().slot.is_some());
    }

    #[test]
    fn a_wait_holds_for_all_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("hosts");
        let (one, other) = (budget(&dir, 2), budget(&dir, 2));
        one.hold_off("a:443", Duration::from_secs(100));
        one.hold_off("a:443", Duration::from_secs(10));
        for budget in [&one, &other] {
            let left = budget.held_off("a:443").unwrap();
            assert!(left > Duration::from_secs(50) && left <= Duration::from_secs(100));
            assert_eq!(budget.held_off("b:443"), None);
        }
        let file = wait_file(&dir, "a:443");
        for odd in ["", "soon", "1", "99999999999999999999999999999999999999", "-5"] {
            std::fs::write(&file, odd).unwrap();
            assert_eq!(other.held_off("a:443"), None, "{odd:?}");
        }
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "a file was left behind");
    }

    #[tokio::test]
    async fn a_directory_that_others_write_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let alone = budget(folder.path(), 1);
        assert!(alone.dir.is_none());
        let held = alone.enter("a:443").await;
        let blocked = tokio::time::timeout(Duration::from_millis(30), alone.enter("a:443")).await;
        assert!(blocked.is_err(), "its own budget counts all the same");
        drop(held);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
