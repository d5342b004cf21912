//! Which word counts when the engine and the worker both spoke of one submission.
//!
//! Slurm's accounting keeps exit codes below 128 only (200 becomes 72, 137 becomes 9), and an engine
//! forgets its jobs. The worker saw the program end. So a receipt of this very submission settles state
//! and exit code, and the engine's word stands beside it.
//!
//! ```text
//! no receipt of its own, or a duplicate's (219)       the engine's word, else the submission's outcome
//! the engine answers: it waits or runs                the engine's word (it may run a second time)
//! a receipt: exit code 0                              completed
//! a receipt: another code                             failed, with this code
//!     the engine says cancelled, and the worker was told to end or the code is not 0    killed
//!     the engine says that a limit ended it, and it was told to end or a signal did it    failed, 218
//! ```

use serde::Serialize;

use super::body::Body;
use super::view::{JobRecord, Outcome, Submission};
use crate::job::{JobState, Observation};
use crate::worker::{Receipt, Start, exit};

/// Whose word a state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A receipt of this submission.
    Receipt,
    /// The engine.
    Engine,
    /// Nobody's but the submitter's: no engine has said anything yet.
    Ledger,
}

/// What counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The state.
    pub state: JobState,
    /// As a shell would give it.
    pub exit_code: Option<i32>,
    /// Why it waits or ended; foreign text.
    pub reason: Option<String>,
    /// Who says so.
    pub source: Source,
}

impl Settled {
    /// What follows from an engine's word and the last receipt of the submission. `open` says whether
    /// the engine answered just now that the job waits or runs: then no receipt ends it.
    #[must_use]
    pub fn of(engine: &Observation, open: bool, receipt: Option<&Receipt>) -> Self {
        let Some(receipt) = receipt.filter(|_| !open) else {
            let Observation { state, exit_code, reason, .. } = engine.clone();
            return Self { state, exit_code, reason, source: Source::Engine };
        };
        let code = receipt.exit_code;
        // the worker was told to end, or a signal ended the program
        let told = receipt.conditions.told.is_some();
        let by_signal = told || (129..=192).contains(&code);
        let limit = engine.exit_code == Some(exit::LIMIT) && by_signal;
        let killed = engine.state == JobState::Killed && (told || code != 0);
        let state = match code {
            _ if killed => JobState::Killed,
            _ if limit => JobState::Failed,
            0 => JobState::Completed,
            _ => JobState::Failed,
        };
        // why an engine ended a job belongs to its own state
        let reason = engine.reason.clone().filter(|_| killed || limit || state == engine.state);
        let exit_code = Some(if limit { exit::LIMIT } else { code });
        Self { state, exit_code, reason, source: Source::Receipt }
    }
}

impl Submission {
    /// The last receipt that is this submission's own: job, intent and nonce are right.
    #[must_use]
    pub fn own_receipt(&self) -> Option<&Receipt> {
        let own = self.receipts.iter().map(|record| &record.receipt);
        latest_receipt(own.filter(|receipt| self.is_word(receipt)))
    }

    /// Whether a receipt says how this submission ended: it is its own, and not that of a duplicate, which
    /// never starts the program.
    #[must_use]
    pub fn is_word(&self, receipt: &Receipt) -> bool {
        let refused = matches!(receipt.start, Start::Refused { .. });
        self.entry.wrote(receipt) && !(refused && receipt.exit_code == exit::DUPLICATE)
    }

    /// The engine's last word; where it has said none, what became of the submission.
    #[must_use]
    pub fn word(&self) -> Observation {
        let reason = |why: &String| Some(why.clone()).filter(|why| !why.is_empty());
        match (&self.seen, &self.outcome) {
            (Some(seen), _) => seen.clone(),
            (None, Outcome::Open) => Observation::of(JobState::Submitting),
            (None, Outcome::Submitted(_)) => Observation::of(JobState::Submitted),
            (None, Outcome::Refused(why)) => {
                Observation { reason: reason(why), ..Observation::of(JobState::Failed) }
            }
            (None, Outcome::Uncertain(why)) => {
                Observation { reason: reason(why), ..Observation::of(JobState::Unknown) }
            }
        }
    }

    /// What counts, as far as it is recorded.
    #[must_use]
    pub fn settled(&self) -> Settled {
        let word = self.word();
        // said after the receipt came: the engine began the job anew
        let later = self.history.iter().rev().find_map(|event| match &event.body {
            Body::Observed { state, .. } => Some(!state.is_final() && *state != JobState::Unknown),
            Body::Receipt { receipt, .. } if self.is_word(receipt) => Some(false),
            _ => None,
        });
        let settled = Settled::of(&word, later.unwrap_or(false), self.own_receipt());
        match (settled.source, &self.seen) {
            (Source::Engine, None) => Settled { source: Source::Ledger, ..settled },
            _ => settled,
        }
    }
}

impl JobRecord {
    /// What counts for the last submission, as far as it is recorded.
    #[must_use]
    pub fn settled(&self) -> Settled {
        self.last().settled()
    }
}

/// The receipt of the attempt that ended last.
pub fn latest_receipt<'r>(receipts: impl Iterator<Item = &'r Receipt>) -> Option<&'r Receipt> {
    receipts.max_by_key(|receipt| receipt.ended_at)
}
