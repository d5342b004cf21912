//! The verdict: what was asked, held against what a worker says that it measured. One pure function.
//!
//! ```text
//! no receipt                               Unproven
//! another job, intent or nonce             Unproven, the receipt is no evidence
//! what cannot be true in the receipt       Unproven, unless it is a Mismatch
//! a newer program's receipt or record      Unproven, it may hold what this program cannot read
//! grade none, or no digest measured        Unproven
//! the job names no digest of that kind     Unproven, nothing to compare with
//! measured == expected, program started    Match
//! measured == expected, program refused    Unproven, nothing ran
//! measured != expected                     Mismatch, started or not
//! blocks were refused when they were read  Mismatch: the file was another one, the program saw errors
//! ```

use serde::Serialize;

use crate::job::{Grade, Measured, RuntimeChoice};
use crate::ledger::Recorded;
use crate::pin::Image;
use crate::worker::{Contradiction, Hides, Qualifier, Receipt, Start};

/// What is known of an image that ran. The order is from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// What was measured is what was asked.
    Match,
    /// There is no evidence that can be compared.
    Unproven,
    /// What was measured is something else.
    Mismatch,
}

impl Verdict {
    /// As it is shown to people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Match => "Match",
            Self::Unproven => "Unproven",
            Self::Mismatch => "Mismatch",
        }
    }
}

/// Why a verdict is what it is; one value for each line of the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The digest that was measured is the one that was asked.
    SameDigest,
    /// The digest that was measured is another.
    OtherDigest,
    /// Blocks that the program read were not those of the pinned image: it got errors in their place.
    BlocksRefused,
    /// No worker left a receipt.
    NoReceipt,
    /// The receipt is another submission's: it proves nothing of this one.
    ForeignReceipt,
    /// The worker measured nothing.
    NothingMeasured,
    /// The job does not name the digest of a SIF; nothing can be compared.
    NothingExpected,
    /// The image was the right one, but the program was not started.
    NotStarted,
    /// The receipt says things that cannot both be true, or another thing than its job.
    Contradictory,
    /// A newer program wrote the record or the receipt; this one cannot judge it.
    NeedsNewer,
    /// The engine refused the submission.
    NotSubmitted,
}

impl Reason {
    /// The verdict that follows.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        match self {
            Self::SameDigest => Verdict::Match,
            Self::OtherDigest | Self::BlocksRefused => Verdict::Mismatch,
            _ => Verdict::Unproven,
        }
    }

    /// The reason as a sentence's end.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::SameDigest => "the worker measured the digest that was asked for",
            Self::OtherDigest => "the worker measured another digest than was asked for",
            Self::BlocksRefused => {
                "blocks of the image's file were not what was pinned: the program got errors in their place"
            }
            Self::NoReceipt => "no receipt was collected",
            Self::ForeignReceipt => {
                "the receipt carries another job, intent or nonce: it is not evidence for this one"
            }
            Self::NothingMeasured => "the worker measured nothing",
            Self::NothingExpected => "the job does not name the digest of a SIF to compare with",
            Self::NotStarted => {
                "the image was the right one, but the program was not started, or not seen to start"
            }
            Self::Contradictory => {
                "the receipt contradicts itself or the job: it is no evidence for this one"
            }
            Self::NeedsNewer => "a newer moorline recorded it; this one cannot judge all of it",
            Self::NotSubmitted => "the engine refused the job: nothing ran",
        }
    }
}

/// Who could have written a receipt that is not true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forger {
    /// The job's owner: worker and submitter have one uid.
    Owner,
    /// Other jobs of the same user, which the runtime let see this one's files.
    OtherJobs,
    /// Root of the worker node.
    NodeRoot,
    /// Who runs the container daemon or publishes the path that was looked at.
    Site,
}

/// Judges one receipt of a submission.
#[must_use]
pub fn judge(entry: &Recorded, image: &Image, receipt: Option<&Receipt>) -> Reason {
    let Some(receipt) = receipt else { return Reason::NoReceipt };
    if !entry.wrote(receipt) {
        return Reason::ForeignReceipt;
    }
    // it may hold a reason against it that this program cannot read
    if receipt.is_newer() || matches!(receipt.evidence.grade, Grade::Other(_)) {
        return Reason::NeedsNewer;
    }
    let (grade, measured) = (receipt.evidence.grade, &receipt.evidence.measured);
    let served = receipt.conditions.served.as_ref().map(|served| &served.tree);
    let measured = match (grade, measured) {
        (Grade::None, _) | (_, None | Some(Measured::Other(..))) => return Reason::NothingMeasured,
        // a hash tree proves something only where each block was checked by it, and the server says so
        (_, Some(Measured::Tree(root)))
            if grade != Grade::VerifiedOnRead || served != Some(root) =>
        {
            return Reason::NothingMeasured;
        }
        (_, Some(measured)) => measured,
    };
    match is_same(image, measured) {
        None => Reason::NothingExpected,
        Some(false) => Reason::OtherDigest,
        Some(true) if receipt.conditions.served.as_ref().is_some_and(|done| done.refused > 0) => {
            Reason::BlocksRefused
        }
        Some(true) if matches!(receipt.start, Start::Refused { .. }) => Reason::NotStarted,
        Some(true) => Reason::SameDigest,
    }
}

/// What counts of a receipt that says what cannot be true: it proves nothing for the job. What speaks against the
/// job still does, so that nobody makes a *Mismatch* milder by adding nonsense to it.
#[must_use]
pub fn contradicted(reason: Reason, found: &[Contradiction]) -> Reason {
    match reason {
        Reason::ForeignReceipt | Reason::NeedsNewer => reason,
        _ if found.is_empty() || reason.verdict() == Verdict::Mismatch => reason,
        _ => Reason::Contradictory,
    }
}

/// Whether what was measured is the job's image; `None` when the job names no digest of that kind.
fn is_same(image: &Image, measured: &Measured) -> Option<bool> {
    Some(match (image, measured) {
        (Image::Oci { pin }, Measured::Config(digest)) => *digest == pin.config,
        (Image::Oci { pin }, Measured::Manifest(digest)) => *digest == pin.manifest,
        (image, Measured::Sif(digest)) => *digest == image.sif()?,
        (image, Measured::Tree(root)) => *root == image.tree()?,
        _ => return None,
    })
}

/// Who could have forged this receipt.
#[must_use]
pub fn forgers(receipt: &Receipt) -> Vec<Forger> {
    let mut forgers = vec![Forger::Owner];
    // without a word on it the runtime is taken for one that does not hide anything; one that opens the image by its name
    // may get what another process of this user puts there
    let by_name = RuntimeChoice::opens_by_name(receipt.runtime.as_str());
    // what an earlier job measured is no longer in anybody's hands
    let earlier = receipt.evidence.grade == Grade::MeasuredCached;
    if by_name || earlier || receipt.conditions.hides != Some(Hides::Yes) {
        forgers.push(Forger::OtherJobs);
    }
    forgers.push(Forger::NodeRoot);
    if matches!(receipt.evidence.grade, Grade::RuntimeReported | Grade::PathOnly) {
        forgers.push(Forger::Site);
    }
    forgers
}

/// What stands behind a verdict for people: `but ...` of a *Match* that is no plain one, else why it is what it is. Only
/// a *Match* can have a *but*: it says what else than the image decided.
#[must_use]
pub fn because(verdict: Verdict, why: &str, qualified: &[Qualifier]) -> Because {
    match (verdict, qualified) {
        (Verdict::Match, [_, ..]) => {
            let buts: Vec<&str> = qualified.iter().map(but).collect();
            Because::But(format!("but {}", buts.join("; ")))
        }
        _ => Because::Why(why.to_owned()),
    }
}

/// See [`because`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// `but ...`.
    But(String),
    /// A sentence's end.
    Why(String),
}

/// A qualifier as the end of the sentence *Match, but ...*.
fn but(qualifier: &Qualifier) -> &'static str {
    match qualifier {
        Qualifier::Mount => "a mount lay over files of the image",
        Qualifier::Writable => "the program could change files of the image",
        Qualifier::Modified => "the runtime rewrote files of the image",
        Qualifier::Option => "the runtime was given options",
        Qualifier::RuntimeBelieved => "a runtime that is not ours is believed",
        Qualifier::MeasuredEarlier => "measured earlier: others could have changed the image since",
        Qualifier::PathOnly => {
            "only the name of the published tree was looked at: whoever publishes it is believed"
        }
        Qualifier::Other(_) => "something that only a newer moorline can explain",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing;
    use crate::job::{IntentId, JobId, Nonce};
    use crate::oci::{Sha256Digest, SifDigest};

    #[test]
    fn the_table() {
        use Grade::{Measured, MeasuredCached, None as Nothing, PathOnly, RuntimeReported};
        let (right, wrong) = (SifDigest::of(b"right"), SifDigest::of(b"wrong"));
        let table = [
            (Measured, Some(right), true, Reason::SameDigest),
            (MeasuredCached, Some(right), true, Reason::SameDigest),
            (RuntimeReported, Some(right), true, Reason::SameDigest),
            (PathOnly, Some(right), true, Reason::SameDigest),
            (Nothing, Some(right), true, Reason::NothingMeasured),
            (Measured, Some(wrong), true, Reason::OtherDigest),
            (MeasuredCached, Some(wrong), true, Reason::OtherDigest),
            (RuntimeReported, Some(wrong), true, Reason::OtherDigest),
            (PathOnly, Some(wrong), true, Reason::OtherDigest),
            (Nothing, Some(wrong), true, Reason::NothingMeasured),
            (Measured, None, true, Reason::NothingMeasured),
            (PathOnly, None, true, Reason::NothingMeasured),
            (Measured, Some(right), false, Reason::NotStarted),
            (Measured, Some(wrong), false, Reason::OtherDigest),
            (Nothing, None, false, Reason::NothingMeasured),
        ];
        let entry = testing::entry(1);
        let image = testing::sif(right);
        for (grade, sif, started, reason) in table {
            let receipt = testing::receipt(&entry, grade, sif, started);
            let got = judge(&entry, &image, Some(&receipt));
            assert_eq!(got, reason, "{grade:?} {sif:?} started: {started}");
            let oci = judge(&entry, &testing::oci(), Some(&receipt));
            let no_match = match reason {
                Reason::NothingMeasured => Reason::NothingMeasured,
                _ => Reason::NothingExpected,
            };
            assert_eq!(oci, no_match, "{grade:?}");
        }
        assert_eq!(judge(&entry, &image, None), Reason::NoReceipt);
    }

    #[test]
    fn blocks_that_were_checked_prove_the_root_that_was_pinned() {
        use crate::job::{Evidence, Measured};
        use crate::oci::TreeRoot;
        use crate::worker::ServedImage;
        let (root, other) = (TreeRoot::of(b"tree"), TreeRoot::of(b"other"));
        let (entry, sif) = (testing::entry(1), SifDigest::of(b"right"));
        let with = |tree| match testing::sif(sif) {
            Image::Sif { pin, manifest, digest, recipe, .. } => {
                Image::Sif { pin, manifest, digest, recipe, tree }
            }
            image => image,
        };
        for (grade, expected, started, reason) in [
            (Grade::VerifiedOnRead, Some(root), true, Reason::SameDigest),
            (Grade::VerifiedOnRead, Some(root), false, Reason::NotStarted),
            (Grade::VerifiedOnRead, Some(other), true, Reason::OtherDigest),
            (Grade::VerifiedOnRead, None, true, Reason::NothingExpected),
            (Grade::Measured, Some(root), true, Reason::NothingMeasured),
            (Grade::None, Some(root), true, Reason::NothingMeasured),
        ] {
            let mut receipt = testing::receipt(&entry, grade, None, started);
            let measured = Some(Measured::Tree(root));
            receipt.evidence = Evidence { measured, ..receipt.evidence };
            // nobody says that the blocks were checked
            let got = judge(&entry, &with(expected), Some(&receipt));
            assert_eq!(got, Reason::NothingMeasured);
            let served = |refused| ServedImage { tree: root, read: 9, refused, failed: 0 };
            receipt.conditions.served = Some(served(0));
            let got = judge(&entry, &with(expected), Some(&receipt));
            assert_eq!(got, reason, "{grade:?} {expected:?} started: {started}");
            // the file was another one where the program read it
            receipt.conditions.served = Some(served(1));
            let got = judge(&entry, &with(expected), Some(&receipt));
            let refused = matches!(reason, Reason::SameDigest | Reason::NotStarted);
            assert_eq!(got, if refused { Reason::BlocksRefused } else { reason });
        }
    }

    #[test]
    fn an_engines_word_is_compared_with_the_pin() {
        use crate::oci::{ConfigDigest, Digest};
        let entry = testing::entry(1);
        let pin = testing::pin();
        let said = |measured| {
            let mut receipt = testing::receipt(&entry, Grade::RuntimeReported, None, true);
            receipt.evidence.measured = Some(measured);
            judge(&entry, &testing::oci(), Some(&receipt))
        };
        assert_eq!(said(Measured::Config(pin.config)), Reason::SameDigest);
        assert_eq!(said(Measured::Manifest(pin.manifest)), Reason::SameDigest);
        assert_eq!(said(Measured::Config(ConfigDigest::of(b"other"))), Reason::OtherDigest);
        assert_eq!(said(Measured::Manifest(Digest::of(b"other"))), Reason::OtherDigest);
        assert_eq!(said(Measured::Sif(SifDigest::of(b"sif"))), Reason::NothingExpected);
    }

    #[test]
    fn a_tree_of_an_earlier_job_is_in_the_hands_of_others() {
        let (entry, sif) = (testing::entry(1), SifDigest::of(b"right"));
        let by = |grade, hides| {
            let mut receipt = testing::receipt(&entry, grade, Some(sif), true);
            receipt.conditions.hides = Some(hides);
            forgers(&receipt)
        };
        let (own, others) = (
            vec![Forger::Owner, Forger::NodeRoot],
            vec![Forger::Owner, Forger::OtherJobs, Forger::NodeRoot],
        );
        assert_eq!(by(Grade::Measured, Hides::Yes), own);
        assert_eq!(by(Grade::Measured, Hides::No), others);
        assert_eq!(by(Grade::MeasuredCached, Hides::Yes), others);
    }

    #[test]
    fn only_a_match_has_a_but() {
        let all = [Qualifier::Mount, Qualifier::MeasuredEarlier];
        for verdict in [Verdict::Match, Verdict::Unproven, Verdict::Mismatch] {
            let plain = because(verdict, "why", &[]);
            assert_eq!(plain, Because::Why("why".into()));
            let qualified = because(verdict, "why", &all);
            assert_eq!(qualified == plain, verdict != Verdict::Match, "{qualified:?}");
        }
        let Because::But(text) = because(Verdict::Match, "", &all) else { panic!() };
        assert!(text.starts_with("but a mount lay over files of the image; measured earlier"));
    }

    #[test]
    fn a_strangers_receipt_proves_nothing() {
        let right = SifDigest::of(b"right");
        let entry = testing::entry(1);
        let good = testing::receipt(&entry, Grade::Measured, Some(right), true);
        let strangers = [
            Receipt { nonce: Nonce::from_bytes([9; 16]), ..good.clone() },
            Receipt { intent: IntentId::from_bytes([9; 16]), ..good.clone() },
            Receipt { job: JobId::from_parts(9, 9), ..good.clone() },
        ];
        for receipt in strangers {
            let got = judge(&entry, &testing::sif(right), Some(&receipt));
            assert_eq!(got, Reason::ForeignReceipt);
            // not even evidence against the job
            let got = judge(&entry, &testing::sif(SifDigest::of(b"other")), Some(&receipt));
            assert_eq!(got, Reason::ForeignReceipt);
        }
    }

    #[test]
    fn nonsense_takes_a_match_away_and_no_mismatch() {
        for (reason, expected) in [
            (Reason::SameDigest, Reason::Contradictory),
            (Reason::NothingMeasured, Reason::Contradictory),
            (Reason::NotStarted, Reason::Contradictory),
            (Reason::OtherDigest, Reason::OtherDigest),
            (Reason::BlocksRefused, Reason::BlocksRefused),
            (Reason::ForeignReceipt, Reason::ForeignReceipt),
            (Reason::NeedsNewer, Reason::NeedsNewer),
        ] {
            assert_eq!(contradicted(reason, &[Contradiction::AfterEnd]), expected);
            assert_eq!(contradicted(reason, &[]), reason);
        }
        assert_eq!(Reason::Contradictory.verdict(), Verdict::Unproven);
    }

    #[test]
    fn only_one_reason_is_a_match() {
        use Reason::{
            ForeignReceipt, NoReceipt, NotStarted, NotSubmitted, NothingExpected, NothingMeasured,
        };
        assert_eq!(Reason::SameDigest.verdict(), Verdict::Match);
        assert_eq!(Reason::OtherDigest.verdict(), Verdict::Mismatch);
        assert_eq!(Reason::BlocksRefused.verdict(), Verdict::Mismatch);
        for reason in
            [NoReceipt, ForeignReceipt, NothingMeasured, NothingExpected, NotStarted, NotSubmitted]
        {
            assert_eq!(reason.verdict(), Verdict::Unproven);
        }
        assert_eq!(
            [Verdict::Match, Verdict::Mismatch, Verdict::Unproven].iter().max(),
            Some(&Verdict::Mismatch)
        );
    }
}
