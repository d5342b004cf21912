//! What the kernel says of this process in `/proc/self/status`, read in one place.
//!
//! ```text
//! Umask:     0022               octal
//! TracerPid: 0                  the tracer, or 0
//! SigIgn:    0000000000001000   hexadecimal, bit n-1 for signal n
//! CapEff:    0000000080000000   hexadecimal, bit n for capability n
//! NoNewPrivs: 1                 programs give no ids or capabilities that their caller has not
//! Seccomp:   2                  0 off, 1 strict, 2 filter
//! ```
//!
//! Floor 0. Source: `proc_pid_status(5)`. *Not promised:* an answer. Where `/proc` is not there or holds no such line
//! (`Umask` came with Linux 4.7), nothing is known: no signal is ignored, nobody traces, nothing is filtered.

/// The lines, as they were when it was read.
#[derive(Debug)]
pub struct ProcStatus(String);

impl ProcStatus {
    /// Those of this process.
    #[must_use]
    pub fn own() -> Self {
        Self(std::fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// Whether a signal of this number is ignored.
    #[must_use]
    pub fn ignores(&self, signal: i32) -> bool {
        let mask = self.value("SigIgn").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        (1..=64).contains(&signal) && mask.unwrap_or(0) >> (signal - 1) & 1 == 1
    }

    /// Whether a debugger is attached.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.value("TracerPid").is_some_and(|pid| pid != "0")
    }

    /// Whether a filter of system calls stands above this process.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        self.value("Seccomp") == Some("2")
    }

    /// Whether no program that this process starts gets ids or capabilities of its own file.
    #[must_use]
    pub fn has_no_new_privileges(&self) -> bool {
        self.value("NoNewPrivs") == Some("1")
    }

    /// Whether a capability of this number is in effect; `None` when nothing is known.
    #[must_use]
    pub fn has_capability(&self, number: u32) -> Option<bool> {
        let set = u64::from_str_radix(self.value("CapEff")?, 16).ok()?;
        Some(set.checked_shr(number).unwrap_or(0) & 1 == 1)
    }

    /// The mask of new files. To ask the kernel itself is to set it, for all threads.
    #[must_use]
    pub fn umask(&self) -> Option<u32> {
        u32::from_str_radix(self.value("Umask")?, 8).ok()
    }
}

#[cfg(test)]
impl From<&str> for ProcStatus {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_read() {
        let text = "Name:\tSeccomp:\t2\nNoNewPrivs:\t1\nCapEff:\t0000000080000000\nUmask:\t0027\nTracerPid:\t12\nSigIgn:\t8000000000001003\nSeccomp:\t2\n\
                    Seccomp_filters:\t1\n";
        let status = ProcStatus(text.to_owned());
        assert_eq!(status.umask(), Some(0o27));
        assert!(status.is_traced() && status.is_filtered() && status.has_no_new_privileges());
        let of = |number| status.has_capability(number);
        assert_eq!((of(31), of(30), of(64)), (Some(true), Some(false), Some(false)));
        let ignored: Vec<i32> = (-1..=66).filter(|signal| status.ignores(*signal)).collect();
        assert_eq!(ignored, [1, 2, 13, 64]);
        for nothing in ["", "Umask:\tx\nSigIgn:\nTracerPid:\t0\nSeccomp:\t0\n"] {
            let status = ProcStatus(nothing.to_owned());
            assert!(!status.is_traced() && !status.is_filtered() && !status.ignores(1));
            assert!(!status.has_no_new_privileges());
            assert_eq!((status.umask(), status.has_capability(31)), (None, None));
        }
        assert!(ProcStatus::own().umask().is_some());
    }
}
