//! The receipt: what a worker says that it ran. Evidence, with a grade; not a proof against the
//! job's own owner (docs/threat-model.md).

use serde::{Deserialize, Serialize};

use crate::job::{Evidence, IntentId, JobId, Nonce};
use crate::oci::{Digest, SifDigest};

/// The version of this document.
pub const RECEIPT_SCHEMA: u32 = 1;

/// One attempt of one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// [`RECEIPT_SCHEMA`].
    pub schema: u32,
    /// Who wrote it: `moorline VERSION` or `script`.
    pub writer: String,
    /// The job.
    pub job: JobId,
    /// Which submission.
    pub intent: IntentId,
    /// From the plan.
    pub nonce: Nonce,
    /// Random, one per start.
    pub attempt: String,
    /// The worker's host name.
    pub host: String,
    /// The engine's word for the place: `SLURM_JOB_ID=12` and the like, identifiers only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engine: Vec<String>,
    /// The manifest digest that the job was pinned to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Digest>,
    /// The SIF digest that the plan asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<SifDigest>,
    /// What was measured.
    pub evidence: Evidence,
    /// The runtime and how it got at the image, for example `builtin` and `squashfuse`.
    pub runtime: String,
    /// The way the root file system was provided: `kernel`, `squashfuse`, `unpacked`, `runtime`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<String>,
    /// Why better ways to provide it were not taken; foreign text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Mounts that were skipped, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped_mounts: Vec<MountNote>,
    /// When the program was started, and whether it was.
    pub start: Start,
    /// When it ended.
    pub ended_at: jiff::Timestamp,
    /// As a shell would give it.
    pub exit_code: i32,
}

/// Whether the program was started at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Start {
    /// It was, at this time.
    Started {
        /// When.
        at: jiff::Timestamp,
    },
    /// It was refused before its first instruction.
    Refused {
        /// Why, in one sentence.
        why: String,
    },
}

/// A mount that the worker did not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountNote {
    /// The path on the worker.
    pub source: String,
    /// The path in the container.
    pub target: String,
    /// Why it was skipped.
    pub why: String,
}

/// A receipt that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// Not JSON, or not this document.
    #[error("the receipt is malformed: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a newer program.
    #[error("the receipt has schema {0}; this moorline reads up to {RECEIPT_SCHEMA}")]
    Newer(u32),
}

impl Receipt {
    /// Reads a receipt; the caller compares intent and nonce.
    ///
    /// # Errors
    /// When the bytes are no receipt, or a newer one.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let Version { schema } = serde_json::from_slice(bytes)?;
        if schema > RECEIPT_SCHEMA {
            return Err(ReceiptError::Newer(schema));
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}
