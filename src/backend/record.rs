//! `control/submission.json`: which of an engine's jobs is the submission on record.
//!
//! ```text
//! submitter   engine takes the job, held --> ledger --> this file --> release
//! worker      reads this file: its own id, or it never starts the program (exit code 219)
//! ```
//!
//! An engine may take a job twice, when an answer was lost and somebody asked again: only one of them is named
//! here. It protects from accidents; the job's owner can write the file.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::{self, ForeignFile};
use crate::job::{EngineKey, IntentId};

/// The file's name in the control directory.
const FILE: &str = "submission.json";
/// It has some 300 bytes.
const MOST: u64 = 64 << 10;
/// The version of the document.
const SCHEMA: u32 = 1;

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnRecord {
    schema: u32,
    /// Which submission.
    pub intent: IntentId,
    /// The engine's job.
    pub engine: EngineKey,
}

/// Why the file cannot be written or used.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}: {source}", path.display())]
pub struct RecordError {
    doing: &'static str,
    path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl OnRecord {
    /// Writes the file, or finds that it says the same. It is on the disk afterwards.
    ///
    /// # Errors
    /// When it cannot be written, or names another job.
    pub fn write(control: &Path, intent: IntentId, engine: &EngineKey) -> Result<(), RecordError> {
        let path = control.join(FILE);
        let failed = |doing| {
            let path = path.clone();
            move |source| RecordError { doing, path, source }
        };
        let record = Self { schema: SCHEMA, intent, engine: engine.clone() };
        let mut bytes =
            serde_json::to_vec(&record).map_err(io::Error::other).map_err(failed("writing"))?;
        bytes.push(b'\n');
        match files::create(&path, 0o400, &bytes) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => return done.map_err(failed("writing")),
        }
        let there = Self::read(control)?;
        let same =
            there.as_ref().is_some_and(|it| it.intent == intent && it.engine.id == engine.id);
        if same {
            return Ok(());
        }
        let named = there.map_or_else(String::new, |it| it.engine.to_string());
        Err(failed("writing")(io::Error::other(format!("it names another job, {named}"))))
    }

    /// What the file says; `None` when there is none yet.
    ///
    /// # Errors
    /// When it cannot be read, or a newer program wrote it.
    pub fn read(control: &Path) -> Result<Option<Self>, RecordError> {
        let path = control.join(FILE);
        let failed = |source| RecordError { doing: "reading", path: path.clone(), source };
        let opened = match ForeignFile::own_or_roots(MOST).find(&path) {
            Ok(None) => return Ok(None),
            Ok(Some(opened)) => opened,
            Err(error) => return Err(failed(error.into())),
        };
        let bytes = opened.bytes().map_err(|error| failed(error.into()))?;
        let record: Self =
            serde_json::from_slice(&bytes).map_err(|error| failed(io::Error::other(error)))?;
        if record.schema > SCHEMA {
            let newer = format!("schema {} is newer than {SCHEMA}", record.schema);
            return Err(failed(io::Error::other(newer)));
        }
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_one_job_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let control = dir.path();
        let key = |id: &str| EngineKey {
            kind: "engine".into(),
            cluster: None,
            id: id.into(),
            submitted_at: jiff::Timestamp::UNIX_EPOCH,
            owner: "ada".into(),
        };
        let intent = IntentId::from_bytes([7; 16]);
        assert_eq!(OnRecord::read(control).unwrap(), None);
        OnRecord::write(control, intent, &key("1")).unwrap();
        OnRecord::write(control, intent, &key("1")).expect("saying it again is no error");
        OnRecord::write(control, intent, &key("2")).expect_err("there is one submission");
        OnRecord::write(control, IntentId::from_bytes([8; 16]), &key("1")).unwrap_err();
        let read = OnRecord::read(control).unwrap().unwrap();
        assert_eq!((read.intent, read.engine), (intent, key("1")));
        std::fs::remove_file(control.join(FILE)).unwrap();
        std::fs::write(control.join(FILE), "{").unwrap();
        OnRecord::read(control).unwrap_err();
    }
}
