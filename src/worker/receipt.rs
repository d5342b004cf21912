//! The receipt: what a worker says that it ran. Evidence, with a grade; not a proof against the
//! job's own owner (docs/threat-model.md).

use serde::{Deserialize, Serialize};

use super::conditions::{Conditions, MountNote, Qualifier};
use crate::job::{Evidence, Grade, IntentId, JobId, Name, Nonce, RuntimeChoice};
use crate::oci::{Digest, SifDigest};

/// The version of this document.
///
/// 2: evidence names what was measured; the conditions under which the program ran.
pub const RECEIPT_SCHEMA: u32 = 2;

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
    /// The engine's word for the place: variables such as `JOB_ID=12`, identifiers only.
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
    /// The runtime, or `none` when it did not come to that.
    pub runtime: Name,
    /// The way the root file system was provided: `served`, `kernel`, `squashfuse`, `unpacked`,
    /// `directory`, `runtime`.
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
    /// Under which conditions it ran.
    #[serde(flatten)]
    pub conditions: Conditions,
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

impl Start {
    /// When the program was started, if it was.
    #[must_use]
    pub fn at(&self) -> Option<jiff::Timestamp> {
        match self {
            Self::Started { at } => Some(*at),
            Self::Refused { .. } => None,
        }
    }
}

/// A receipt that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// Not JSON, or not this document.
    #[error("the receipt is malformed: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a newer program, and this one cannot read it.
    #[error(
        "the receipt has schema {schema}, which this moorline cannot read (it knows {RECEIPT_SCHEMA}): {source}"
    )]
    Newer {
        /// Its schema.
        schema: u32,
        /// What could not be read.
        source: serde_json::Error,
    },
}

impl Receipt {
    /// Reads a receipt, also a newer program's as far as it goes; the caller compares intent and nonce.
    ///
    /// What a newer program added is not seen here, so its word is no evidence to this one
    /// ([`Receipt::is_newer`]).
    ///
    /// # Errors
    /// When the bytes are no receipt, or a newer one with another shape.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let Version { schema } = serde_json::from_slice(bytes)?;
        serde_json::from_slice(bytes).map_err(|source| {
            if schema > RECEIPT_SCHEMA {
                ReceiptError::Newer { schema, source }
            } else {
                source.into()
            }
        })
    }

    /// What keeps a *Match* of this receipt from being a plain one.
    #[must_use]
    pub fn qualifiers(&self) -> Vec<Qualifier> {
        let foreign = RuntimeChoice::opens_by_name(self.runtime.as_str());
        let believed = foreign || self.conditions.program.is_some();
        [
            (Qualifier::Mount, !self.conditions.covers.is_empty()),
            (Qualifier::Writable, self.conditions.scratch.is_some()),
            (Qualifier::Modified, self.conditions.modified.is_some()),
            (Qualifier::Option, !self.conditions.options.is_empty()),
            (Qualifier::RuntimeBelieved, believed),
            (Qualifier::MeasuredEarlier, self.evidence.grade == Grade::MeasuredCached),
            (Qualifier::PathOnly, self.evidence.grade == Grade::PathOnly),
        ]
        .into_iter()
        .filter_map(|(qualifier, holds)| holds.then_some(qualifier))
        .collect()
    }

    /// Whether it says that nothing was started and that all went well.
    #[must_use]
    pub fn refused_well(&self) -> bool {
        matches!(self.start, Start::Refused { .. }) && self.exit_code == 0
    }

    /// Whether a newer program wrote it: it may hold a reason against it that this one cannot read.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        self.schema > RECEIPT_SCHEMA
    }
}
