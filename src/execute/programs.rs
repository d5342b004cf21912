//! A program in `PATH`.

use std::path::PathBuf;

/// A program in `PATH`.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    crate::files::in_path(&std::env::var_os("PATH")?, name)
}
