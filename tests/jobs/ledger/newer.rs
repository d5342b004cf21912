//! Records that a newer program wrote. The stored file is made up: nobody can run a program that is not
//! written yet; `records-1.jsonl` and `records-2.jsonl` are what released and today's programs wrote.

use std::fs;

use moorline::audit::{Reason, Verdict, audit_job};
use moorline::job::{JobState, Name, RuntimeChoice};
use moorline::ledger::{Ledger, Outcome, View};

use super::fixtures::{scratch, segments, sound};

const WRITER: &str = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";

fn job(n: u8) -> String {
    format!("01hf7yat00000000000000000{n}")
}

#[test]
fn a_newer_programs_jobs_are_shown_with_what_is_known() {
    let dir = scratch();
    let file = dir.path().join(format!("{WRITER}-000001.jsonl"));
    let text = include_str!("records-3.jsonl");
    fs::write(&file, text).unwrap();
    let view = View::read(dir.path()).unwrap();
    assert_eq!((view.jobs().count(), view.newer, view.damaged, view.orphans), (4, 8, 0, 0));
    let last = |n: u8| view.find(&job(n)).unwrap().last();

    // names alone need no newer program
    let one = last(1);
    assert!(one.whole);
    assert_eq!(one.backend, Name::known("of-tomorrow"));
    assert_eq!(one.runtime, RuntimeChoice::Podman);
    assert_eq!(one.state(), JobState::Other(Name::known("suspended")));
    assert!(!one.state().is_final());

    // the receipt is shown, and what it says in new words is no evidence here
    let answer = audit_job(&view, &job(2)).unwrap();
    assert_eq!((answer.verdict, answer.reason), (Verdict::Unproven, Reason::NeedsNewer));
    let attempt = &answer.submissions[0].attempts[0];
    assert_eq!((attempt.runtime.as_str(), attempt.grade.name()), ("enroot", "attested"));
    assert!(last(2).spec().is_none(), "half a job is not repeated");

    // the image's names are found though its form is not known
    let three = last(3);
    assert_eq!((three.whole, &three.outcome), (false, &Outcome::Open));
    assert!(three.image.pin().is_some() && three.image.sif().is_none());
    assert_eq!(three.history.len(), 2);
    assert!(audit_job(&view, &job(3)).unwrap().notes.iter().any(|n| n.contains("newer moorline")));

    // a recipe of which one word is new
    assert!(last(4).image.sif().is_some() && last(4).spec().is_none());

    let report = sound(dir.path());
    assert_eq!((report.records, report.newer), (12, 8));
    let newer: Vec<_> = report.newer_records.iter().map(|n| n.line).collect();
    assert_eq!(newer, [4, 5, 6, 7, 8, 9, 11, 12].map(Some));
    assert!(report.notes.is_empty(), "{:?}", report.notes);

    // nothing is appended behind them
    let entry = last(1).entry;
    Ledger::open(dir.path()).unwrap().cancelled(&entry).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert_eq!(segments(dir.path()).len(), 2);
}

#[test]
fn an_older_programs_ledger_is_read_as_a_whole() {
    let dir = scratch();
    let writer = "abababababababababababababababab";
    let text = include_str!("records-1.jsonl");
    fs::write(dir.path().join(format!("{writer}-000001.jsonl")), text).unwrap();
    let view = View::read(dir.path()).unwrap();
    assert_eq!((view.jobs().count(), view.newer, view.damaged), (1, 0, 0));
    let submission = view.jobs().next().unwrap().last();
    assert!(submission.whole && submission.cancelled);
    let answer = audit_job(&view, &submission.entry.job.to_string()).unwrap();
    assert_eq!((answer.verdict, answer.reason), (Verdict::Match, Reason::SameDigest));
    assert!(answer.qualified.is_empty());
    sound(dir.path());
}
