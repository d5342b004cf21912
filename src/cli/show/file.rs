//! A text is written into a file that the user named.

use std::path::Path;

use super::output::{CliError, Report};
use crate::failure::{Kind, io_kind};
use crate::files;

/// Writes by temporary file, sync and rename: a reader sees the old text or the new one.
///
/// # Errors
/// When the directory or the disk does not take it; then the old file stays. The kind is `otherwise` unless the
/// system's own error says more.
pub fn replace(path: &Path, text: &str, otherwise: Kind) -> Result<(), Report> {
    files::replace(path, 0o644, text.as_bytes()).map_err(|error| {
        let kind = io_kind(&error, otherwise);
        CliError::new(kind, format!("cannot write {}: {error}", path.display())).into()
    })
}
