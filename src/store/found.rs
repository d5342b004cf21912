//! What lies in a directory of the store.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::StoreError;
use crate::listing;

/// What a directory holds; one that is not there holds nothing.
pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match listing::names(dir) {
        Ok(names) => Ok(names.into_iter().map(|name| dir.join(name)).collect()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(StoreError::io("cannot read", dir)(e)),
    }
}

/// Every file below a directory, links not followed; what vanishes meanwhile is left out.
pub(super) fn files(
    dir: &Path,
    see: &mut dyn FnMut(&Path, &fs::Metadata),
) -> Result<(), StoreError> {
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for path in list(&dir)? {
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if meta.is_dir() {
                dirs.push(path);
            } else {
                see(&path, &meta);
            }
        }
    }
    Ok(())
}
