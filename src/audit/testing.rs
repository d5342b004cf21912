//! Jobs and receipts for the tests of this folder: the usual ones of the ledger, and what a worker measured.

use super::job::JobAnswer;
use super::verdict::Reason;
use crate::job::{Evidence, Grade, JobState, Measured};
use crate::ledger::{Intent, Recorded};
use crate::oci::SifDigest;
use crate::pin::Image;
use crate::worker::{Receipt, Start};

use crate::ledger::testing::{self, intent as intent_of, receipt as receipt_of};
pub(super) use crate::ledger::testing::{at, entry, key, pin, private};

pub(super) fn oci() -> Image {
    Image::Oci { pin: pin() }
}

pub(super) fn sif(digest: SifDigest) -> Image {
    testing::sif(Some(pin()), digest)
}

pub(super) fn intent(entry: &Recorded, image: Image) -> Intent {
    intent_of(entry, "local", image)
}

/// The answer for a job that has ended, with this reason for its verdict.
pub(super) fn answer(reason: Reason) -> JobAnswer {
    JobAnswer {
        job: entry(7).job.into(),
        name: Some("fit".into()),
        user: None,
        state: JobState::Completed,
        rerun_of: None,
        verdict: reason.verdict(),
        reason,
        why: reason.sentence().to_owned(),
        qualified: Vec::new(),
        notes: Vec::new(),
        submissions: Vec::new(),
    }
}

pub(super) fn receipt(
    entry: &Recorded,
    grade: Grade,
    sif: Option<SifDigest>,
    started: bool,
) -> Receipt {
    let refused = Start::Refused { why: "no".into() };
    Receipt {
        evidence: Evidence { grade, measured: sif.map(Measured::Sif), measured_at: Some(at(5)) },
        start: if started { Start::Started { at: at(6) } } else { refused },
        exit_code: if started { 0 } else { 214 },
        ..receipt_of(entry)
    }
}
