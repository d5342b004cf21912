//! Slurm's words for a job's state, in ours.
//!
//! Source: `squeue(1)` and `sacct(1)`, "JOB STATE CODES".

use crate::job::JobState;
use crate::worker::exit;

/// How a word counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub state: JobState,
    /// A code that stands for the reason, whatever the program gave.
    pub code: Option<i32>,
    /// Slurm may start the job again, as a new row with the same id.
    pub may_return: bool,
}

/// What a word means; one that we do not know is [`JobState::Unknown`].
pub(super) fn meaning(word: &str) -> Meaning {
    let (state, code) = match word {
        "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD"
        | "SPECIAL_EXIT" | "RESV_DEL_HOLD" => (JobState::Submitted, None),
        // COMPLETING: the program has ended, its node is still being cleaned.
        "RUNNING" | "COMPLETING" | "RESIZING" | "SIGNALING" | "STAGE_OUT" | "STOPPED"
        | "SUSPENDED" => (JobState::Running, None),
        "COMPLETED" => (JobState::Completed, None),
        "CANCELLED" => (JobState::Killed, None),
        "TIMEOUT" | "DEADLINE" | "OUT_OF_MEMORY" => (JobState::Failed, Some(exit::LIMIT)),
        "FAILED" | "NODE_FAIL" | "PREEMPTED" | "BOOT_FAIL" | "LAUNCH_FAILED" | "RECONFIG_FAIL"
        | "REVOKED" => (JobState::Failed, None),
        _ => (JobState::Unknown, None),
    };
    let may_return = matches!(word, "REQUEUED" | "NODE_FAIL" | "PREEMPTED" | "BOOT_FAIL");
    Meaning { state, code, may_return }
}
