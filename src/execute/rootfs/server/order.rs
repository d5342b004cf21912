//! What worker and server say to each other, over a socket that only they have.

use serde::{Deserialize, Serialize};

use super::super::tree::Configured;
use crate::oci::TreeRoot;
use crate::runtime::builtin::Lacking;
use crate::sif::hash_tree::Counted;

/// What is to be served; the handle of the SIF comes with it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// The root of the SIF's hash tree.
    pub(super) root: TreeRoot,
    /// What the image may ask for at most.
    pub(super) limits: Configured,
}

/// Comes with the handle of `/dev/fuse`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Go {
    /// What is shown besides the image.
    pub(super) lacking: Vec<Lacking>,
}

/// What the server says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "it", rename_all = "lowercase")]
pub(super) enum Said {
    /// A block was refused, for the first time.
    Refused,
    /// The mount is gone.
    Done {
        read: u64,
        refused: u64,
        failed: u64,
        /// The first thing that could not be answered.
        trouble: Option<String>,
    },
}

/// What a server did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::execute) struct Served {
    /// The root that every block was checked against.
    pub(in crate::execute) root: TreeRoot,
    /// What it counted; `None` when it was killed and could not say it.
    pub(in crate::execute) counted: Option<Counted>,
    /// The first thing that it could not answer.
    pub(in crate::execute) trouble: Option<String>,
}
