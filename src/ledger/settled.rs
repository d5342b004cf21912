//! Which word counts when the engine and the worker both spoke of one submission.
//!
//! There is accounting that keeps exit codes below 128 only (200 becomes 72, 137 becomes 9), and an engine
//! forgets its jobs. The worker saw the program end. So a receipt of this very submission settles state
//! and exit code, and the engine's word stands beside it.
//!
//! ```text
//! no receipt of its own, or a duplicate's (219)       the engine's word, else the submission's outcome
//! the engine answers: it waits or runs                the engine's word (it may run a second time)
//! the engine queued it again after the receipt        the engine's word, until there is a new receipt
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
    /// What follows from an engine's word and the last receipt of the submission. `open` says that the
    /// receipt is no end: the engine answered just now that the job waits or runs, or it began the job
    /// anew since.
    #[must_use]
    pub fn of(engine: &Observation, open: bool, receipt: Option<&Receipt>) -> Self {
        let Some(receipt) = receipt.filter(|_| !open) else {
            let Observation { state, exit_code, reason, .. } = engine.clone();
            return Self { state, exit_code, reason, source: Source::Engine };
        };
        let ending = Ending {
            code: receipt.exit_code,
            // the worker was told to end, or a signal ended the program
            told: receipt.conditions.told.is_some(),
        };
        let (state, limit) = settle((engine.state, engine.exit_code), ending);
        let by_engine = limit || state == JobState::Killed;
        // why an engine ended a job belongs to its own state
        let reason = engine.reason.clone().filter(|_| by_engine || state == engine.state);
        let exit_code = Some(if limit { exit::LIMIT } else { ending.code });
        Self { state, exit_code, reason, source: Source::Receipt }
    }
}

/// What a receipt says of an end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    /// The exit code.
    pub code: i32,
    /// Whether the worker was told to end.
    pub told: bool,
}

/// The state that follows from an engine's word and a receipt that is an end, and whether a limit ended it.
pub(super) fn settle((state, exit_code): (JobState, Option<i32>), end: Ending) -> (JobState, bool) {
    let by_signal = end.told || (129..=192).contains(&end.code);
    let limit = exit_code == Some(exit::LIMIT) && by_signal;
    let killed = state == JobState::Killed && (end.told || end.code != 0);
    match end.code {
        _ if killed => (JobState::Killed, limit),
        _ if limit => (JobState::Failed, limit),
        0 => (JobState::Completed, limit),
        _ => (JobState::Failed, limit),
    }
}

impl Settled {
    /// The same without an exit code that is only the worker's.
    #[must_use]
    pub fn never_started(self) -> Self {
        if self.source == Source::Receipt || self.state != JobState::Failed {
            return self;
        }
        let why =
            "it began before it was on record, so its program was not started; submit it again";
        Self { exit_code: None, reason: Some(why.to_owned()), ..self }
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
    /// never starts the program, nor one that says of a program which was not started that it ended well.
    #[must_use]
    pub fn is_word(&self, receipt: &Receipt) -> bool {
        self.entry.wrote(receipt) && !self.is_duplicate(receipt) && !receipt.refused_well()
    }

    /// Whether a receipt is that of a copy which the engine took without saying so: its worker found that it is
    /// not the submission on record, and measured and started nothing.
    #[must_use]
    pub fn is_duplicate(&self, receipt: &Receipt) -> bool {
        let refused = matches!(receipt.start, Start::Refused { .. });
        let measured = receipt.evidence.measured.is_some();
        let wrote = self.entry.wrote(receipt);
        wrote && refused && !measured && receipt.exit_code == exit::DUPLICATE
    }

    /// Whether a receipt says that the very job on record began before it was on record, and so never started
    /// its program. Its exit code is the worker's, not the job's.
    #[must_use]
    pub fn began_too_early(&self, receipt: &Receipt) -> bool {
        let named = self.key().map(|key| format!("={}", key.id));
        let names =
            |named: &String| receipt.engine.iter().any(|fact| fact.ends_with(named.as_str()));
        self.is_duplicate(receipt) && named.as_ref().is_some_and(names)
    }

    /// Whether the engine holds the job for us: it is on record, and it was not let go, nor is it to end.
    #[must_use]
    pub fn awaits_release(&self) -> bool {
        let has = |is: fn(&Body) -> bool| self.history.iter().any(|event| is(&event.body));
        self.key().is_some()
            && !self.cancelled
            && has(|body| matches!(body, Body::Held { .. }))
            && !has(|body| matches!(body, Body::Released { .. }))
    }

    /// Whether the engine put the job into its queue again after its last receipt was recorded: the receipts
    /// are those of earlier starts then.
    #[must_use]
    pub fn begun_anew(&self) -> bool {
        let last = self.history.iter().rev().find_map(|event| match &event.body {
            Body::Observed { state: JobState::Submitted, .. } => Some(true),
            Body::Receipt { receipt, .. } if self.is_word(receipt) => Some(false),
            _ => None,
        });
        last == Some(true)
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
        if self.tasks().is_some() && (self.key().is_some() || !self.receipts.is_empty()) {
            return Settled::of_tasks(&self.tasks_settled());
        }
        let mut settled = Settled::of(&self.word(), self.begun_anew(), self.own_receipt());
        if self.receipts.iter().any(|record| self.began_too_early(&record.receipt)) {
            settled = settled.never_started();
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Nonce;
    use crate::ledger::testing::{self, at};
    use crate::ledger::{Ledger, Recorded, View};
    use crate::oci::Sha256Digest;
    use crate::oci::SifDigest;
    use crate::worker::Conditions;

    fn receipt(entry: &Recorded, second: i64, exit_code: i32) -> Receipt {
        Receipt {
            attempt: format!("{second:032x}"),
            start: Start::Started { at: at(second) },
            ended_at: at(second),
            exit_code,
            ..testing::receipt(entry)
        }
    }

    fn word(state: JobState, exit_code: Option<i32>) -> Observation {
        Observation { exit_code, ..Observation::of(state) }
    }

    #[test]
    fn the_table() {
        use JobState::{Completed, Failed, Killed, Running, Submitted, Unknown};
        let entry = testing::entry(1);
        let told = |code| {
            let conditions = Conditions { told: Some(15), ..Conditions::default() };
            Receipt { conditions, ..receipt(&entry, 9, code) }
        };
        let plain = |code| receipt(&entry, 9, code);
        let table = vec![
            // the accounting's code is lost, or there is none
            (word(Failed, Some(72)), false, plain(200), Failed, Some(200)),
            (word(Failed, None), false, plain(0), Completed, Some(0)),
            (word(Unknown, None), false, plain(7), Failed, Some(7)),
            (word(Submitted, None), false, plain(0), Completed, Some(0)),
            // it answers that the job waits or runs
            (word(Running, None), true, plain(0), Running, None),
            (word(Submitted, None), true, plain(143), Submitted, None),
            // who ended it is the engine's to say
            (word(Killed, Some(143)), false, plain(143), Killed, Some(143)),
            (word(Killed, None), false, told(0), Killed, Some(0)),
            (word(Killed, None), false, plain(0), Completed, Some(0)),
            (word(Failed, Some(218)), false, plain(143), Failed, Some(218)),
            (word(Failed, Some(218)), false, told(0), Failed, Some(218)),
            (word(Failed, Some(218)), false, plain(3), Failed, Some(3)),
        ];
        for (engine, open, receipt, state, code) in table {
            let got = Settled::of(&engine, open, Some(&receipt));
            assert_eq!((got.state, got.exit_code), (state, code), "{engine:?} {open} {receipt:?}");
        }
        let alone = Settled::of(&word(Failed, Some(72)), false, None);
        assert_eq!((alone.exit_code, alone.source), (Some(72), Source::Engine));
    }

    /// A submission on record.
    fn entry_of(ledger: &Ledger) -> Recorded {
        let image = testing::sif(None, SifDigest::of(b"sif"));
        ledger.intend(&testing::intent(&testing::entry(1), "slurm", image)).unwrap()
    }

    #[test]
    fn a_start_that_left_no_receipt_is_not_settled_by_an_earlier_one() {
        let dir = testing::private();
        let ledger = Ledger::open(dir.path()).unwrap();
        let entry = entry_of(&ledger);
        let id = entry.job;
        let state = || {
            let settled = View::read(ledger.dir()).unwrap().job(id).unwrap().settled();
            (settled.state, settled.exit_code)
        };
        let seen = |state, code| ledger.observed(&entry, &word(state, code)).unwrap();
        seen(JobState::Running, None);
        ledger.receipt(&entry, &receipt(&entry, 5, 143)).unwrap();
        // "completing" is another word for running
        seen(JobState::Running, None);
        assert_eq!(state(), (JobState::Failed, Some(143)));
        seen(JobState::Submitted, None);
        seen(JobState::Running, None);
        assert_eq!(state(), (JobState::Running, None));
        // a duplicate is no word
        let refused = Start::Refused { why: "duplicate".into() };
        let duplicate = Receipt { start: refused, ..receipt(&entry, 6, exit::DUPLICATE) };
        ledger.receipt(&entry, &duplicate).unwrap();
        assert_eq!(state(), (JobState::Running, None));
        // another submission's is none either
        let foreign = Receipt { nonce: Nonce::from_bytes([9; 16]), ..receipt(&entry, 7, 0) };
        ledger.receipt(&entry, &foreign).unwrap();
        assert_eq!(state(), (JobState::Running, None));
        ledger.receipt(&entry, &receipt(&entry, 8, 200)).unwrap();
        seen(JobState::Failed, Some(72));
        assert_eq!(state(), (JobState::Failed, Some(200)));
    }

    /// The engine began the very job on record before it was on record: the worker's code is not the job's.
    #[test]
    fn a_job_that_began_too_early_has_no_code() {
        let dir = testing::private();
        let path = dir.path().to_owned();
        let ledger = Ledger::open(&path).unwrap();
        let entry = entry_of(&ledger);
        ledger.submitted(&entry, &testing::key("engine", 46)).unwrap();
        let refused = |engine: &str| Receipt {
            start: Start::Refused { why: "too early".into() },
            engine: vec![engine.into()],
            ..receipt(&entry, 6, exit::DUPLICATE)
        };
        let settled = || View::read(&path).unwrap().job(entry.job).unwrap().settled();
        ledger.observed(&entry, &word(JobState::Failed, Some(91))).unwrap();
        ledger.receipt(&entry, &refused("JOB_ID=45")).unwrap();
        assert_eq!(settled().exit_code, Some(91), "another job's word is none of this one's");
        ledger.receipt(&entry, &refused("JOB_ID=46")).unwrap();
        let now = settled();
        assert_eq!((now.state, now.exit_code), (JobState::Failed, None));
        assert!(now.reason.unwrap().contains("before it was on record"));
    }
}
