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
    /// An empty directory of the machine.
    #[serde(with = "path_json")]
    pub(in crate::execute) root: PathBuf,
    /// See [`crate::runtime::builtin`].
    pub(in crate::execute) steps: Vec<Step>,
    /// What is covered after them.
    #[serde(default)]
    pub(in crate::execute) hide: Vec<Hidden>,
    /// Where the image is mounted that this program serves; an empty directory of the machine.
    #[serde(default)]
    pub(in crate::execute) serve: Option<Word>,
    /// The layer in which the program may write over the image; without one its root is read-only.
    #[serde(default)]
    pub(in crate::execute) writable: Option<Writable>,
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

/// Directories of the machine that make a root that can be written to.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::execute) struct Writable {
    /// The image's tree.
    pub(in crate::execute) image: Word,
    /// Where what is written goes.
    pub(in crate::execute) upper: Word,
    /// An empty one beside it, for the kernel.
    pub(in crate::execute) work: Word,
}
