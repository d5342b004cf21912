//! Temporary files and directories: their names carry the process that makes them, so that its leftovers
//! are known when it is dead.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use tempfile::NamedTempFile;

use super::process::Process;
use crate::listing;

const TEMPORARY: &str = "incoming-";

/// What the names of this process' temporary files begin with.
pub(super) fn temporary_prefix() -> String {
    match Process::current() {
        Some(process) => format!("{TEMPORARY}{process}-"),
        None => format!("{TEMPORARY}unknown-"),
    }
}

/// A temporary file in a directory that is not the store's, for a file that is to stand there. Those
/// that dead processes left there go.
///
/// # Errors
/// When it cannot be made.
pub fn temporary_beside(dir: &Path) -> io::Result<NamedTempFile> {
    temporary(dir, ".moorline-")
}

/// The same in a `tmp/`.
pub(super) fn temporary_in(tmp: &Path) -> io::Result<NamedTempFile> {
    temporary(tmp, TEMPORARY)
}

/// A directory of this user, 0700, below one that nobody else can write. Those of this kind that dead
/// processes left there go. Who made it removes it.
///
/// # Errors
/// When it cannot be made.
pub fn temporary_directory(parent: &Path) -> io::Result<PathBuf> {
    const PREFIX: &str = ".new-";
    let prefix = make_way(parent, PREFIX);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).permissions(fs::Permissions::from_mode(0o700));
    Ok(builder.tempdir_in(parent)?.keep())
}

fn temporary(dir: &Path, prefix: &str) -> io::Result<NamedTempFile> {
    let prefix = make_way(dir, prefix);
    tempfile::Builder::new().prefix(&prefix).tempfile_in(dir)
}

/// Removes what dead processes left under such names; what a new name begins with.
fn make_way(dir: &Path, prefix: &str) -> String {
    let here = Process::current();
    for name in listing::names(dir).unwrap_or_default() {
        let process = name.to_str().filter(|name| name.starts_with(prefix)).and_then(process_of);
        if process.zip(here.as_ref()).is_some_and(|(it, here)| it.is_dead(here)) {
            let _ = listing::remove_tree(&dir.join(&name));
        }
    }
    let process = here.map_or_else(|| "unknown".into(), |process| process.to_string());
    format!("{prefix}{process}-")
}

/// The process that a name carries: `PREFIX-PROCESS-RANDOM`.
pub(super) fn process_of(name: &str) -> Option<Process> {
    name.split_once('-')?.1.rsplit_once('-')?.0.parse().ok()
}
