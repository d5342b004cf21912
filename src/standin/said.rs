//! What was said of merge requests and commits.

use serde_json::Value;

/// A note in a merge request.
pub(super) struct Note {
    pub(super) project: String,
    pub(super) merge_request: u64,
    pub(super) id: usize,
    /// Whose token it was.
    pub(super) author: usize,
    pub(super) body: String,
}

/// A commit's status.
pub(super) struct Marked {
    pub(super) project: String,
    pub(super) sha: String,
    pub(super) fields: Value,
}

/// All of it.
#[derive(Default)]
pub(super) struct Said {
    pub(super) notes: Vec<Note>,
    pub(super) statuses: Vec<Marked>,
}
