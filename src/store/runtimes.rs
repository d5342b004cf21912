//! Runtimes that the user added: kept until they are removed, and never pruned.
//!
//! ```text
//! runtimes/sha256/HEX          0444, a file of one; the name is the digest of its bytes
//! runtimes/KIND-HEX.json       {"schema":1,"added_at":"..","kind":"udocker","version":"1.3.17","package":{..},
//!                              "engines":{..}}; HEX is the package's digest
//! ```
//!
//! Of several of one kind the one that was added last is used. Not promised: that a file is still unchanged later;
//! whoever uses one compares its digest.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::found::list;
use super::{Incoming, Store, StoreError, safe};
use crate::files::ForeignFile;
use crate::job::{AddedFile, AddedRuntime};
use crate::oci::Sha256Digest;

/// Larger documents are refused.
const MOST_BYTES: u64 = 1 << 20;
const SCHEMA: u32 = 1;
/// Its folder.
const FOLDER: &str = "runtimes";

/// A runtime of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRuntime {
    /// Which.
    pub runtime: AddedRuntime,
    /// When it was added last.
    pub added_at: jiff::Timestamp,
    document: PathBuf,
}

/// The document.
#[derive(Serialize, Deserialize)]
struct Text {
    schema: u32,
    added_at: jiff::Timestamp,
    #[serde(flatten)]
    runtime: AddedRuntime,
}

impl Store {
    /// Whether a store may have added runtimes; nothing is made.
    #[must_use]
    pub fn may_have_runtimes(root: &Path) -> bool {
        root.join(FOLDER).is_dir()
    }

    fn runtimes_dir(&self) -> PathBuf {
        self.root.join(FOLDER)
    }

    /// Where the files of added runtimes are, each under the hex of its SHA-256.
    #[must_use]
    pub fn runtime_files(&self) -> PathBuf {
        self.runtimes_dir().join("sha256")
    }

    /// A file of an added runtime, when it is there and this user's own.
    #[must_use]
    pub fn runtime_file(&self, file: &AddedFile) -> Option<PathBuf> {
        let path = self.runtime_files().join(file.sha256.hex());
        safe::file(&path).ok().flatten().map(|_| path)
    }

    /// Names a file as that of a runtime.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] when its bytes are others; nothing is stored then.
    pub fn publish_runtime_file(
        &self,
        incoming: Incoming,
        file: &AddedFile,
    ) -> Result<PathBuf, StoreError> {
        let (got, length) = incoming.measured();
        let (expected, size) = (file.sha256, file.size);
        if got != expected || length != size {
            return Err(StoreError::Mismatch { expected, size, got, length });
        }
        safe::private_child(&self.runtimes_dir())?;
        safe::private_child(&self.runtime_files())?;
        let path = self.runtime_files().join(expected.hex());
        safe::file(&path)?;
        incoming.publish(&path)?;
        Ok(path)
    }

    /// Makes a runtime whose files are here the one of its kind that is used.
    ///
    /// # Errors
    /// When the document cannot be written.
    pub fn add_runtime(
        &self,
        runtime: &AddedRuntime,
        added_at: jiff::Timestamp,
    ) -> Result<(), StoreError> {
        let name = format!("{}-{}.json", runtime.kind, runtime.package.sha256.hex());
        let path = self.runtimes_dir().join(name);
        let text = Text { schema: SCHEMA, added_at, runtime: runtime.clone() };
        let text = serde_json::to_vec_pretty(&text)
            .map_err(|source| StoreError::Mapping { path: path.clone(), source })?;
        safe::private_child(&self.runtimes_dir())?;
        safe::file(&path)?;
        let mut incoming = self.incoming()?;
        incoming.write(&text)?;
        incoming.publish(&path)
    }

    /// The added runtimes, the one that was added last first. What cannot be read is told apart.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn runtimes(&self) -> Result<(Vec<StoredRuntime>, Vec<StoreError>), StoreError> {
        let (mut all, mut problems) = (Vec::new(), Vec::new());
        for path in list(&self.runtimes_dir())? {
            if path.extension().is_none_or(|kind| kind != "json") {
                continue;
            }
            match read(&path) {
                Ok(Some(runtime)) => all.push(runtime),
                Ok(None) => {}
                Err(error) => problems.push(error),
            }
        }
        all.sort_by(|a, b| (b.added_at, &b.document).cmp(&(a.added_at, &a.document)));
        Ok((all, problems))
    }

    /// Forgets a runtime, and removes those of its files that no other one has. What is not there is no error. A job
    /// that was submitted with it and has not begun will miss it.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn remove_runtime(&self, gone: &StoredRuntime) -> Result<(), StoreError> {
        remove(&gone.document)?;
        let (rest, _) = self.runtimes()?;
        let kept = |file: &AddedFile| {
            let mut files = rest.iter().flat_map(|one| one.runtime.files());
            files.any(|other| other.sha256 == file.sha256)
        };
        for file in gone.runtime.files().filter(|file| !kept(file)) {
            remove(&self.runtime_files().join(file.sha256.hex()))?;
        }
        Ok(())
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io("cannot remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// A document of this user's; `None` when it is gone.
fn read(path: &Path) -> Result<Option<StoredRuntime>, StoreError> {
    if safe::file(path)?.is_none() {
        return Ok(None);
    }
    let bytes = ForeignFile::own(MOST_BYTES)
        .bytes(path)
        .map_err(|error| StoreError::io("cannot read", path)(error.into()))?;
    let Text { runtime, added_at, .. } = serde_json::from_slice(&bytes)
        .map_err(|source| StoreError::Mapping { path: path.to_owned(), source })?;
    Ok(Some(StoredRuntime { runtime, added_at, document: path.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Name;
    use crate::oci::Digest;
    use crate::store::{Limits, Wanted};

    fn file(store: &Store, bytes: &[u8]) -> AddedFile {
        let mut incoming = store.incoming().unwrap();
        incoming.write(bytes).unwrap();
        let file = AddedFile {
            name: "udocker.whl".into(),
            sha256: Digest::of(bytes),
            size: bytes.len() as u64,
        };
        store.publish_runtime_file(incoming, &file).unwrap();
        file
    }

    fn add(store: &Store, bytes: &[u8], at: i64) -> AddedRuntime {
        let package = file(store, bytes);
        let kind = Name::known("udocker");
        let runtime = AddedRuntime { kind, version: "1.3.17".into(), package, engines: None };
        store.add_runtime(&runtime, jiff::Timestamp::from_second(at).unwrap()).unwrap();
        runtime
    }

    #[test]
    fn the_last_one_is_used_and_adding_again_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(store.runtimes().unwrap().0.is_empty());
        let (first, second) = (add(&store, b"1", 1), add(&store, b"2", 2));
        let names = || -> Vec<AddedRuntime> {
            let (all, problems) = store.runtimes().unwrap();
            assert!(problems.is_empty(), "{problems:?}");
            all.into_iter().map(|one| one.runtime).collect()
        };
        assert_eq!(names(), [second.clone(), first.clone()]);
        add(&store, b"1", 3);
        assert_eq!(names(), [first.clone(), second.clone()]);
        assert!(store.runtime_file(&first.package).is_some());
    }

    #[test]
    fn pruning_keeps_it_and_only_removal_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let runtime = add(&store, b"1", 1);
        let wanted = Wanted { max_size: Some(0), empty_trash: true, ..Wanted::default() };
        let limits = Limits { trash_age: std::time::Duration::ZERO };
        let done = store.prune(wanted, limits, &mut |_| false).unwrap();
        assert!(done.items.is_empty(), "{done:?}");
        assert!(store.runtime_file(&runtime.package).is_some());
        let (all, _) = store.runtimes().unwrap();
        store.remove_runtime(&all[0]).unwrap();
        store.remove_runtime(&all[0]).unwrap();
        assert!(store.runtimes().unwrap().0.is_empty());
        assert!(store.runtime_file(&runtime.package).is_none());
    }

    #[test]
    fn what_is_not_ones_own_is_told_and_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let good = add(&store, b"1", 1);
        let at = |name: &str| store.runtimes_dir().join(name);
        fs::write(at("udocker-00.json"), "{").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", at("udocker-01.json")).unwrap();
        let (all, problems) = store.runtimes().unwrap();
        assert_eq!((all.len(), problems.len()), (1, 2), "{problems:?}");
        let mut incoming = store.incoming().unwrap();
        incoming.write(b"other bytes").unwrap();
        let refused = store.publish_runtime_file(incoming, &good.package).unwrap_err();
        assert!(matches!(refused, StoreError::Mismatch { .. }), "{refused}");
    }
}
