//! An error of the system about a file, with the operation and the path.

use std::io;
use std::path::{Path, PathBuf};

use super::barred::explained;

/// A file could not be read, written, made or removed.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}: {source}", path.display())]
pub struct FileError {
    /// What was done: `cannot write`, ...
    pub doing: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`: what was done, on what. Where a directory is in the way, the error names it.
    pub fn about<'a>(
        doing: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self { doing, path: path.to_owned(), source: explained(path, source) }
    }
}
