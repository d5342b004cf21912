//! Which process made a file: written into its name, so that a dead writer is known at once where
//! that can be known.
//!
//! ```text
//! BOOT.NAMESPACE.PID.START    the kernel's boot id, the number of its process namespace,
//!                             the process id, its start in clock ticks since boot
//! ```
//!
//! Source: proc(5), `random/boot_id`, `PID/stat` and `ns/pid`. Only a process of the same running
//! kernel and the same namespace can be looked up; of any other nothing is known.

use std::fmt;
use std::fs;
use std::str::FromStr;

/// A process, by what is never given to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    boot: String,
    namespace: u64,
    pid: u32,
    start: u64,
}

impl Process {
    /// This process; `None` where `/proc` does not say.
    pub fn current() -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let boot: String = boot.trim().chars().filter(char::is_ascii_hexdigit).collect();
        let namespace = namespace()?;
        let pid = std::process::id();
        let (start, _) = stat(pid)?;
        (!boot.is_empty()).then_some(Self { boot, namespace, pid, start })
    }

    /// Whether `here` can look the process up: they share a running kernel and a namespace.
    pub fn is_comparable(&self, here: &Self) -> bool {
        self.boot == here.boot && self.namespace == here.namespace
    }

    /// Whether the process has certainly ended, as `here` can tell.
    pub fn is_dead(&self, here: &Self) -> bool {
        if !self.is_comparable(here) {
            return false;
        }
        // a zombie writes no more
        stat(self.pid)
            .is_none_or(|(start, state)| start != self.start || matches!(state, 'Z' | 'X' | 'x'))
    }
}

fn namespace() -> Option<u64> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

/// Start and state of a process; `None` when there is none, or its line cannot be read.
fn stat(pid: u32) -> Option<(u64, char)> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the program's name may hold anything, also brackets
    let (_, rest) = line.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    // field 22; the state is field 3
    let start = fields.nth(18)?.parse().ok()?;
    Some((start, state))
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.boot, self.namespace, self.pid, self.start)
    }
}

impl FromStr for Process {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(());
        let boot = next()?.to_owned();
        let namespace = next()?.parse().map_err(drop)?;
        let pid = next()?.parse().map_err(drop)?;
        let start = next()?.parse().map_err(drop)?;
        let hex = !boot.is_empty() && boot.bytes().all(|b| b.is_ascii_hexdigit());
        if parts.next().is_some() || !hex {
            return Err(());
        }
        Ok(Self { boot, namespace, pid, start })
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_dead_when_it_ended_and_only_then() {
        let here = Process::current().unwrap();
        assert_eq!(here.to_string().parse(), Ok(here.clone()));
        assert!(!here.is_dead(&here));
        assert!(Process { start: here.start + 1, ..here.clone() }.is_dead(&here), "another one");

        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let (start, _) = stat(child.id()).unwrap();
        let process = Process { pid: child.id(), start, ..here.clone() };
        assert!(!process.is_dead(&here));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(process.is_dead(&here));
        let elsewhere = Process { boot: "0123".into(), ..process };
        assert!(!elsewhere.is_dead(&here), "of another machine nothing is known");
    }

    #[test]
    fn only_whole_names_are_read() {
        for text in ["", "a", "a.1.2", "a.1.2.3.4", "a.1.x.3", "../a.1.2.3", ".1.2.3"] {
            assert_eq!(text.parse::<Process>(), Err(()), "{text}");
        }
    }
}
