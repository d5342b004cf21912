//! What a record says: its body, one kind for each thing that happens to a job, and two that speak of no job.
//!
//! Names in it are open ([`crate::job::Name`]), and so are the kinds: what a newer program wrote is
//! [`Body::Other`]. The texts that can hold names of people, paths or arguments are not here but in the
//! payload that `personal` commits to, so that they can be erased.

use serde::{Deserialize, Serialize};

use super::hash::RecordHash;
use crate::job::{IntentId, JobId, JobState, Name, Nonce, Resources, RuntimeChoice, Tasks, Terms};
use crate::oci::{Digest, SifDigest, TreeRoot};
use crate::pin::{Image, Recipe};
use crate::worker::{Qualifier, Receipt};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[expect(clippy::large_enum_variant, reason = "most of a ledger's records are of the large kinds")]
pub enum Body {
    /// A job is about to be given to an engine.
    Intent {
        /// The job.
        job: JobId,
        /// This submission.
        intent: IntentId,
        /// Comes back in its receipts.
        nonce: Nonce,
        /// The kind of engine: `local`, or the name of a batch engine.
        backend: Name,
        /// The image; a SIF's `place` is empty here and stands in the payload.
        image: Box<Image>,
        /// The runtime that was asked for.
        runtime: RuntimeChoice,
        /// What it asked of the engine.
        resources: Resources,
        /// Which job this one repeats.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rerun_of: Option<JobId>,
        /// On which terms it was to run; its inputs stand in the payload.
        #[serde(flatten)]
        terms: Terms,
        /// How the image was to get to the worker.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delivery: Option<Name>,
        /// The engine's job in which it was started, for a `run` inside of one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        enclosing: Option<EngineName>,
        /// The hash of the payload's file.
        personal: RecordHash,
    },
    /// The engine took it.
    Submitted {
        /// The job.
        job: JobId,
        /// The submission.
        intent: IntentId,
        /// The engine's name for it; the owner stands in the payload.
        engine: EngineName,
        /// The hash of the payload's file.
        personal: RecordHash,
    },
    /// The engine took it and holds it until it is released; the key is as in `Submitted`.
    Held {
        /// The job.
        job: JobId,
        /// The submission.
        intent: IntentId,
    },
    /// The engine was told to start it, once its key was on the disk.
    Released {
        /// The job.
        job: JobId,
        /// The submission.
        intent: IntentId,
    },
    /// The engine did not take it, and said so.
    Refused {
        /// The job.
        job: JobId,
        /// The submission.
        intent: IntentId,
        /// The hash of the payload's file, which holds why.
        personal: RecordHash,
    },
    /// Nobody can say whether the engine took it.
    Uncertain {
        /// The job.
        job: JobId,
        /// The submission.
        intent: IntentId,
        /// The hash of the payload's file, which holds why.
        personal: RecordHash,
    },
    /// What the engine said when it was asked.
    Observed {
        /// The job.
        job: JobId,
        /// The submission.
        intent: IntentId,
        /// The tasks that it is about; all when there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tasks: Option<Tasks>,
        /// The state.
        state: JobState,
        /// As a shell would give it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// The engine's own word.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        engine_state: Option<String>,
        /// The hash of the payload's file, when there is a reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        personal: Option<RecordHash>,
    },
    /// A worker's receipt.
    Receipt {
        /// The job beside which it was found.
        job: JobId,
        /// The submission that it was compared with.
        intent: IntentId,
        /// Whether job, intent and nonce were that submission's.
        matched: bool,
        /// The receipt without paths and free text.
        receipt: Box<Receipt>,
        /// What keeps a *Match* of it from being a plain one; stays when the payload is erased.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        qualifiers: Vec<Qualifier>,
        /// The hash of the payload's file, when something was taken out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        personal: Option<RecordHash>,
    },
    /// The engine was asked to end it.
    Cancelled {
        /// The job.
        job: JobId,
        /// The submission.
        intent: IntentId,
        /// The tasks that it is about; all when there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tasks: Option<Tasks>,
    },
    /// Something worth keeping that has no kind of its own.
    Note {
        /// The job.
        job: JobId,
        /// The submission.
        intent: IntentId,
        /// The hash of the payload's file, which holds the text.
        personal: RecordHash,
    },
    /// A rule of the site or the user was applied.
    Policy {
        /// The job.
        job: JobId,
        /// The submission.
        intent: IntentId,
        /// Which rule.
        rule: Name,
        /// What it decided: `allowed`, `refused`.
        decision: Name,
        /// The hash of the payload's file, when there is a reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        personal: Option<RecordHash>,
    },
    /// This user converted an image. Speaks of no job.
    Converted {
        /// The manifest that it was made from.
        manifest: Digest,
        /// How.
        recipe: Recipe,
        /// What came out.
        sif: SifDigest,
        /// The root of its tree of hashes, when it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tree: Option<TreeRoot>,
    },
    /// A kind that only a newer program knows, or one of ours in a shape that this program cannot read.
    #[serde(untagged)]
    Other {
        /// What it is called.
        kind: Name,
        /// The job.
        job: JobId,
        /// The submission.
        intent: IntentId,
        /// The hash of the payload's file, when there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        personal: Option<RecordHash>,
    },
}

impl Body {
    /// The kinds that this program knows.
    pub const KINDS: [&'static str; 12] = [
        "intent",
        "submitted",
        "held",
        "released",
        "refused",
        "uncertain",
        "observed",
        "receipt",
        "cancelled",
        "note",
        "policy",
        "converted",
    ];

    /// Whether its image is one that this program can run.
    pub(super) fn is_whole(&self) -> bool {
        !matches!(self, Self::Intent { image, .. } if matches!(**image, Image::Other { .. }))
    }

    /// The submission that the record speaks of.
    #[must_use]
    pub fn intent(&self) -> Option<IntentId> {
        Some(match self {
            Self::Converted { .. } => return None,
            Self::Intent { intent, .. }
            | Self::Submitted { intent, .. }
            | Self::Held { intent, .. }
            | Self::Released { intent, .. }
            | Self::Policy { intent, .. }
            | Self::Other { intent, .. }
            | Self::Refused { intent, .. }
            | Self::Uncertain { intent, .. }
            | Self::Observed { intent, .. }
            | Self::Receipt { intent, .. }
            | Self::Cancelled { intent, .. }
            | Self::Note { intent, .. } => *intent,
        })
    }

    /// The job that the record speaks of.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        Some(match self {
            Self::Converted { .. } => return None,
            Self::Intent { job, .. }
            | Self::Submitted { job, .. }
            | Self::Held { job, .. }
            | Self::Released { job, .. }
            | Self::Policy { job, .. }
            | Self::Other { job, .. }
            | Self::Refused { job, .. }
            | Self::Uncertain { job, .. }
            | Self::Observed { job, .. }
            | Self::Receipt { job, .. }
            | Self::Cancelled { job, .. }
            | Self::Note { job, .. } => *job,
        })
    }

    /// The payload that it commits to.
    #[must_use]
    pub fn personal(&self) -> Option<RecordHash> {
        match self {
            Self::Intent { personal, .. }
            | Self::Submitted { personal, .. }
            | Self::Refused { personal, .. }
            | Self::Uncertain { personal, .. }
            | Self::Note { personal, .. } => Some(*personal),
            Self::Observed { personal, .. }
            | Self::Receipt { personal, .. }
            | Self::Policy { personal, .. }
            | Self::Other { personal, .. } => *personal,
            Self::Cancelled { .. }
            | Self::Held { .. }
            | Self::Released { .. }
            | Self::Converted { .. } => None,
        }
    }
}

/// An [`EngineKey`](crate::job::EngineKey) without its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineName {
    /// `local`, or the name of a batch engine
    pub kind: Name,
    /// The cluster's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The engine's own id.
    pub id: String,
    /// When the engine took the job.
    pub submitted_at: jiff::Timestamp,
}
