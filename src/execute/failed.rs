//! A step of a hidden process that failed, in the words for the worker.

use std::io;

/// A step that failed.
pub(super) struct Failed(pub(super) String);

/// Names what a system call was for.
pub(super) fn at<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Failed {
    let what = what.into();
    move |e| Failed(format!("{what}: {}", e.into()))
}
