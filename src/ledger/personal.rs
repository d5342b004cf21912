//! What can name a person: kept apart from the chain, so that it can be erased while its hash stays.
//!
//! ```text
//! personal/INTENT.HASH16.json     0600
//! {"schema":1,"salt":"<64 hex>","payload":{...}}\n
//! ```
//!
//! The record carries the SHA-256 of the file's bytes (`sha256sum` shows it). The salt is in the
//! file and not in the record: were it in the record, a guessed user name could be confirmed after
//! the erasure. What erasing does not reach: backups, snapshots, copies that others made.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dir::{private_dir, sync_dir};
use super::error::LedgerError;
use super::hash::RecordHash;
use crate::files::{self, ForeignError, ForeignFile};
use crate::job::{EnvVar, Input, IntentId, Mount};
use crate::worker::{Cover, MountMade, MountNote, Output, RuntimeProgram, WorkerUser};

/// The version of the payload files.
///
/// 2: what a receipt says of paths and options, inputs, terms.
const PERSONAL_SCHEMA: u32 = 2;
/// Larger payloads are refused: a command line has 2 MiB at most (execve(2)).
const MOST_BYTES: u64 = 64 << 20;
/// Their directory in the ledger.
pub(super) const PERSONAL_DIR: &str = "personal";

/// What can be erased. A record of one kind fills the fields that it has; an intent the first
/// ones, the others the last ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Personal {
    /// Who submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// From which machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What the user calls the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Program and arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Variables that the user gave, values included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Mounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Extra flags for the runtime.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The working directory that the user named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<PathBuf>,
    /// Where the SIF lay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<PathBuf>,
    /// The hash of the plan. Here and not in the record, because a plan holds the user's text and
    /// its hash would confirm a guess.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<RecordHash>,
    /// The account that owns the job at its engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// A reason, an error, a note; foreign text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Mounts that the worker skipped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped_mounts: Vec<MountNote>,
    /// Of an intent: settings that a project file added. Of a receipt: what the worker noted of its node, for
    /// example why the kernel did not mount the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Mounts that lay over the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covers: Vec<Cover>,
    /// Mounts of the worker that could not be shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<MountNote>,
    /// Patterns of files that are the job's output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declared: Vec<String>,
    /// Files that the job left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
    /// Kernel keys that the program could use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// The program of a foreign runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<RuntimeProgram>,
    /// Who ran the worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<WorkerUser>,
    /// What the worker started in the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub argv: Vec<String>,
    /// Mounts that the container had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made_mounts: Vec<MountMade>,
    /// Files that the job was made with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
}

/// A payload when it is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// There, and what the record committed to.
    Present(Box<Personal>),
    /// Not there: erased, or lost.
    Erased,
    /// It was not looked for: nothing of it is to be shown.
    Left,
    /// There, but not what the record committed to, or unreadable.
    Damaged(String),
}

#[derive(Serialize, Deserialize)]
struct File<'a> {
    schema: u32,
    salt: std::borrow::Cow<'a, str>,
    payload: std::borrow::Cow<'a, Personal>,
}

/// The bytes of a payload's file.
pub(super) fn seal(personal: &Personal, salt: [u8; 32]) -> Result<Vec<u8>, serde_json::Error> {
    let salt = crate::oci::Sha256Digest::hex(
        &<crate::oci::Digest as crate::oci::Sha256Digest>::from_bytes(salt),
    );
    let mut bytes = serde_json::to_vec(&File {
        schema: PERSONAL_SCHEMA,
        salt: salt.into(),
        payload: std::borrow::Cow::Borrowed(personal),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn path(dir: &Path, intent: IntentId, hash: RecordHash) -> PathBuf {
    dir.join(PERSONAL_DIR).join(format!("{intent}.{}.json", hash.short()))
}

/// Stores a payload and gives the hash to commit to. Its bytes are on the disk, its name is after [`settle`].
pub(super) fn store(
    dir: &Path,
    intent: IntentId,
    personal: &Personal,
) -> Result<RecordHash, LedgerError> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt)?;
    let bytes = seal(personal, salt)?;
    let hash = RecordHash::of(&bytes);
    let folder = dir.join(PERSONAL_DIR);
    private_dir(&folder)?;
    let target = path(dir, intent, hash);
    let temporary = target.with_extension("tmp");
    let written = write_new(&temporary, &bytes).and_then(|()| {
        files::rename(&temporary, &target).map_err(LedgerError::io("write", &target))
    });
    if let Err(error) = written {
        // the error that matters is the first; a leftover is named by `verify`
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    Ok(hash)
}

/// Makes the names of all payloads durable that were stored before: once for all that one append commits to.
pub(super) fn settle(dir: &Path) -> Result<(), LedgerError> {
    sync_dir(&dir.join(PERSONAL_DIR))
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), LedgerError> {
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(LedgerError::io("create", path))?;
    file.write_all(bytes).map_err(LedgerError::io("write", path))?;
    file.sync_all().map_err(LedgerError::io("sync", path))
}

/// Looks for the payload of a record.
pub(super) fn load(dir: &Path, intent: IntentId, hash: RecordHash) -> Result<Payload, LedgerError> {
    let path = path(dir, intent, hash);
    let bytes = match ForeignFile::anyones(MOST_BYTES).bytes(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.is_missing() => return Ok(Payload::Erased),
        Err(ForeignError::Io(error)) => return Err(LedgerError::io("read", &path)(error)),
        // something else has its name, and the other jobs are shown all the same
        Err(refused) => return Ok(Payload::Damaged(refused.to_string())),
    };
    if RecordHash::of(&bytes) != hash {
        return Ok(Payload::Damaged("its bytes are not those that were recorded".to_owned()));
    }
    Ok(match serde_json::from_slice::<File<'_>>(&bytes) {
        Ok(file) => Payload::Present(Box::new(file.payload.into_owned())),
        // its bytes are those that were recorded, so a shape that is not ours is a newer program's
        Err(error) => match readable(&bytes) {
            Some(personal) => Payload::Present(Box::new(personal)),
            None => Payload::Damaged(error.to_string()),
        },
    })
}

/// Those fields of a newer payload that read.
fn readable(bytes: &[u8]) -> Option<Personal> {
    let mut file: serde_json::Map<String, Value> = serde_json::from_slice(bytes).ok()?;
    let Some(Value::Object(fields)) = file.remove("payload") else { return None };
    let reads = |name: &String, value: &Value| {
        let one = Value::Object([(name.clone(), value.clone())].into_iter().collect());
        serde_json::from_value::<Personal>(one).is_ok()
    };
    let fields = fields.into_iter().filter(|(name, value)| reads(name, value)).collect();
    serde_json::from_value(Value::Object(fields)).ok()
}

/// Copies the payload of a record from another ledger; says whether it did. One that is not there, or here already, is
/// left.
///
/// # Errors
/// When it has other bytes than were recorded, or cannot be read or written.
pub(super) fn copy(
    from: &Path,
    into: &Path,
    intent: IntentId,
    hash: RecordHash,
) -> Result<bool, LedgerError> {
    let (source, target) = (path(from, intent, hash), path(into, intent, hash));
    if fs::symlink_metadata(&target).is_ok() {
        return Ok(false);
    }
    let bytes = match ForeignFile::anyones(MOST_BYTES).bytes(&source) {
        Ok(bytes) => bytes,
        Err(error) if error.is_missing() => return Ok(false),
        Err(error) => return Err(LedgerError::io("read", &source)(error.into())),
    };
    if RecordHash::of(&bytes) != hash {
        let file = file_name(intent, hash);
        let what = format!("{PERSONAL_DIR}/{file}: its bytes are not those that were recorded");
        return Err(LedgerError::NotMerged { dir: from.to_owned(), what });
    }
    private_dir(&into.join(PERSONAL_DIR))?;
    match files::create(&target, 0o600, &bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(LedgerError::io("write", &target)(error)),
    }
}

/// The names of all payload files, with the intent that each belongs to.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, LedgerError> {
    let folder = dir.join(PERSONAL_DIR);
    let mut names: Vec<String> = match crate::listing::names(&folder) {
        Ok(names) => names.iter().map(|name| name.to_string_lossy().into_owned()).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(LedgerError::io("read", &folder)(error)),
    };
    names.sort_unstable();
    Ok(names)
}

/// The name that a record's payload has in the folder.
pub(super) fn file_name(intent: IntentId, hash: RecordHash) -> String {
    format!("{intent}.{}.json", hash.short())
}

/// Removes every payload of a submission, leftovers included; gives their number.
pub(super) fn erase(dir: &Path, intent: IntentId) -> Result<usize, LedgerError> {
    let folder = dir.join(PERSONAL_DIR);
    let prefix = format!("{intent}.");
    let mut erased = 0;
    for name in names(dir)?.iter().filter(|name| name.starts_with(&prefix)) {
        let path = folder.join(name);
        fs::remove_file(&path).map_err(LedgerError::io("remove", &path))?;
        erased += 1;
    }
    if erased > 0 {
        sync_dir(&folder)?;
    }
    Ok(erased)
}
