//! The POSIX sh script that an engine starts on a worker: it finds the worker's program, checks its bytes and
//! becomes it. It runs nothing else: one implementation decides how a job runs, and that is `execute`.
//!
//! The script holds identifiers, digests and numbers only, so nothing that a user typed can be read as a
//! program by an engine or a shell. What the user typed is in `plan.json`, which the worker reads.
//!
//! ```text
//! job.sh CONTROL_DIR   (or $MOORLINE_CONTROL, or the script's own directory)
//!   an installed moorline-worker or moorline, CONTROL/../../bin/SHA256/moorline, ./moorline
//!     with the job's SHA-256      -> exec it: worker CONTROL_DIR
//!     none                        -> 213, why on stderr and in a minimal receipt
//! ```

use crate::job::{IntentId, JobId, Nonce};
use crate::oci::{Digest, Sha256Digest};

use super::Plan;

/// What the script is made from.
#[derive(Clone, Debug)]
pub struct ScriptInput {
    /// The job.
    pub job: JobId,
    /// Which submission.
    pub intent: IntentId,
    /// Comes back in the receipt.
    pub nonce: Nonce,
    /// SHA-256 of `plan.json`.
    pub plan: Digest,
    /// SHA-256 of the worker's program.
    pub binary: Digest,
    /// The manifest that the job is pinned to.
    pub pinned: Option<Digest>,
    /// The variable in which a task of an array finds its number.
    pub task_from: Option<String>,
    /// The SIF that it runs.
    pub sif: Option<crate::oci::SifDigest>,
}

impl ScriptInput {
    /// Takes everything from the plan and its files' bytes.
    #[must_use]
    pub fn new(plan: &Plan, plan_bytes: &[u8], binary: Digest) -> Self {
        Self {
            job: plan.job.id,
            intent: plan.intent,
            nonce: plan.nonce,
            plan: Digest::of(plan_bytes),
            binary,
            pinned: plan.job.image.pin().map(|pin| pin.manifest),
            task_from: plan.task_from.clone(),
            sif: plan.job.image.sif(),
        }
    }
}

/// The text of `job.sh`; the same for every job but for its identifiers.
#[must_use]
pub fn script(input: &ScriptInput) -> String {
    let hex = |d: Option<String>| d.unwrap_or_default();
    let mut text = format!(
        "#!/bin/sh\n\
         # Moorline job {job}: starts it on this worker. Made by a program; holds identifiers only.\n\
         job={job}\n\
         intent={intent}\n\
         nonce={nonce}\n\
         plan_sha256={plan}\n\
         moorline_sha256={binary}\n\
         pinned_sha256={pinned}\n\
         sif_sha256={sif}\n",
        job = input.job,
        intent = input.intent,
        nonce = input.nonce,
        plan = input.plan.hex(),
        binary = input.binary.hex(),
        pinned = hex(input.pinned.map(|d| d.hex())),
        sif = hex(input.sif.map(|d| d.hex())),
    );
    if let Some(variable) = &input.task_from {
        text.push_str(&format!("task=${{{variable}:-}}\n"));
    }
    text.push_str(include_str!("script.sh"));
    text
}
