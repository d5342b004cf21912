//! Whether this worker is confined already: a container around it, or whoever started it, took something away.
//!
//! | fact | what is gone |
//! |---|---|
//! | `no_new_privs` | what programs with the set-user-id bit do: `newuidmap`, `fusermount3`, apptainer's own starter |
//! | a user namespace of its own | ids beyond its map, and mounts of file systems that root alone may make |
//! | root without `CAP_SETFCAP` | user namespaces in which that root has a number (Linux 5.12) |
//!
//! The kernel's words are asked, not the names of containers: payloads of a pilot look like any other process.

use crate::procstatus::ProcStatus;

/// capabilities(7).
const CAP_SETFCAP: u32 = 31;

/// What was taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Confined {
    pub(super) no_new_privileges: bool,
    pub(super) own_users: bool,
    pub(super) weak_root: bool,
}

impl Confined {
    /// This process.
    pub(super) fn own() -> Self {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        Self::of(&ProcStatus::own(), &map, rustix::process::geteuid().is_root())
    }

    fn of(status: &ProcStatus, uid_map: &str, root: bool) -> Self {
        let words: Vec<&str> = uid_map.split_whitespace().collect();
        Self {
            no_new_privileges: status.has_no_new_privileges(),
            own_users: !words.is_empty() && words != ["0", "0", "4294967295"],
            weak_root: root && status.has_capability(CAP_SETFCAP) == Some(false),
        }
    }

    /// Whether anything was.
    pub(super) fn at_all(self) -> bool {
        self != Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_container_takes_away() {
        let of = |text: &str, map, root| Confined::of(&ProcStatus::from(text), map, root);
        let whole = "         0          0 4294967295\n";
        let none = "NoNewPrivs:\t0\nCapEff:\t0000000000000000\n";
        assert!(!of(none, whole, false).at_all() && !of("", "", true).at_all());
        assert!(of(none, whole, true).weak_root);
        assert!(of(none, "     59998      59998          1\n", false).own_users);
        assert!(of("NoNewPrivs:\t1\n", whole, false).no_new_privileges);
        assert!(!of("CapEff:\t0000000080000000\n", whole, true).at_all());
    }
}
