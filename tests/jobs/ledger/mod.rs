//! The ledger from outside: what is written is read, what can be erased is erased.
//!
//! `ledger/chain.rs` changes bytes, `ledger/writers.rs` races, kills and fills the disk.

mod chain;
mod fixtures;
mod newer;
mod writers;

use std::fs;

use moorline::failure::{Failure, Kind};
use moorline::job::{JobState, Observation};
use moorline::ledger::{Ledger, LookupError, Outcome, Payload, View, verify};
use moorline::worker::Receipt;

use self::fixtures::{
    entry, intent, key, name, observation, receipt, scratch, seal, segments, sound, spec,
    write_all_kinds,
};

#[test]
fn what_was_written_is_read() {
    let dir = scratch();
    write_all_kinds(&Ledger::open(dir.path()).unwrap());
    let view = View::read(dir.path()).unwrap();
    assert_eq!((view.damaged, view.newer, view.orphans), (0, 0, 0));
    let job = view.job(entry(1).job).unwrap();
    let submission = job.last();
    assert_eq!(submission.spec(), Some(spec(1)));
    assert_eq!(submission.entry, entry(1));
    assert_eq!(submission.outcome, Outcome::Submitted(key(12)));
    assert_eq!(submission.seen, Some(observation()));
    assert_eq!(submission.receipts[0].receipt, receipt(1));
    assert!(submission.cancelled);
    assert_eq!(submission.history.last().unwrap().text.as_deref(), Some("SENTINEL-note"));
    assert_eq!(job.state(), JobState::Failed);
    let other = view.job(entry(2).job).unwrap();
    assert_eq!(other.last().outcome, Outcome::Refused("SENTINEL-no".into()));
    assert_eq!(other.state(), JobState::Failed);

    assert!(submission.knows_receipt(&receipt(1)) && submission.knows_observation(&observation()));
    assert!(!submission.knows_receipt(&Receipt { exit_code: 0, ..receipt(1) }));
    assert!(!submission.knows_observation(&Observation::of(JobState::Failed)));
    let report = sound(dir.path());
    assert_eq!((report.files, report.records), (1, 9));
    assert_eq!((report.payloads, report.erased), (8, 0));
}

#[test]
fn states_of_a_submission() {
    let dir = scratch();
    let ledger = Ledger::open(dir.path()).unwrap();
    let state = || View::read(dir.path()).unwrap().job(entry(1).job).unwrap().state();
    let one = ledger.intend(&intent(1)).unwrap();
    assert_eq!(state(), JobState::Submitting);
    ledger.uncertain(&one, "no answer").unwrap();
    assert_eq!(state(), JobState::Unknown);
    ledger.submitted(&one, &key(1)).unwrap();
    assert_eq!(state(), JobState::Submitted);
    ledger.uncertain(&one, "late").unwrap();
    assert_eq!(state(), JobState::Submitted, "a known key is not unknown again");
    ledger.observed(&one, &Observation::of(JobState::Completed)).unwrap();
    ledger.observed(&one, &Observation::of(JobState::Unknown)).unwrap();
    assert_eq!(state(), JobState::Completed, "the engine forgot, the ledger did not");
}

#[test]
fn jobs_are_found_by_prefix_and_engine_id() {
    let dir = scratch();
    let ledger = Ledger::open(dir.path()).unwrap();
    for n in [1, 2, 3] {
        let one = ledger.intend(&intent(n)).unwrap();
        // the engine issued 7 twice
        ledger.submitted(&one, &key(if n == 3 { 8 } else { 7 })).unwrap();
    }
    let view = View::read(dir.path()).unwrap();
    let id = |n| entry(n).job;
    assert_eq!(view.find(&id(2).to_string()).unwrap().id, id(2));
    assert_eq!(view.find(&id(2).to_string()[..10]).unwrap().id, id(2));
    assert_eq!(view.find("slurm:8").unwrap().id, id(3));
    let both = LookupError::Ambiguous { asked: "slurm:7".into(), candidates: vec![id(1), id(2)] };
    assert_eq!(view.find("slurm:7").unwrap_err(), both);
    assert_eq!(both.kind(), Kind::Usage);
    let common = &id(1).to_string()[..9];
    let all = vec![id(1), id(2), id(3)];
    let all = LookupError::Ambiguous { asked: common.into(), candidates: all };
    assert_eq!(view.find(common).unwrap_err(), all);
    for unknown in ["", "zzz", "slurm:9", "local:8", "slurm:", ":", "8"] {
        let error = view.find(unknown).unwrap_err();
        let newest = vec![id(3), id(2), id(1)];
        assert_eq!(error, LookupError::Unknown { asked: unknown.into(), newest });
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.hint().unwrap().contains(&id(3).to_string()));
    }
}

#[test]
fn no_name_stands_in_the_chain_and_erasing_keeps_it_valid() {
    let dir = scratch();
    let ledger = Ledger::open(dir.path()).unwrap();
    write_all_kinds(&ledger);
    let chain = || {
        let files = segments(dir.path());
        files.iter().map(|file| fs::read_to_string(file).unwrap()).collect::<String>()
    };
    let before = chain();
    assert!(!before.contains("SENTINEL"), "{before}");

    let kept = sound(dir.path()).payloads;
    let erased = ledger.erase(entry(1).intent).unwrap();
    assert_eq!(erased, 5, "intent, submitted, observed, receipt, note");
    assert_eq!(chain(), before);
    let report = sound(dir.path());
    assert_eq!((report.payloads, report.erased), (kept - erased, erased));
    let view = View::read(dir.path()).unwrap();
    let submission = view.job(entry(1).job).unwrap().last();
    assert_eq!((&submission.personal, submission.spec()), (&Payload::Erased, None));
    assert_eq!(submission.receipts[0].receipt.evidence, receipt(1).evidence);
    assert!(submission.knows_receipt(&receipt(1)), "collected once is collected");
    assert!(submission.knows_observation(&observation()));
    assert_eq!(submission.key().unwrap().id, "12");
    assert!(!format!("{submission:?}").contains("SENTINEL"));
    assert!(view.job(entry(2).job).unwrap().last().spec().is_some(), "the other job is whole");
    assert_eq!(ledger.erase(entry(1).intent).unwrap(), 0);
}

#[test]
fn a_changed_payload_is_named_and_not_used() {
    let dir = scratch();
    Ledger::open(dir.path()).unwrap().intend(&intent(1)).unwrap();
    let mut files = fs::read_dir(dir.path().join("personal")).unwrap();
    let payload = files.next().unwrap().unwrap().path();
    let text = fs::read_to_string(&payload).unwrap();
    fs::write(&payload, text.replace("SENTINEL-user", "somebody")).unwrap();
    let report = verify(dir.path()).unwrap();
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].file, format!("personal/{}", name(&payload)));
    let view = View::read(dir.path()).unwrap();
    let submission = view.job(entry(1).job).unwrap().last();
    assert!(matches!(submission.personal, Payload::Damaged(_)) && submission.spec().is_none());
    // one that no record speaks of is worth a note
    fs::write(&payload, text).unwrap();
    fs::write(payload.with_extension("tmp"), "{").unwrap();
    assert_eq!(sound(dir.path()).notes.len(), 1);
}

#[test]
fn records_without_their_intent_are_counted() {
    let dir = scratch();
    Ledger::open(dir.path()).unwrap().cancelled(&entry(1)).unwrap();
    let view = View::read(dir.path()).unwrap();
    assert_eq!((view.orphans, view.jobs().count()), (1, 0));
}

#[test]
fn another_hosts_clock_does_not_hide_a_record() {
    let dir = scratch();
    let one = Ledger::open(dir.path()).unwrap().intend(&intent(1)).unwrap();
    // a second writer whose clock is years behind
    let writer = format!("{:032x}", 0xabc);
    let line = seal(&format!(
        "{{\"schema\":1,\"writer\":\"{writer}\",\"segment\":1,\"sequence\":1,\
         \"time\":\"2001-01-01T00:00:00Z\",\"prev\":null,\"body\":{{\"kind\":\"observed\",\
         \"job\":\"{}\",\"intent\":\"{}\",\"state\":\"running\"}}}}",
        one.job, one.intent
    ));
    let file = dir.path().join(format!("{writer}-000001.jsonl"));
    fs::write(file, format!("{line}\n")).unwrap();
    let view = View::read(dir.path()).unwrap();
    assert_eq!((view.orphans, view.job(one.job).unwrap().state()), (0, JobState::Running));
    sound(dir.path());
}
