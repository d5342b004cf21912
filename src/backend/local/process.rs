//! Processes named by number and start time, so that a number used again is never taken for the
//! process that had it before.
//!
//! Source: `proc_pid_stat(5)`: `pid (name) state ppid pgrp session ... starttime(22) ...`.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

pub(in crate::backend) const TERM: Signal = Signal::TERM;
pub(super) const KILL: Signal = Signal::KILL;

/// The variable in a job's environment by which its processes are known when their supervisor died.
pub(super) const MARK: &str = "MOORLINE_LOCAL_JOB";

/// A process of this boot and pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(in crate::backend) struct Process {
    pub pid: i32,
    /// Clock ticks since boot.
    pub started: u64,
}

/// One line of the process table.
struct Entry {
    process: Process,
    parent: i32,
    session: i32,
    dead: bool,
}

impl Process {
    /// The caller's own process.
    pub fn myself() -> std::io::Result<Self> {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let entry =
            entry(pid).ok_or_else(|| std::io::Error::other("cannot read /proc/self/stat"))?;
        Ok(entry.process)
    }

    /// The process that has this number now.
    pub fn with_pid(pid: i32) -> Option<Self> {
        entry(pid).map(|entry| entry.process)
    }

    /// Whether it still runs; a zombie does not.
    pub fn is_alive(self) -> bool {
        entry(self.pid).is_some_and(|entry| entry.process == self && !entry.dead)
    }

    /// Sends a signal to this very process; one that is gone, or another's, gets none.
    pub fn signal(self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        // The handle is opened first and the start time looked at after that: from then on the
        // handle cannot come to mean another process.
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) if self.is_alive() => {
                // It may be gone by now, or belong to root (a setuid helper): the caller looks again.
                let _ = pidfd_send_signal(&handle, signal);
            }
            // Before Linux 5.3.
            Err(rustix::io::Errno::NOSYS) if self.is_alive() => {
                let _ = rustix::process::kill_process(pid, signal);
            }
            _ => {}
        }
    }
}

fn entry(pid: i32) -> Option<Entry> {
    parse(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name stands in parentheses and may hold any character, so fields count from the last `)`.
fn parse(pid: i32, stat: &str) -> Option<Entry> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Entry {
        process: Process { pid, started: fields.get(19)?.parse().ok()? },
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        dead: matches!(*fields.first()?, "Z" | "X" | "x"),
    })
}

fn table() -> Vec<Entry> {
    let names = crate::listing::names(std::path::Path::new("/proc")).unwrap_or_default();
    names.iter().filter_map(|name| name.to_str()?.parse().ok()).filter_map(entry).collect()
}

/// Every living process that descends from one of `roots`.
fn descendants(table: &[Entry], roots: &[i32]) -> Vec<Process> {
    let mut known: HashSet<i32> = roots.iter().copied().collect();
    let mut found = vec![];
    loop {
        let new: Vec<&Entry> = table
            .iter()
            .filter(|e| known.contains(&e.parent) && !known.contains(&e.process.pid))
            .collect();
        if new.is_empty() {
            return found;
        }
        known.extend(new.iter().map(|e| e.process.pid));
        // The children of a zombie have another parent already; it cannot be signalled.
        found.extend(new.iter().filter(|e| !e.dead).map(|e| e.process));
    }
}

/// Every living process below a supervisor, itself not.
pub(super) fn below(supervisor: Process) -> Vec<Process> {
    descendants(&table(), &[supervisor.pid])
}

/// What is left of a job without its supervisor: processes that carry its mark in their environment,
/// and everything below them; and, while the supervisor's own entry is still in the table, its session.
///
/// A session whose leader is gone or is a younger process is not counted: the kernel issues the
/// number again, and a stranger's process would be ended. So a process that has replaced its
/// environment *and* lost its parent is not found.
pub(super) fn orphans(mark: &str, supervisor: Option<Process>) -> Vec<Process> {
    let table = table();
    let myself = rustix::process::getpid().as_raw_nonzero().get();
    let mark = format!("{MARK}={mark}");
    let carries = |pid: i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|b| *b == 0).any(|variable| variable == mark.as_bytes())
    };
    let leads =
        |leader: &Process| table.iter().any(|e| e.process == *leader && e.session == leader.pid);
    let session = supervisor.filter(leads).map(|leader| leader.pid);
    let mut found: Vec<Process> = table
        .iter()
        .filter(|e| !e.dead && e.process.pid != myself)
        .filter(|e| Some(e.session) == session || carries(e.process.pid))
        .map(|e| e.process)
        .collect();
    let roots: Vec<i32> = found.iter().map(|p| p.pid).collect();
    found.extend(descendants(&table, &roots));
    found
}

/// KILL to all, and a look until they are gone or the time is over.
pub(super) fn end(processes: &[Process], patience: Duration) {
    let deadline = Instant::now() + patience;
    while processes.iter().any(|p| p.is_alive()) && Instant::now() < deadline {
        for process in processes {
            process.signal(KILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The boot and pid namespace in which process numbers mean something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::backend) struct Place {
    pub host: String,
    pub boot: String,
    pub pid_namespace: String,
}

impl Place {
    /// Where the caller is.
    pub fn here() -> Self {
        let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default().trim().to_owned();
        let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        Self {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            boot: read("/proc/sys/kernel/random/boot_id"),
            pid_namespace: namespace.display().to_string(),
        }
    }

    /// Whether the machine was started anew since.
    pub fn is_rebooted(&self) -> bool {
        let here = Self::here();
        self.host == here.host && self.boot != here.boot
    }

    /// Whether process numbers of there mean the same here.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn same_as_here(&self) -> Result<(), String> {
        let here = Self::here();
        if *self == here {
            return Ok(());
        }
        Err(if self.is_rebooted() {
            "the machine was restarted while it ran".to_owned()
        } else if self.boot == here.boot {
            "it belongs to another container of this machine; ask there".to_owned()
        } else {
            format!("it belongs to the machine {}; ask there", self.host)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "7 (a) Z 1 2) S 1 7 5 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        let entry = parse(7, stat).unwrap();
        assert_eq!((entry.parent, entry.session, entry.dead), (1, 5, false));
        assert_eq!(entry.process.started, 4242);
        for bad in ["", "7 (a", "7 (a) S", "7 (a) S x 7 5 0 -1 0 1 0 0 0 0 0 0 0 20 0 1 0 1"] {
            assert!(parse(7, bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_number_used_again_is_not_the_process() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let real = Process::with_pid(child.id().cast_signed()).unwrap();
        let stale = Process { started: real.started - 1, ..real };
        assert!(real.is_alive() && !stale.is_alive());
        stale.signal(KILL);
        assert!(child.try_wait().unwrap().is_none(), "the stranger lives");
        real.signal(KILL);
        child.wait().unwrap();
        assert!(!real.is_alive());
    }

    #[test]
    fn places() {
        let here = Place::here();
        assert_eq!(here.same_as_here(), Ok(()));
        let rebooted = Place { boot: "x".into(), ..here.clone() };
        assert!(rebooted.is_rebooted());
        assert!(rebooted.same_as_here().unwrap_err().contains("restarted"));
        let far = Place { host: "far".into(), boot: "x".into(), ..here.clone() };
        assert!(!far.is_rebooted());
        assert!(far.same_as_here().unwrap_err().contains("far"));
        let container = Place { pid_namespace: "pid:[1]".into(), ..here };
        assert!(container.same_as_here().unwrap_err().contains("container"));
    }
}
