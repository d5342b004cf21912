//! What the container's first process is told.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::execute::hiding::Hidden;
use crate::execute::starter::{Start, Word};
use crate::runtime::builtin::Step;
use crate::runtime::path_json;

/// What is to be done inside.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::execute) struct Inside {
    /// An empty directory of the machine, where the container's root is mounted.
    #[serde(with = "path_json")]
    pub(in crate::execute) root: PathBuf,
    /// See [`crate::runtime::builtin`].
    pub(in crate::execute) steps: Vec<Step>,
    /// What is covered after them.
    #[serde(default)]
    pub(in crate::execute) hide: Vec<Hidden>,
    /// The root is the image, which this program serves with the names that mounts need. Otherwise it is a tmpfs.
    #[serde(default)]
    pub(in crate::execute) served: bool,
    /// Mounts of the machine that are known to be out of reach, by their place in the container.
    #[serde(default)]
    pub(in crate::execute) passed_over: Vec<OsString>,
    /// The caller is root of the machine.
    pub(in crate::execute) uid: u32,
    /// The program's terminal, a path of the machine.
    pub(in crate::execute) terminal: Option<Word>,
    /// What is started then.
    pub(in crate::execute) start: Start,
}
