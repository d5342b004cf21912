//! What the process inside carries out, in this order; travels to it as JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::job::Access;
use crate::runtime::path_json;

/// Where the machine's root is while the container's is put together; no image has this name then.
pub const OUTSIDE: &str = "/.moorline-outside";

/// What is mounted somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub enum What {
    /// A file or directory of this machine with everything mounted below it.
    Bind {
        /// Without symbolic links.
        #[serde(with = "path_json")]
        source: PathBuf,
        /// Read-only or not.
        access: Access,
        /// Whether it is a directory.
        directory: bool,
    },
    /// A new `/proc` for the container's own processes, else the machine's.
    Proc,
    /// A `/dev` with the harmless devices only.
    Dev {
        /// An empty `/dev/shm` of the container's own instead of the machine's, which ranks of one
        /// node share: where something is to be mounted below it, nothing is made in the machine's.
        own_shm: bool,
    },
}

impl What {
    /// Whether its mount point is a directory.
    #[must_use]
    pub fn directory(&self) -> bool {
        !matches!(self, Self::Bind { directory: false, .. })
    }
}

/// A name that something is mounted at and that the image does not have, or has as another type of file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacking {
    /// Absolute, without links.
    #[serde(with = "path_json")]
    pub target: PathBuf,
    /// Whether it is to be a directory.
    pub directory: bool,
}

/// One step; targets are absolute in the container.
///
/// `Directory` and `File` may also come after a `Mount` that they lie below: a mount point inside a
/// directory that Moorline supplies. There they do nothing where the name is there already, and no
/// link on the way is followed: an earlier attempt of the job may have left one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub enum Step {
    /// An empty directory, unless there is something of that name.
    Directory {
        /// Where.
        #[serde(with = "path_json")]
        target: PathBuf,
    },
    /// An empty file to be mounted over, unless there is something of that name.
    File {
        /// Where.
        #[serde(with = "path_json")]
        target: PathBuf,
    },
    /// A symbolic link in the skeleton.
    Link {
        /// Where.
        #[serde(with = "path_json")]
        target: PathBuf,
        /// Its text.
        #[serde(with = "path_json")]
        to: PathBuf,
    },
    /// A part of the image, read-only.
    Image {
        /// Its path on this machine.
        #[serde(with = "path_json")]
        source: PathBuf,
        /// Where.
        #[serde(with = "path_json")]
        target: PathBuf,
    },
    /// A mount.
    Mount {
        /// Where.
        #[serde(with = "path_json")]
        target: PathBuf,
        /// What.
        what: What,
    },
}
