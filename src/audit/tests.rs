//! Answers out of a real ledger.

use std::path::Path;

use super::testing::{at, entry, intent, key, oci, pin, private, receipt, sif};
use super::*;
use crate::job::{Grade, JobState, Nonce, Observation};
use crate::ledger::{Ledger, LookupError, View};
use crate::oci::{ConfigDigest, Digest, Reference, Sha256Digest, SifDigest, TreeRoot};
use crate::pin::Image;
use crate::worker::{Conditions, Cover, Hides, Qualifier, Receipt, Start};

fn right() -> SifDigest {
    SifDigest::of(b"right")
}

fn wrong() -> SifDigest {
    SifDigest::of(b"wrong")
}

fn asked(text: &str) -> ImageQuery {
    match text.parse::<Digest>() {
        Ok(digest) => ImageQuery::Bytes(*digest.bytes()),
        Err(_) => ImageQuery::Reference(Reference::parse(text, "registry.example").unwrap()),
    }
}

fn ledger(dir: &Path) -> Ledger {
    Ledger::open(dir).unwrap()
}

fn submit(ledger: &Ledger, n: u64, image: Image) -> crate::ledger::Recorded {
    let entry = ledger.intend(&intent(&entry(n), image)).unwrap();
    ledger.submitted(&entry, &key("local", n)).unwrap();
    entry
}

fn ask(dir: &Path, job: &str) -> JobAnswer {
    audit_job(&View::read(dir).unwrap(), job).unwrap()
}

#[test]
fn a_measured_job_is_a_match() {
    let dir = private();
    let ledger = ledger(dir.path());
    let one = submit(&ledger, 1, sif(right()));
    assert_eq!(ask(dir.path(), "local:1").reason, Reason::NoReceipt);
    ledger.observed(&one, &Observation::of(JobState::Completed)).unwrap();
    ledger.receipt(&one, &receipt(&one, Grade::Measured, Some(right()), true)).unwrap();
    let answer = ask(dir.path(), "local:1");
    assert_eq!((answer.verdict, answer.reason), (Verdict::Match, Reason::SameDigest));
    assert_eq!((answer.state, answer.notes.len()), (JobState::Completed, 0));
    let attempt = &answer.submissions[0].attempts[0];
    // the receipt does not say that anything was hidden
    assert_eq!(attempt.forgeable_by, [Forger::Owner, Forger::OtherJobs, Forger::NodeRoot]);
    assert_eq!(
        (attempt.grade, attempt.measured.clone()),
        (Grade::Measured, Some(right().to_string()))
    );
    assert_eq!(attempt.measured_what.as_deref(), Some("sif"));
    let image = &answer.submissions[0].image;
    assert_eq!(image.reference, Some(pin().reference().to_string()));
    assert_eq!((image.sif, image.manifest), (Some(right()), Some(pin().manifest)));

    let json = serde_json::to_value(&answer).unwrap();
    assert_eq!(json["verdict"], "match");
    assert_eq!(json["reason"], "same-digest");
    assert_eq!(json["submissions"][0]["attempts"][0]["grade"], "measured");
    assert_eq!(json["submissions"][0]["attempts"][0]["forgeable_by"][2], "node-root");
    assert_eq!(json["submissions"][0]["engine"]["id"], "1");
}

#[test]
fn the_worst_attempt_decides() {
    let dir = private();
    let ledger = ledger(dir.path());
    let one = submit(&ledger, 1, sif(right()));
    let told = |attempt: &str, grade, sif| Receipt {
        attempt: attempt.into(),
        ..receipt(&one, grade, sif, true)
    };
    let verdicts = || {
        let answer = ask(dir.path(), "local:1");
        let attempts = answer.submissions[0].attempts.iter().map(|a| a.verdict);
        (answer.verdict, attempts.collect::<Vec<_>>())
    };
    ledger.receipt(&one, &told("a1", Grade::Measured, Some(right()))).unwrap();
    assert_eq!(verdicts(), (Verdict::Match, vec![Verdict::Match]));
    ledger.receipt(&one, &told("a2", Grade::None, None)).unwrap();
    assert_eq!(verdicts(), (Verdict::Unproven, vec![Verdict::Match, Verdict::Unproven]));
    ledger.receipt(&one, &told("a3", Grade::Measured, Some(wrong()))).unwrap();
    assert_eq!(verdicts().0, Verdict::Mismatch);
    ledger.receipt(&one, &told("a4", Grade::Measured, Some(right()))).unwrap();
    assert_eq!(verdicts().0, Verdict::Mismatch);
    // one attempt, two stories
    ledger.receipt(&one, &told("a4", Grade::None, None)).unwrap();
    let notes = ask(dir.path(), "local:1").notes;
    assert_eq!(notes, ["attempt a4: another receipt of the same attempt says something else"]);
}

#[test]
fn a_strangers_receipt_is_noted() {
    let dir = private();
    let ledger = ledger(dir.path());
    let one = submit(&ledger, 1, sif(right()));
    let good = receipt(&one, Grade::Measured, Some(right()), true);
    let replayed = Receipt { nonce: Nonce::from_bytes([3; 16]), ..good };
    assert!(!ledger.receipt(&one, &replayed).unwrap());
    let answer = ask(dir.path(), "local:1");
    assert_eq!((answer.verdict, answer.reason), (Verdict::Unproven, Reason::ForeignReceipt));
    assert_eq!(answer.notes.len(), 1);
    let foreign = answer.submissions[0].attempts[0].foreign;
    assert_eq!(foreign, Some((one.intent, Nonce::from_bytes([3; 16]))));
}

#[test]
fn what_never_ran_is_unproven() {
    let dir = private();
    let ledger = ledger(dir.path());
    let refused = ledger.intend(&intent(&entry(1), sif(right()))).unwrap();
    ledger.refused(&refused, "no such queue").unwrap();
    let open = ledger.intend(&intent(&entry(2), sif(right()))).unwrap();
    let unsure = ledger.intend(&intent(&entry(3), oci())).unwrap();
    ledger.uncertain(&unsure, "the connection broke").unwrap();
    let ask = |entry: crate::ledger::Recorded| ask(dir.path(), &entry.job.to_string());
    let answer = ask(refused);
    assert_eq!((answer.verdict, answer.reason), (Verdict::Unproven, Reason::NotSubmitted));
    assert_eq!(answer.submissions[0].outcome, "refused");
    let answer = ask(open);
    assert_eq!((answer.reason, answer.submissions[0].outcome), (Reason::NoReceipt, "open"));
    assert_eq!(answer.notes.len(), 1);
    let answer = ask(unsure);
    assert_eq!((answer.reason, answer.submissions[0].outcome), (Reason::NoReceipt, "uncertain"));
    assert_eq!(answer.notes.len(), 1);
    // the engine said no, and yet a worker reports
    ledger.receipt(&refused, &receipt(&refused, Grade::Measured, Some(wrong()), true)).unwrap();
    let answer = ask(refused);
    assert_eq!((answer.verdict, answer.submissions[0].outcome), (Verdict::Mismatch, "uncertain"));
}

#[test]
fn a_second_submission_counts_and_a_refused_one_does_not() {
    let dir = private();
    let ledger = ledger(dir.path());
    let first = ledger.intend(&intent(&entry(1), sif(right()))).unwrap();
    ledger.refused(&first, "full").unwrap();
    let again = crate::ledger::Recorded { intent: entry(2).intent, nonce: entry(2).nonce, ..first };
    ledger.intend(&intent(&again, sif(right()))).unwrap();
    ledger.receipt(&again, &receipt(&again, Grade::Measured, Some(right()), true)).unwrap();
    let answer = ask(dir.path(), &first.job.to_string());
    assert_eq!((answer.verdict, answer.submissions.len()), (Verdict::Match, 2));
}

#[test]
fn erased_names_are_not_answered_and_the_verdict_stays() {
    let dir = private();
    let ledger = ledger(dir.path());
    let one = submit(&ledger, 1, sif(right()));
    ledger.receipt(&one, &receipt(&one, Grade::Measured, Some(right()), true)).unwrap();
    let answer = ask(dir.path(), "local:1");
    assert_eq!((answer.user.as_deref(), answer.name.as_deref()), (Some("ada"), Some("analysis")));
    ledger.erase(one.intent).unwrap();
    let answer = ask(dir.path(), "local:1");
    assert_eq!(
        (answer.verdict, answer.user.clone(), answer.name.clone()),
        (Verdict::Match, None, None)
    );
    assert_eq!(answer.notes.len(), 1);
    assert!(!serde_json::to_string(&answer).unwrap().contains("ada"));
}

#[test]
fn jobs_of_an_image_are_found_by_each_of_its_names() {
    let dir = private();
    let ledger = ledger(dir.path());
    let one = submit(&ledger, 1, sif(right()));
    let two = submit(&ledger, 2, oci());
    let three = submit(
        &ledger,
        3,
        Image::Sif {
            pin: None,
            manifest: None,
            digest: SifDigest::of(b"given"),
            recipe: None,
            tree: None,
        },
    );
    // asked for one file, measured the other
    ledger.receipt(&three, &receipt(&three, Grade::Measured, Some(right()), true)).unwrap();
    let view = View::read(dir.path()).unwrap();
    let ask = |text: &str| {
        let query = asked(text);
        let jobs = audit_image(&view, &query).jobs;
        jobs.into_iter().map(|job| (job.job, job.matched)).collect::<Vec<_>>()
    };
    let both = |matched| vec![(one.job, matched), (two.job, matched)];
    assert_eq!(ask(&Digest::of(b"manifest").to_string()), both(Matched::Manifest));
    assert_eq!(ask(&Digest::of(b"index").to_string()), both(Matched::Index));
    assert_eq!(ask(&ConfigDigest::of(b"config").to_string()), both(Matched::Config));
    assert_eq!(
        ask(&right().to_string()),
        [(one.job, Matched::Sif), (three.job, Matched::Measured)]
    );
    assert_eq!(ask("group/project"), both(Matched::Reference));
    assert_eq!(ask("registry.example/group/project:v1"), both(Matched::Reference));
    assert_eq!(ask(&pin().reference().to_string()), both(Matched::Manifest));
    for other in ["group/project:v2", "group/other:v1", "other.example/group/project:v1"] {
        assert_eq!(ask(other), [], "{other}");
    }
    assert_eq!(ask(&format!("group/project@{}", Digest::of(b"other"))), []);
    assert_eq!(ask(&Digest::of(b"other").to_string()), []);
    let query = ImageQuery::Bytes(*right().bytes());
    let answer = audit_image(&view, &query);
    assert_eq!(answer.jobs[1].verdict, Verdict::Mismatch);
}

#[test]
fn an_unknown_job_is_a_typed_error() {
    let error = audit_job(&View::default(), "01").unwrap_err();
    assert_eq!(error, LookupError::Unknown { asked: "01".into(), newest: vec![] });
}

#[test]
fn what_else_decided_qualifies_a_match_also_when_names_are_erased() {
    let dir = private();
    let ledger = ledger(dir.path());
    let one = submit(&ledger, 1, sif(right()));
    let mut told = receipt(&one, Grade::MeasuredCached, Some(right()), true);
    told.runtime = crate::job::Name::known("apptainer");
    told.conditions = Conditions {
        hides: Some(Hides::Yes),
        options: vec!["--bind=/x:/opt".into()],
        covers: vec![Cover { target: "/opt/tool".into(), source: "/home/ada/tool".into() }],
        ..Conditions::default()
    };
    ledger.receipt(&one, &told).unwrap();
    let check = |answer: &JobAnswer| {
        assert_eq!(answer.verdict, Verdict::Match);
        let names: Vec<_> = answer.qualified.iter().map(Qualifier::name).collect();
        assert_eq!(names, ["mount", "option", "runtime-believed", "measured-earlier"]);
        let json = serde_json::to_value(answer).unwrap();
        assert_eq!(json["qualified"][3], "measured-earlier");
        assert_eq!(answer.submissions[0].attempts[0].forgeable_by.len(), 3);
    };
    let answer = ask(dir.path(), "local:1");
    check(&answer);
    assert_eq!(answer.submissions[0].attempts[0].conditions.covers.len(), 1);
    assert!(ledger.erase(one.intent).unwrap() > 0);
    let answer = ask(dir.path(), "local:1");
    check(&answer);
    assert_eq!(answer.submissions[0].attempts[0].conditions.covers.len(), 0);
}

#[test]
fn what_did_not_run_is_qualified_by_nothing() {
    let dir = private();
    let ledger = ledger(dir.path());
    let one = submit(&ledger, 1, sif(right()));
    let mut told = receipt(&one, Grade::MeasuredCached, Some(right()), false);
    told.conditions.options = vec!["--bind=/x:/opt".into()];
    ledger.receipt(&one, &told).unwrap();
    let answer = ask(dir.path(), "local:1");
    assert_eq!((answer.reason, answer.qualified.as_slice()), (Reason::NotStarted, &[][..]));
    assert_eq!(answer.submissions[0].attempts[0].qualified, []);
    let query = ImageQuery::Bytes(*right().bytes());
    let used = audit_image(&View::read(dir.path()).unwrap(), &query);
    assert_eq!(used.jobs[0].qualified, []);
}

#[test]
fn a_newer_programs_receipt_is_shown_and_not_judged() {
    let dir = private();
    let ledger = ledger(dir.path());
    let one = submit(&ledger, 1, sif(right()));
    let mut told = receipt(&one, Grade::Measured, Some(right()), true);
    told.schema = crate::worker::RECEIPT_SCHEMA + 1;
    ledger.receipt(&one, &told).unwrap();
    let answer = ask(dir.path(), "local:1");
    assert_eq!((answer.verdict, answer.reason), (Verdict::Unproven, Reason::NeedsNewer));
    assert_eq!(answer.submissions[0].attempts[0].measured, Some(right().to_string()));
}

/// What a worker checked each block by is the job's own image, and not another one that ran.
#[test]
fn an_image_is_found_by_the_root_of_its_tree() {
    let dir = private();
    let tree = TreeRoot::of(b"tree");
    let Image::Sif { pin, manifest, digest, recipe, .. } = sif(right()) else { panic!() };
    submit(&ledger(dir.path()), 1, Image::Sif { pin, manifest, digest, recipe, tree: Some(tree) });
    let query = ImageQuery::Bytes(*tree.bytes());
    let answer = audit_image(&View::read(dir.path()).unwrap(), &query);
    assert_eq!(answer.jobs.len(), 1);
    assert_eq!(answer.jobs[0].matched, Matched::Tree);
}

#[test]
fn a_receipt_that_cannot_be_true_proves_nothing() {
    type Change = fn(&mut crate::worker::Receipt);
    let table: [(&str, Change, Reason); 3] = [
        ("by no runtime", |r| r.runtime = crate::job::Name::known("none"), Reason::Contradictory),
        ("after the end", |r| r.start = Start::Started { at: at(10) }, Reason::Contradictory),
        // it speaks against the job all the same
        (
            "another image",
            |r| {
                let wrong = SifDigest::of(b"wrong");
                r.expected = Some(wrong);
                r.evidence.measured = Some(crate::job::Measured::Sif(wrong));
            },
            Reason::OtherDigest,
        ),
    ];
    for (words, change, reason) in table {
        let dir = private();
        let ledger = ledger(dir.path());
        let one = submit(&ledger, 1, sif(right()));
        let mut told = receipt(&one, Grade::Measured, Some(right()), true);
        change(&mut told);
        ledger.receipt(&one, &told).unwrap();
        let answer = ask(dir.path(), "local:1");
        assert_eq!(answer.reason, reason, "{words}");
        assert_ne!(answer.verdict, Verdict::Match);
        assert!(answer.notes.iter().any(|note| note.contains(words)), "{:?}", answer.notes);
        assert_eq!(answer.submissions[0].attempts[0].contradictions.len(), 1);
    }
    // of two stories of one attempt neither is believed
    let dir = private();
    let ledger = ledger(dir.path());
    let one = submit(&ledger, 1, sif(right()));
    let told = receipt(&one, Grade::Measured, Some(right()), true);
    ledger.receipt(&one, &told).unwrap();
    assert_eq!(ask(dir.path(), "local:1").verdict, Verdict::Match);
    ledger.receipt(&one, &crate::worker::Receipt { exit_code: 7, ..told }).unwrap();
    let answer = ask(dir.path(), "local:1");
    assert_eq!((answer.verdict, answer.reason), (Verdict::Unproven, Reason::Contradictory));
}
