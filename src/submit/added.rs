//! Runtimes that the user adds for workers that have none: udocker is never installed by a job.
//!
//! ```text
//! runtime add   FILE [ENGINES] --copied, hashed, looked at--> the store, by SHA-256
//! submit        the store --where workers see it--------> the plan: digests, and the store's directory
//!                         --elsewhere, copied, hashed---> control/added/HEX; the plan: digests
//! ```

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::SubmitError;
use super::jobdir::JobDir;
use crate::files::{FileError, ForeignFile};
use crate::job::{AddedEngines, AddedFile, AddedRuntime, Name, StagedRuntime};
use crate::oci::Sha256Digest;
use crate::runtime::udocker::{
    Engines, MOST_ENGINES_BYTES, MOST_PACKAGE_BYTES, Package, UdockerError,
};
use crate::store::{Incoming, Store};
use crate::worker::ADDED_FOLDER;

/// Keeps udocker, and the archive of its engines where there is one, as the ones that jobs get from now on.
///
/// # Errors
/// When a file is not what it should be; nothing is kept then.
pub fn add_udocker(
    store: &Store,
    package: &Path,
    engines: Option<&Path>,
    now: jiff::Timestamp,
) -> Result<AddedRuntime, SubmitError> {
    let (bytes, file, said) = looked_at(store, package, MOST_PACKAGE_BYTES, Package::read)?;
    let engines = engines
        .map(|path| looked_at(store, path, MOST_ENGINES_BYTES, Engines::read))
        .transpose()?;
    store.publish_runtime_file(bytes, &file)?;
    let engines = match engines {
        Some((bytes, file, Engines { version, brings })) => {
            store.publish_runtime_file(bytes, &file)?;
            Some(AddedEngines { file, version, brings })
        }
        None => None,
    };
    let kind = Name::known("udocker");
    let runtime = AddedRuntime { kind, version: said.version, package: file, engines };
    store.add_runtime(&runtime, now)?;
    Ok(runtime)
}

/// A copy of a file in the store, without a name still, and what a look at this copy says.
fn looked_at<T>(
    store: &Store,
    path: &Path,
    most: u64,
    look: impl FnOnce(&mut File) -> Result<T, UdockerError>,
) -> Result<(Incoming, AddedFile, T), SubmitError> {
    let unread =
        |error: io::Error| SubmitError::Input(FileError::about("cannot read", path)(error));
    let opened = ForeignFile::anyones(most).through_links().open(path);
    let mut from = opened.map_err(|error| unread(error.into()))?.into_file();
    let mut incoming = store.incoming()?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = from.read(&mut buffer).map_err(unread)?;
        if count == 0 {
            break;
        }
        incoming.write(&buffer[..count])?;
        if incoming.measured().1 > most {
            return Err(unread(io::Error::other(format!("it is larger than {most} bytes"))));
        }
    }
    let (sha256, size) = incoming.measured();
    let said = look(incoming.file_mut())
        .map_err(|source| SubmitError::Runtime { path: path.to_owned(), source })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((incoming, AddedFile { name, sha256, size }, said))
}

/// Added runtimes on their way to a job.
#[derive(Clone, Debug, Default)]
pub struct Added {
    /// For the plan.
    pub(super) staged: Vec<StagedRuntime>,
    /// Where the store has their files.
    from: PathBuf,
}

impl Added {
    /// Those that a job may come to; `in_place` where its workers read the store.
    ///
    /// # Errors
    /// [`SubmitError::RuntimeLost`] for one whose file is not in the store any more.
    pub fn of(
        store: &Store,
        runtimes: Vec<AddedRuntime>,
        in_place: bool,
    ) -> Result<Self, SubmitError> {
        for (runtime, file) in runtimes.iter().flat_map(|one| one.files().map(move |f| (one, f))) {
            if store.runtime_file(file).is_none() {
                return Err(lost(runtime, file));
            }
        }
        let from = store.runtime_files();
        let files = if in_place { from.clone() } else { ADDED_FOLDER.into() };
        let staged = runtimes
            .into_iter()
            .map(|runtime| StagedRuntime { runtime, files: files.clone() })
            .collect();
        Ok(Self { staged, from })
    }

    /// Copies what workers do not see elsewhere into the job's directory.
    ///
    /// # Errors
    /// When it cannot be copied, or the store has other bytes.
    pub(super) fn put(&self, dir: &JobDir) -> Result<(), SubmitError> {
        for staged in self.staged.iter().filter(|staged| staged.files.is_relative()) {
            for file in staged.runtime.files() {
                let to = staged.place(file, &dir.control());
                let from = self.from.join(file.sha256.hex());
                if !dir.put_runtime_file(&from, &to, file)? {
                    return Err(lost(&staged.runtime, file));
                }
            }
        }
        Ok(())
    }
}

fn lost(runtime: &AddedRuntime, file: &AddedFile) -> SubmitError {
    SubmitError::RuntimeLost { kind: runtime.kind, name: file.name.clone(), sha256: file.sha256 }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::failure::Failure;
    use crate::job::JobId;
    use crate::oci::Digest;
    use crate::submit::jobdir::Texts;

    fn kept(store: &Store, bytes: &[u8]) -> AddedRuntime {
        let mut incoming = store.incoming().unwrap();
        incoming.write(bytes).unwrap();
        let (sha256, size) = incoming.measured();
        let package = AddedFile { name: "udocker.whl".into(), sha256, size };
        store.publish_runtime_file(incoming, &package).unwrap();
        let kind = Name::known("udocker");
        AddedRuntime { kind, version: "1.3.17".into(), package, engines: None }
    }

    #[test]
    fn files_are_read_in_place_or_travel_with_the_job() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let runtime = kept(&store, b"bytes");
        let file = &runtime.package;
        let jobs = dir.path().join("jobs");
        let put = |number, in_place| {
            let added = Added::of(&store, vec![runtime.clone()], in_place)?;
            let texts = Texts { script: String::new(), plan: Vec::new() };
            let job = JobDir::make(&jobs, &JobId::from_parts(1, number), &texts).unwrap();
            added.put(&job)?;
            let place = added.staged[0].place(file, &job.control());
            let found = (place.starts_with(job.path()), Digest::of(&fs::read(place).unwrap()));
            Ok::<_, SubmitError>(found)
        };
        assert_eq!(put(1, true).unwrap(), (false, file.sha256));
        assert_eq!(put(2, false).unwrap(), (true, file.sha256));
        // other bytes do not travel
        let place = store.runtime_file(file).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&place, "other").unwrap();
        assert!(matches!(put(3, false), Err(SubmitError::RuntimeLost { .. })));
        fs::remove_file(&place).unwrap();
        let error = put(4, true).unwrap_err();
        assert!(matches!(error, SubmitError::RuntimeLost { .. }), "{error}");
        assert!(error.hint().unwrap().contains("moorline runtime add udocker"));
    }

    #[test]
    fn nothing_is_kept_of_what_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let at = dir.path().join("no.whl");
        fs::write(&at, "no wheel").unwrap();
        let now = jiff::Timestamp::UNIX_EPOCH;
        let error = add_udocker(&store, &at, None, now).unwrap_err();
        assert!(error.to_string().contains("no.whl cannot be added"), "{error}");
        assert!(store.runtimes().unwrap().0.is_empty() && !store.runtime_files().exists());
        assert!(add_udocker(&store, &dir.path().join("gone"), None, now).is_err());
    }
}
