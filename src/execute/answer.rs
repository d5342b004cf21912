//! What a file system answers (asker.rs).

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

/// What a file is, for comparing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Its file system.
    pub(super) device: u64,
    /// Its number there.
    pub(super) inode: u64,
}

impl Identity {
    pub(super) fn of(metadata: &std::fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// To [`Question::Find`] and [`Question::Look`].
    Found { path: OsString, directory: bool, identity: Identity },
    /// To [`Question::Mount`].
    Mount(u32),
    /// To [`Question::Restrict`].
    Done,
    /// To [`Question::Search`]: which marker was found, and where.
    Hit { marker: usize, path: OsString },
    /// To [`Question::Search`]: none; whether everything was looked at that was to be.
    Nothing { whole: bool },
    /// It cannot be done.
    No {
        /// Why.
        why: String,
        /// Whether there is no way to it for this user.
        out_of_reach: bool,
    },
    /// Nobody answered in time.
    Silent,
}
