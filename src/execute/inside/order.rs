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
    /// This program serves the image with the names that mounts need: at the root, or where the layer has it.
    #[serde(default)]
    pub(in crate::execute) served: bool,
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

impl Inside {
    /// Where an image that this program serves is mounted.
    pub(super) fn image_at(&self) -> &std::path::Path {
        self.writable.as_ref().map_or(self.root.as_path(), |layer| layer.image.path())
    }
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
