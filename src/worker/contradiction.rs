//! What cannot be true in a receipt: it says two things of which one is wrong, or another thing than its job.
//!
//! A worker of ours writes none of these. Such a receipt was written by somebody else, was changed, or comes from a
//! worker with a defect. So it is named when it is collected, and proves nothing (`audit/verdict.rs`).

use serde::Serialize;

use super::receipt::Receipt;
use crate::job::{Grade, Measured};
use crate::pin::Image;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contradiction {
    /// Blocks were checked on read, and nobody served them.
    NotServed,
    /// The server had another hash tree than the one that was measured.
    OtherTree,
    /// The program was started, by no runtime.
    NoRuntime,
    /// The program was not started, and the attempt went well.
    RefusedWell,
    /// It was for another image than the job.
    OtherImage,
    /// Something happened after the end.
    AfterEnd,
    /// Another receipt tells another story of the same attempt.
    ToldTwice,
}

impl Contradiction {
    /// As the rest of a sentence on the receipt.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NotServed => {
                "it says that each block was checked on read, but not that the image was served"
            }
            Self::OtherTree => "the image was served with another hash tree than was measured",
            Self::NoRuntime => "it says that the program was started, but by no runtime",
            Self::RefusedWell => "it says that the program was not started, and exit code 0",
            Self::OtherImage => "it was written for another image than the job's",
            Self::AfterEnd => "the program started, or the image was measured, after the end",
            Self::ToldTwice => "another receipt of the same attempt says something else",
        }
    }
}

/// All that cannot be true in a receipt of a job with this image; `others` are further receipts of the same
/// submission.
pub fn contradicts<'r>(
    receipt: &Receipt,
    image: &Image,
    others: impl IntoIterator<Item = &'r Receipt>,
) -> Vec<Contradiction> {
    let Receipt { evidence, conditions, .. } = receipt;
    let started = receipt.start.at();
    let served = conditions.served.as_ref().map(|served| served.tree);
    let measured = match &evidence.measured {
        Some(Measured::Tree(root)) => Some(*root),
        _ => None,
    };
    let late = |at: Option<jiff::Timestamp>| at.is_some_and(|at| at > receipt.ended_at);
    let manifest = image.pin().map(|pin| pin.manifest);
    let other_image = receipt.expected.is_some() && receipt.expected != image.sif()
        || receipt.pinned.is_some() && receipt.pinned != manifest;
    // what the submitter erased is not compared
    let story = |of: &Receipt| {
        let evidence = (of.evidence.clone(), of.expected, of.pinned, of.conditions.served.clone());
        (of.start.at(), of.ended_at, of.exit_code, of.host.clone(), of.runtime, evidence)
    };
    let differs =
        |other: &Receipt| other.attempt == receipt.attempt && story(other) != story(receipt);
    [
        (
            Contradiction::NotServed,
            evidence.grade == Grade::VerifiedOnRead && started.is_some() && served.is_none(),
        ),
        (Contradiction::OtherTree, served.zip(measured).is_some_and(|(one, other)| one != other)),
        (Contradiction::NoRuntime, started.is_some() && receipt.runtime.as_str() == "none"),
        (Contradiction::RefusedWell, receipt.refused_well()),
        (Contradiction::OtherImage, other_image),
        (Contradiction::AfterEnd, late(started) || late(evidence.measured_at)),
        (Contradiction::ToldTwice, others.into_iter().any(differs)),
    ]
    .into_iter()
    .filter_map(|(which, holds)| holds.then_some(which))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crate::job::Name;
    use crate::oci::{ConfigDigest, Digest, Platform, Sha256Digest, SifDigest, TreeRoot};
    use crate::pin::Pin;
    use crate::worker::Start;

    fn at(second: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn pin() -> Pin {
        let asked: crate::oci::Reference = "registry.example/group/project:v1".parse().unwrap();
        Pin {
            registry: asked.registry.clone(),
            repository: asked.repository.clone(),
            index: None,
            manifest: Digest::of(b"manifest"),
            config: ConfigDigest::of(b"config"),
            platform: Platform { os: "linux".into(), architecture: "amd64".into(), variant: None },
            asked,
            resolved_at: at(0),
            origin: None,
        }
    }

    fn sif() -> Image {
        let digest = SifDigest::of(b"sif");
        Image::Sif { pin: Some(pin()), manifest: None, digest, recipe: None, tree: None }
    }

    /// What a worker of ours writes.
    fn sound() -> Receipt {
        let tree = TreeRoot::of(b"tree");
        let evidence = json!({
            "grade": "verified-on-read", "measured": Measured::Tree(tree), "measured_at": at(5),
        });
        let receipt = json!({
            "schema": 2, "writer": "moorline 0.1.0", "job": crate::job::JobId::from_parts(1, 1),
            "intent": "01".repeat(16), "nonce": "02".repeat(16), "attempt": "a1", "host": "node7",
            "pinned": pin().manifest, "expected": SifDigest::of(b"sif"), "evidence": evidence,
            "runtime": "builtin", "start": { "state": "started", "at": at(6) }, "ended_at": at(9),
            "exit_code": 0, "served": { "tree": tree, "read": 9, "refused": 0 },
        });
        Receipt::parse(receipt.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn each_is_found_and_nothing_else() {
        type Change = fn(&mut Receipt);
        let refuse: Change = |r| {
            r.start = Start::Refused { why: "no".into() };
            r.conditions.served = None;
            r.exit_code = 214;
            r.runtime = Name::known("none");
        };
        let table: [(&[Contradiction], Change); 11] = [
            (&[], |_| {}),
            (&[], refuse),
            (&[Contradiction::NotServed], |r| r.conditions.served = None),
            (&[Contradiction::OtherTree], |r| {
                r.evidence.measured = Some(Measured::Tree(TreeRoot::of(b"other")));
            }),
            (&[Contradiction::NoRuntime], |r| r.runtime = Name::known("none")),
            (&[Contradiction::RefusedWell], |r| r.start = Start::Refused { why: "no".into() }),
            (&[Contradiction::OtherImage], |r| r.expected = Some(SifDigest::of(b"other"))),
            (&[Contradiction::OtherImage], |r| r.pinned = Some(Digest::of(b"other"))),
            (&[Contradiction::AfterEnd], |r| r.start = Start::Started { at: at(10) }),
            (&[Contradiction::AfterEnd], |r| r.evidence.measured_at = Some(at(10))),
            (&[Contradiction::NotServed, Contradiction::NoRuntime], |r| {
                r.runtime = Name::known("none");
                r.conditions.served = None;
            }),
        ];
        let image = sif();
        for (expected, change) in table {
            let mut receipt = sound();
            change(&mut receipt);
            assert_eq!(contradicts(&receipt, &image, []), expected, "{receipt:?}");
        }
        // a receipt of a SIF that the job does not name
        let image = Image::Oci { pin: pin() };
        assert_eq!(contradicts(&sound(), &image, []), [Contradiction::OtherImage]);
    }

    #[test]
    fn an_attempt_has_one_story() {
        let image = sif();
        let (one, other) = (sound(), Receipt { exit_code: 1, ..sound() });
        assert_eq!(contradicts(&one, &image, [&one]), []);
        assert_eq!(contradicts(&one, &image, [&other]), [Contradiction::ToldTwice]);
        // what was erased, or says nothing of what happened
        let erased = Receipt { notes: vec!["noted".into()], ..sound() };
        assert_eq!(contradicts(&one, &image, [&erased]), []);
        let second = Receipt { attempt: "a2".into(), ..other };
        assert_eq!(contradicts(&one, &image, [&second]), []);
    }
}
