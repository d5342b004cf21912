//! A mount in the form that a runtime gets.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::job::{Access, WORK_DIR};

/// A mount whose source was found on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// The path on this machine, without symbolic links.
    #[serde(with = "super::path_json")]
    pub source: PathBuf,
    /// The absolute path in the container.
    #[serde(with = "super::path_json")]
    pub target: PathBuf,
    /// Read only or not.
    pub access: Access,
    /// Whether the source is a directory.
    pub directory: bool,
}

impl Bind {
    /// A job's working directory.
    #[must_use]
    pub fn workdir(source: &Path) -> Self {
        let (source, target) = (source.to_owned(), WORK_DIR.into());
        Self { source, target, access: Access::Rw, directory: true }
    }
}

/// One field of a comma-separated `--mount` value, `KEY=PATH`, quoted as RFC 4180 has it.
#[must_use]
pub fn csv_field(key: &str, path: &Path) -> OsString {
    let path = path.as_os_str().as_bytes();
    let mut field = [key.as_bytes(), b"=", path].concat();
    if path.iter().any(|b| b"\",\n\r".contains(b)) {
        let doubled =
            field.iter().flat_map(|&b| std::iter::repeat_n(b, 1 + usize::from(b == b'"')));
        field = std::iter::once(b'"').chain(doubled).chain([b'"']).collect();
    }
    OsString::from_vec(field)
}
