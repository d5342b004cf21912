//! What a program and everything that it started used of the machine, and which program this worker is.

use std::fs::File;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::files;
use crate::oci::{Digest, Sha256Digest};

/// What the processes used that this one waited for, with those that they waited for.
pub(super) struct Used {
    /// The largest resident set of any one process, in bytes.
    pub(super) peak_memory: u64,
    /// In user and kernel mode, in milliseconds.
    pub(super) cpu_ms: u64,
}

impl Used {
    /// Up to now. `None` when the kernel does not say it.
    pub(super) fn by_children() -> Option<Self> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
        // getrusage(2): in kilobytes
        let peak_memory = u64::try_from(usage.max_rss()).ok()?.checked_mul(1024)?;
        let cpu_ms = milliseconds(usage.user_time())? + milliseconds(usage.system_time())?;
        Some(Self { peak_memory, cpu_ms })
    }
}

fn milliseconds(time: TimeVal) -> Option<u64> {
    let whole = u64::try_from(time.tv_sec()).ok()?.checked_mul(1000)?;
    whole.checked_add(u64::try_from(time.tv_usec()).ok()? / 1000)
}

/// SHA-256 of the program that this process runs, also when its file was replaced meanwhile.
pub(super) fn own_program() -> Option<Digest> {
    let sum = File::open("/proc/self/exe").and_then(|mut file| files::sha256(&mut file)).ok()?;
    Some(Digest::from_bytes(sum.sha256))
}
