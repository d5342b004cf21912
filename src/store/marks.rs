//! Reference markers: which jobs need which SIF. A marked image is never pruned.
//!
//! `marks/HEX-JOB.json`: `{"schema":1,"job":"..","dir":"JOBS_DIR/ID","host":".."}`; HEX is the SIF's
//! digest. A mark is placed before the engine is asked, and after that the SIF is looked at once more:
//! `prune` takes the SIF away first and then looks at the marks, so one of the two sees the other.
//!
//! A mark counts as long as its job may still need the image. Only the ledger and the engine know whether a job has
//! ended, so the caller of `prune` says it. This file knows only that a job without a directory needs nothing: it was
//! refused, or its owner removed it. A young mark always counts, because its job's directory is just being made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::found::list;
use super::{Store, StoreError, clock, safe};
use crate::files::ForeignFile;
use crate::job::JobId;
use crate::oci::{Sha256Digest, SifDigest};

/// Larger marks are refused.
const MOST_BYTES: u64 = 64 << 10;

const SCHEMA: u32 = 1;
/// Longer than a submission takes from the mark to the job's directory.
const YOUNG: Duration = Duration::from_secs(600);

/// A job that needs a SIF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which SIF.
    pub sif: SifDigest,
    /// The job.
    pub job: JobId,
    /// Its directory, when that could be read.
    pub dir: Option<PathBuf>,
    pub(super) path: PathBuf,
    modified: SystemTime,
}

#[derive(Serialize, Deserialize)]
struct Text {
    schema: u32,
    job: JobId,
    dir: PathBuf,
    host: String,
}

impl Mark {
    /// Whether the job certainly needs nothing any more, as far as its directory tells.
    pub(super) fn is_void(&self, now: SystemTime) -> bool {
        if clock::age(now, self.modified) < YOUNG {
            return false;
        }
        // where the jobs' directory cannot be seen, nothing is known
        self.dir.as_ref().is_some_and(|dir| {
            dir.parent().is_some_and(Path::is_dir)
                && fs::symlink_metadata(dir).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
        })
    }
}

impl Store {
    fn mark_path(&self, sif: &SifDigest, job: &JobId) -> PathBuf {
        self.root.join("marks").join(format!("{}-{job}.json", sif.hex()))
    }

    /// Notes that a job needs a SIF of this store; `dir` is the job's directory, which may not exist
    /// yet. `false` when the SIF is not, or no more, in the store: the mark protects nothing then.
    ///
    /// # Errors
    /// When the mark cannot be written.
    pub fn mark(&self, sif: &SifDigest, job: &JobId, dir: &Path) -> Result<bool, StoreError> {
        let path = self.mark_path(sif, job);
        let text = Text {
            schema: SCHEMA,
            job: *job,
            dir: dir.to_owned(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        };
        let mut bytes = serde_json::to_vec(&text)
            .map_err(|source| StoreError::Mapping { path: path.clone(), source })?;
        bytes.push(b'\n');
        let mut incoming = self.incoming()?;
        incoming.write(&bytes)?;
        incoming.publish(&path)?;
        Ok(safe::file(&self.sif_path(sif))?.is_some())
    }

    /// The job needs the SIF no more.
    ///
    /// # Errors
    /// When there is a mark and it cannot be removed.
    pub fn unmark(&self, sif: &SifDigest, job: &JobId) -> Result<(), StoreError> {
        let path = self.mark_path(sif, job);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("cannot remove", &path)(e))
            }
            _ => Ok(()),
        }
    }

    /// All marks. One whose text cannot be read has no directory: only its job's end voids it.
    ///
    /// # Errors
    /// When they cannot be read, or one is not this user's.
    pub fn marks(&self) -> Result<Vec<Mark>, StoreError> {
        let dir = self.root.join("marks");
        let mut marks = Vec::new();
        for path in list(&dir)? {
            let name = path.file_name().and_then(|name| name.to_str());
            let Some((hex, job)) =
                name.and_then(|n| n.strip_suffix(".json")).and_then(|n| n.split_once('-'))
            else {
                continue;
            };
            let (Ok(sif), Ok(job)) = (format!("sha256:{hex}").parse(), job.parse::<JobId>()) else {
                continue;
            };
            let Some(meta) = safe::file(&path)? else { continue };
            let modified = meta.modified().map_err(StoreError::io("cannot look at", &path))?;
            let text: Option<Text> = ForeignFile::own_or_roots(MOST_BYTES)
                .bytes(&path)
                .ok()
                .and_then(|bytes| serde_json::from_slice(&bytes).ok());
            marks.push(Mark { sif, job, dir: text.map(|text| text.dir), path, modified });
        }
        Ok(marks)
    }
}
