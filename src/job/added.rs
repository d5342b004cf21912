//! A runtime that a user added: which it is, and which files it is made of. The files travel with jobs.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Name;
use crate::oci::{Digest, Sha256Digest};

/// A runtime that is no part of its machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedRuntime {
    /// Which, as `--runtime` names it.
    pub kind: Name,
    /// Its version, by its own word.
    pub version: String,
    /// The runtime itself.
    pub package: AddedFile,
    /// The programs that it starts containers with, where they were added as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engines: Option<AddedEngines>,
}

/// A file of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedFile {
    /// What it was called where it was added; foreign text.
    pub name: String,
    /// Its bytes.
    pub sha256: Digest,
    /// How many they are.
    pub size: u64,
}

/// An archive of engines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedEngines {
    /// The archive.
    #[serde(flatten)]
    pub file: AddedFile,
    /// Its version, by its own word.
    pub version: String,
    /// The names of the programs and libraries in it.
    pub brings: Vec<String>,
}

impl AddedRuntime {
    /// All its files.
    pub fn files(&self) -> impl Iterator<Item = &AddedFile> {
        [&self.package].into_iter().chain(self.engines.as_ref().map(|engines| &engines.file))
    }

    /// The names of the engines in it.
    #[must_use]
    pub fn brings(&self) -> &[String] {
        self.engines.as_ref().map_or(&[], |engines| &engines.brings)
    }
}

/// An added runtime on its way to a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedRuntime {
    /// Which.
    #[serde(flatten)]
    pub runtime: AddedRuntime,
    /// The directory of its files, each under the hex of its SHA-256; a relative path lies beside the plan.
    pub files: PathBuf,
}

impl StagedRuntime {
    /// Where a file is, for a job whose plan lies in `control`.
    #[must_use]
    pub fn place(&self, file: &AddedFile, control: &Path) -> PathBuf {
        control.join(&self.files).join(file.sha256.hex())
    }
}
