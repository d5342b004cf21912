//! Source: our own file, mode 0600, where no keyring answers. It also remembers what lies in the
//! keyring, and the token realms that were confirmed.
//!
//! ```json
//! {"schema":1,"entries":[
//!   {"scope":"registry.example/group/project","username":"gitlab+deploy-token-1",
//!    "realm":"https://gitlab.example","store":"file","password":"..."},
//!   {"scope":"registry.example","username":"site","store":"keyring"}],
//!  "api":[{"server":"https://gitlab.example","store":"kernel"}]}
//! ```
//!
//! It is refused when somebody else could have read or replaced it: it must be a plain file of
//! this user without any right for others, and no folder above it may be writable by others
//! (sticky ones such as `/tmp` excepted). It is written through a temporary file (`O_EXCL`, 0600
//! from the first byte), synced and renamed, under a lock.

use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{CredentialError, Keeper, Listed, Scope};
use crate::files::{self, FileError, ForeignFile, WayError};
use crate::secret::{Credential, Realm, Secret};

/// The version that this program writes.
const SCHEMA: u32 = 1;

/// A credential file is small; what is larger is something else.
pub(super) const LARGEST: u64 = 1 << 20;

/// The file's document.
#[derive(Serialize, Deserialize)]
pub(super) struct Table {
    schema: u32,
    pub(super) entries: Vec<Row>,
    /// Tokens of GitLab's API.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) api: Vec<ApiRow>,
}

/// One login.
#[derive(Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) scope: Scope,
    pub(super) username: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) realm: Option<Realm>,
    pub(super) store: Keeper,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) password: Option<Written>,
}

/// One `login --api`.
#[derive(Serialize, Deserialize)]
pub(super) struct ApiRow {
    /// `https://gitlab.example`.
    pub(super) server: String,
    pub(super) store: Keeper,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) password: Option<Written>,
}

/// A secret on its way to or from a file: this file's is the only place where one is serialised.
pub(super) struct Written(pub(super) Secret);

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(|text| Self(Secret::new(text)))
    }
}

impl Row {
    pub(super) fn new(
        scope: &Scope,
        credential: &Credential,
        realm: Option<&Realm>,
        store: Keeper,
    ) -> Self {
        Self {
            scope: scope.clone(),
            username: credential.username.clone(),
            realm: realm.cloned(),
            store,
            password: (store == Keeper::File).then(|| Written(credential.password.clone())),
        }
    }

    pub(super) fn listed(&self) -> Listed {
        Listed {
            scope: self.scope.clone(),
            username: self.username.clone(),
            realm: self.realm.clone(),
            place: self.store,
        }
    }
}

/// The document; empty when there is no file.
pub(super) fn read(path: &Path) -> Result<Table, CredentialError> {
    let Some(text) = read_private(path)? else {
        return Ok(Table { schema: SCHEMA, entries: Vec::new(), api: Vec::new() });
    };
    // the parser's own words may quote what it read
    serde_json::from_str(&text).map_err(|e| CredentialError::Malformed {
        path: path.to_owned(),
        line: e.line(),
        column: e.column(),
    })
}

/// The text of a file that nobody else can reach; `None` when there is none.
fn read_private(path: &Path) -> Result<Option<Zeroizing<String>>, CredentialError> {
    read_as(ForeignFile::own(LARGEST), path)
}

/// The same of a file that the command line names, which may be a pipe that the caller hands over.
pub(super) fn read_named(path: &Path) -> Result<Option<Zeroizing<String>>, CredentialError> {
    read_as(ForeignFile::own(LARGEST).or_handed(), path)
}

fn read_as(
    file: ForeignFile<'_>,
    path: &Path,
) -> Result<Option<Zeroizing<String>>, CredentialError> {
    let refused = CredentialError::of_file(path);
    let Some(opened) = file.find(path).map_err(&refused)? else {
        return Ok(None);
    };
    if opened.is_file() {
        check_file(path, opened.meta())?;
        check_folders(path)?;
    }
    let mut text = Zeroizing::new(String::new());
    opened.text_into(&mut text).map_err(&refused)?;
    Ok(Some(text))
}

/// Reads, changes and writes the document under a lock. Nothing is written when `work` fails.
pub(super) fn change<T>(
    path: &Path,
    work: impl FnOnce(&mut Table) -> Result<T, CredentialError>,
) -> Result<T, CredentialError> {
    let failed = |source| CredentialError::Write { path: path.to_owned(), source };
    let folder = folder_of(path);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    check_folders(path)?;
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags((OFlags::NOFOLLOW | OFlags::CLOEXEC).bits().cast_signed())
        .open(folder.join(".credentials.lock"))
        .map_err(failed)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
    let mut table = read(path)?;
    if table.schema > SCHEMA {
        let schema = table.schema;
        return Err(CredentialError::Newer { path: path.to_owned(), schema });
    }
    let done = work(&mut table)?;
    let text = serde_json::to_vec_pretty(&table).map_err(|e| failed(e.into()))?;
    let text = Zeroizing::new(text);
    // 0600 from the first byte
    files::replace(path, 0o600, &text).map_err(failed)?;
    Ok(done)
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn check_file(path: &Path, meta: &Metadata) -> Result<(), CredentialError> {
    // 0700 and less: nothing for the group and others
    if meta.mode().trailing_zeros() >= 6 {
        return Ok(());
    }
    Err(CredentialError::Exposed { path: path.to_owned(), mode: meta.mode() & 0o7777 })
}

/// Whoever can write in a folder above the file can put another file in its place.
fn check_folders(path: &Path) -> Result<(), CredentialError> {
    let me = rustix::process::geteuid().as_raw();
    let folder = std::path::absolute(folder_of(path))
        .map_err(|source| CredentialError::Read { path: path.to_owned(), source })?;
    files::walk(&folder, &[0, me], false).map(drop).map_err(|error| match error {
        WayError::Io(FileError { path, source, .. }) => CredentialError::Read { path, source },
        WayError::Unsafe { path, why } => {
            CredentialError::Unsafe { path, reason: format!("is refused: {why}") }
        }
    })
}
