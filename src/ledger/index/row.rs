//! What the index holds of one job: where its records stand, and its recorded state for filters.
//!
//! ```text
//! lines        segment, offset, length of each record, in varints
//! submissions  intent (8 bytes), then the last of each thing that decides the state: when, and what
//! ```
//!
//! Segments are read in any order, so adding is commutative: of each kind the latest record by the writer's clock
//! counts, as in `view.rs`. A state found here chooses which jobs are loaded. What is shown of a job, its verdict
//! above all, comes from its lines.

use super::sketch::{About, ShortIntent, What};
use crate::job::{JobId, JobState};
use crate::ledger::settled::{Ending, settle};

/// Where one record stands. The segment is a number of the index's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RecordAt {
    pub segment: u32,
    pub offset: u32,
    pub length: u32,
}

/// One job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub places: Vec<RecordAt>,
    pub submissions: Vec<Brief>,
}

/// How much of a job may still be learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Openness {
    /// It has ended, and a receipt says how.
    Closed = 0,
    /// It has ended without a receipt.
    Unproven = 1,
    /// Its engine has not said that it ended.
    Running = 2,
}

/// One submission. A time is a writer's clock in nanoseconds; `NEVER` stands for a thing that has not happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Brief {
    pub intent: ShortIntent,
    /// When it was recorded.
    pub begun: i64,
    /// The beginning of the SIF's digest.
    pub sif: [u8; 8],
    submitted: i64,
    refused: i64,
    uncertain: i64,
    /// The last word of the engine that says something.
    seen: i64,
    seen_state: u8,
    seen_code: Option<i32>,
    /// It was asked and knew nothing.
    ignorant: bool,
    /// The last receipt of its own.
    ended_at: i64,
    code: i32,
    told: bool,
    /// An array whose tasks have all left their receipts.
    complete: bool,
    /// When the last receipt of its own, and the last word *submitted*, were recorded.
    receipt: i64,
    queued: i64,
}

pub(super) const NEVER: i64 = i64::MIN;

impl Brief {
    fn new(intent: ShortIntent) -> Self {
        Self {
            intent,
            begun: NEVER,
            sif: [0; 8],
            submitted: NEVER,
            refused: NEVER,
            uncertain: NEVER,
            seen: NEVER,
            seen_state: UNKNOWN,
            seen_code: None,
            ignorant: false,
            ended_at: NEVER,
            code: 0,
            told: false,
            complete: false,
            receipt: NEVER,
            queued: NEVER,
        }
    }

    fn add(&mut self, what: &What, at: i64) {
        match what {
            What::Intent(image) => {
                if self.begun == NEVER {
                    self.begun = at;
                    if let Some(sif) = image.sif {
                        self.sif.copy_from_slice(&sif[..8]);
                    }
                }
            }
            What::Submitted(_) => self.submitted = self.submitted.max(at),
            What::Refused => self.refused = self.refused.max(at),
            What::Uncertain => self.uncertain = self.uncertain.max(at),
            What::Observed { state, exit_code, complete } => {
                self.complete |= *complete;
                if *state == JobState::Unknown {
                    self.ignorant = true;
                } else if at >= self.seen {
                    self.seen = at;
                    (self.seen_state, self.seen_code) = (code(*state), *exit_code);
                }
                if *state == JobState::Submitted {
                    // of two at one time the one that is read later is the later one
                    self.queued = self.queued.max(at + i64::from(at == self.receipt));
                }
            }
            // what one of a task says of the whole is recorded as the whole's
            What::Receipt { word: true, of_task: false, ended_at, exit_code, told, .. } => {
                self.receipt = self.receipt.max(at + i64::from(at == self.queued));
                if *ended_at >= self.ended_at {
                    (self.ended_at, self.code, self.told) = (*ended_at, *exit_code, *told);
                }
            }
            What::Receipt { .. } | What::OfTasks | What::Other => {}
        }
    }

    /// The engine's last word, as [`Submission::word`](crate::ledger::Submission::word) has it.
    fn word(&self) -> (JobState, Option<i32>) {
        let outcome = self.refused.max(self.uncertain);
        if self.seen != NEVER {
            (state(self.seen_state), self.seen_code)
        } else if self.ignorant {
            (JobState::Unknown, None)
        } else if self.submitted != NEVER {
            (JobState::Submitted, None)
        } else if outcome == NEVER {
            (JobState::Submitting, None)
        } else if self.refused == outcome {
            (JobState::Failed, None)
        } else {
            (JobState::Unknown, None)
        }
    }

    fn state(&self) -> JobState {
        let (engine, engine_code) = self.word();
        let anew = self.queued > self.receipt;
        if self.receipt == NEVER || anew {
            return engine;
        }
        settle((engine, engine_code), Ending { code: self.code, told: self.told }).0
    }

    fn openness(&self) -> Openness {
        if !self.word().0.is_final() {
            Openness::Running
        } else if self.receipt == NEVER && self.refused == NEVER && !self.complete {
            Openness::Unproven
        } else {
            Openness::Closed
        }
    }
}

impl Row {
    /// Adds a record; `false` when it was added before.
    pub(super) fn add(&mut self, place: RecordAt, about: &About, at: i64) -> bool {
        if self.places.contains(&place) {
            return false;
        }
        self.places.push(place);
        let known = self.submissions.iter().position(|brief| brief.intent == about.intent);
        let which = known.unwrap_or_else(|| {
            self.submissions.push(Brief::new(about.intent));
            self.submissions.len() - 1
        });
        self.submissions[which].add(&about.what, at);
        true
    }

    /// Whether its image, as it was asked for, is the one that was measured.
    pub(super) fn asked_for(&self, intent: ShortIntent, measured: &[u8; 32]) -> bool {
        let of = |brief: &&Brief| brief.intent == intent;
        self.submissions.iter().find(of).is_some_and(|brief| brief.sif == measured[..8])
    }

    fn last(&self) -> Option<&Brief> {
        self.submissions.iter().filter(|brief| brief.begun != NEVER).max_by_key(|b| b.begun)
    }

    /// Whether an intent is among its records: without one it is no job.
    pub(super) fn is_job(&self) -> bool {
        self.last().is_some()
    }

    /// The recorded state of the last submission.
    pub(super) fn state(&self) -> JobState {
        self.last().map_or(JobState::Unknown, Brief::state)
    }

    pub(super) fn openness(&self) -> Openness {
        self.last().map_or(Openness::Closed, Brief::openness)
    }
}

const UNKNOWN: u8 = 255;

/// A state as a small number.
pub(super) fn code(state: JobState) -> u8 {
    let known = JobState::ALL.iter().position(|(_, known)| *known == state);
    known.and_then(|at| u8::try_from(at).ok()).unwrap_or(UNKNOWN)
}

/// States that only a newer program knows are one here, and none that is final.
fn state(code: u8) -> JobState {
    JobState::ALL.get(usize::from(code)).map_or(JobState::Unknown, |(_, state)| *state)
}

// ---- as bytes

/// For one job: times are kept in relation to the id's.
fn base(job: JobId) -> i64 {
    i64::try_from(job.milliseconds()).unwrap_or(0).saturating_mul(1_000_000)
}

impl Row {
    /// The places as bytes, and the rest.
    pub(super) fn encode(&self, job: JobId) -> (Vec<u8>, Vec<u8>) {
        let mut places = Vec::with_capacity(self.places.len() * 6);
        for RecordAt { segment, offset, length } in &self.places {
            for number in [segment, offset, length] {
                put(&mut places, u64::from(*number));
            }
        }
        let base = base(job);
        let mut rest = Vec::with_capacity(48);
        for brief in &self.submissions {
            rest.extend_from_slice(&brief.intent);
            rest.extend_from_slice(&brief.sif);
            rest.push(brief.seen_state);
            rest.push(flags([brief.ignorant, brief.told, brief.complete]));
            put_signed(&mut rest, brief.seen_code.map_or(i64::from(i32::MIN), i64::from));
            put_signed(&mut rest, i64::from(brief.code));
            for time in brief.times() {
                // 0 is never
                let time = if time == NEVER { 0 } else { zigzag(time.saturating_sub(base)) + 1 };
                put(&mut rest, time);
            }
        }
        (places, rest)
    }

    /// Reads what [`Row::encode`] wrote; `None` when it is something else.
    pub(super) fn decode(job: JobId, places: &[u8], rest: &[u8]) -> Option<Self> {
        let mut row = Self::default();
        let (mut places, mut rest) = (places, rest);
        while !places.is_empty() {
            let mut next = || u32::try_from(take(&mut places)?).ok();
            row.places.push(RecordAt { segment: next()?, offset: next()?, length: next()? });
        }
        let base = base(job);
        while !rest.is_empty() {
            let (head, tail) = rest.split_at_checked(18)?;
            rest = tail;
            let mut brief = Brief::new(head[..8].try_into().ok()?);
            brief.sif = head[8..16].try_into().ok()?;
            brief.seen_state = head[16];
            [brief.ignorant, brief.told, brief.complete] =
                [1, 2, 4].map(|flag| head[17] & flag != 0);
            let seen_code = take_signed(&mut rest)?;
            brief.seen_code = i32::try_from(seen_code).ok().filter(|code| *code != i32::MIN);
            brief.code = i32::try_from(take_signed(&mut rest)?).ok()?;
            let mut times = [NEVER; 8];
            for time in &mut times {
                let stored = take(&mut rest)?;
                if stored > 0 {
                    *time = unzigzag(stored - 1).saturating_add(base);
                }
            }
            [
                brief.begun,
                brief.submitted,
                brief.refused,
                brief.uncertain,
                brief.seen,
                brief.ended_at,
                brief.receipt,
                brief.queued,
            ] = times;
            row.submissions.push(brief);
        }
        Some(row)
    }
}

impl Brief {
    fn times(&self) -> [i64; 8] {
        [
            self.begun,
            self.submitted,
            self.refused,
            self.uncertain,
            self.seen,
            self.ended_at,
            self.receipt,
            self.queued,
        ]
    }
}

/// One bit each, the first one lowest.
fn flags(all: [bool; 3]) -> u8 {
    all.iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(*flag))
}

fn zigzag(number: i64) -> u64 {
    (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

fn put(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    to.push(u8::try_from(number).unwrap_or(0));
}

fn put_signed(to: &mut Vec<u8>, number: i64) {
    put(to, zigzag(number));
}

fn take(from: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0u64, 0u32);
    loop {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

fn take_signed(from: &mut &[u8]) -> Option<i64> {
    take(from).map(unzigzag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_back() {
        let job = JobId::from_parts(1_700_000_000_000, 5);
        let mut row = Row::default();
        let about = |what| About { job, intent: [7; 8], what };
        let at = |n: i64| 1_700_000_000_000_000_000 + n;
        let place = |n: u32| RecordAt { segment: n, offset: n * 300_000, length: 900 };
        assert!(row.add(place(1), &about(What::Submitted("slurm:1".into())), at(-5)));
        assert!(row.add(place(2), &about(What::Intent(std::sync::Arc::default())), at(3)));
        let seen = What::Observed { state: JobState::Failed, exit_code: Some(-3), complete: false };
        assert!(row.add(place(3), &about(seen), at(i64::from(i32::MAX))));
        assert!(!row.add(place(2), &about(What::Other), at(9)), "it is there already");
        let receipt = What::Receipt {
            word: true,
            of_task: false,
            ended_at: at(9),
            exit_code: 0,
            told: true,
            measured: None,
        };
        assert!(row.add(place(4000), &about(receipt), at(11)));
        let (places, rest) = row.encode(job);
        assert_eq!(Row::decode(job, &places, &rest), Some(row.clone()));
        assert_eq!(Row::decode(job, &places[..1], &rest), None);
        assert_eq!(Row::decode(job, &places, &rest[..20]), None);
        assert_eq!((row.state(), row.openness()), (JobState::Completed, Openness::Closed));
        for number in [0, 1, -1, i64::MAX, i64::MIN, 1 << 40] {
            assert_eq!(unzigzag(zigzag(number)), number);
        }
    }
}
