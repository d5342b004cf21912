//! The generic packages and releases that jobs wrote, and what was said of merge requests and commits.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use serde_json::Value;

use super::said::Said;

/// Project, package, version, file.
type Name = [String; 4];

/// What was written.
#[derive(Default)]
pub(super) struct Written(Mutex<Packages>);

#[derive(Default)]
pub(super) struct Packages {
    pub(super) files: BTreeMap<Name, Bytes>,
    /// By project and tag.
    pub(super) releases: BTreeMap<[String; 2], Value>,
    pub(super) said: Said,
}

impl Written {
    pub(super) fn lock(&self) -> MutexGuard<'_, Packages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files' names: package, version, file.
    pub(super) fn files(&self, project: &str) -> Vec<[String; 3]> {
        let packages = self.lock();
        let own = packages.files.keys().filter(|[of, ..]| of == project);
        own.map(|[_, rest @ ..]| rest.clone()).collect()
    }
}
