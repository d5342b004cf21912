//! Changed, missing and torn bytes; other versions.

use std::fs;
use std::io::Write;

use moorline::ledger::{LIMITS, Ledger, RecordHash, View, verify};
use proptest::prelude::*;

use crate::ledger::fixtures::{entry, name, scratch, seal, segments, small, sound};

fn line_ends(bytes: &[u8]) -> usize {
    bytes.split(|b| *b == b'\n').count() - 1
}

#[test]
fn every_flipped_bit_is_named() {
    let dir = scratch();
    let file = small(dir.path());
    let good = fs::read(&file).unwrap();
    sound(dir.path());
    for byte in 0..good.len() {
        let line = line_ends(&good[..byte]) + 1;
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[byte] ^= 1 << bit;
            fs::write(&file, &bad).unwrap();
            let report = verify(dir.path()).unwrap();
            assert!(
                report.findings.iter().any(|f| f.file == name(&file) && f.line == Some(line)),
                "byte {byte} bit {bit} of line {line}: {report:#?}"
            );
        }
    }
}

#[test]
fn lines_taken_out_moved_repeated_or_forged_are_named() {
    let dir = scratch();
    let file = small(dir.path());
    let good = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let write = |lines: &[&str]| fs::write(&file, lines.join("\n") + "\n").unwrap();
    let check = |lines: &[&str], at: usize, what: &str| {
        write(lines);
        let report = verify(dir.path()).unwrap();
        let named = report.findings.iter().any(|f| f.file == name(&file) && f.line == Some(at));
        assert!(named, "{what}: {report:#?}");
    };
    let last = lines.len() - 1;
    for i in 0..lines.len() {
        let mut repeated = lines.clone();
        repeated.insert(i, lines[i]);
        check(&repeated, i + 2, &format!("line {} repeated", i + 1));
        if i == last {
            break;
        }
        let mut removed = lines.clone();
        removed.remove(i);
        check(&removed, i + 1, &format!("line {} removed", i + 1));
        let mut moved = lines.clone();
        moved.swap(i, i + 1);
        check(&moved, i + 1, &format!("lines {} and {} changed places", i + 1, i + 2));
        // changed with care: its own check is made to fit
        let (json, _) = lines[i].rsplit_once(",\"check\"").unwrap();
        let forged = seal(&format!("{}}}", json.replace("\"time\":\"2", "\"time\":\"1")));
        assert_ne!(forged, lines[i]);
        let mut changed = lines.clone();
        changed[i] = &forged;
        check(&changed, i + 1, &format!("line {} forged", i + 1));
    }
    // the honest limit: what nothing follows can be taken away
    write(&lines[..last]);
    assert_eq!(sound(dir.path()).limits, LIMITS);
    assert!(LIMITS.contains("removed the last record"));
}

#[test]
fn segments_are_linked() {
    let dir = scratch();
    let first = small(dir.path());
    // a torn tail makes the writer open its next file
    let mut file = fs::OpenOptions::new().append(true).open(&first).unwrap();
    file.write_all(b"{\"schema\":1,").unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger.cancelled(&entry(1)).unwrap();
    ledger.cancelled(&entry(1)).unwrap();
    drop(ledger);
    let files = segments(dir.path());
    assert_eq!(files.len(), 2);
    let (one, two) = (name(&files[0]), name(&files[1]));
    assert!(one.ends_with("-000001.jsonl") && two.ends_with("-000002.jsonl"));
    assert_eq!(one[..32], two[..32], "one writer");
    let report = sound(dir.path());
    assert_eq!(report.records, 6);
    assert_eq!((report.notes.len(), report.notes[0].line), (1, Some(5)));

    let good = fs::read(&first).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let shorter: String = text.split_inclusive('\n').take(3).collect();
    fs::write(&first, shorter).unwrap();
    let report = verify(dir.path()).unwrap();
    assert!(report.findings.iter().any(|f| f.file == two && f.line == Some(1)), "{report:#?}");
    fs::remove_file(&first).unwrap();
    let report = verify(dir.path()).unwrap();
    assert!(report.findings.iter().any(|f| f.file == one && f.line.is_none()), "{report:#?}");
    fs::write(&first, &good).unwrap();
    sound(dir.path());
    // one file under another's name
    fs::copy(&files[1], dir.path().join(two.replace("000002", "000003"))).unwrap();
    assert!(!verify(dir.path()).unwrap().is_consistent());
}

#[test]
fn a_tail_torn_at_any_byte_loses_nothing_before_it() {
    let dir = scratch();
    let file = small(dir.path());
    let good = fs::read(&file).unwrap();
    let last = good[..good.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    let history = |view: &View| view.job(entry(1).job).unwrap().last().history.len();
    for cut in last + 1..good.len() {
        fs::write(&file, &good[..cut]).unwrap();
        let view = View::read(dir.path()).unwrap();
        assert_eq!((history(&view), view.damaged), (2, 0), "cut at {cut}");
        let report = sound(dir.path());
        assert_eq!((report.notes.len(), report.notes[0].line), (1, Some(4)), "cut at {cut}");

        Ledger::open(dir.path()).unwrap().cancelled(&entry(1)).unwrap();
        assert_eq!(fs::read(&file).unwrap(), good[..cut], "nothing is added behind a torn tail");
        assert_eq!(history(&View::read(dir.path()).unwrap()), 3, "cut at {cut}");
        assert_eq!(sound(dir.path()).records, 4, "cut at {cut}");
        let next = segments(dir.path()).pop().unwrap();
        assert!(name(&next).ends_with("-000002.jsonl"), "cut at {cut}");
        fs::remove_file(next).unwrap();
    }
}

#[test]
fn newer_records_are_kept_shown_and_left_alone() {
    let dir = scratch();
    let file = small(dir.path());
    let text = fs::read_to_string(&file).unwrap();
    let writer = &name(&file)[..32];
    let line = |schema: u32, sequence: u32, before: &str, body: &str| {
        let prev = RecordHash::of(before.as_bytes());
        seal(&format!(
            "{{\"schema\":{schema},\"writer\":\"{writer}\",\"segment\":1,\"sequence\":{sequence},\
             \"time\":\"2031-01-01T00:00:00Z\",\"prev\":\"{prev}\",\"body\":{body}}}"
        ))
    };
    let last = text.lines().last().unwrap();
    let unknown = line(1, 5, last, r#"{"kind":"countersigned","by":"site"}"#);
    let newer = line(3, 6, &unknown, r#"{"kind":"intent","shape":[1,2]}"#);
    let with_unknown = format!("{text}{unknown}\n");
    fs::write(&file, &with_unknown).unwrap();
    let read = || {
        let view = View::read(dir.path()).unwrap();
        (view.job(entry(1).job).unwrap().last().history.len(), view.newer, view.damaged)
    };
    assert_eq!(read(), (3, 1, 0));
    assert_eq!(sound(dir.path()).newer_records.len(), 1);

    let bytes = format!("{with_unknown}{newer}\n");
    fs::write(&file, &bytes).unwrap();
    assert_eq!(read(), (3, 2, 0));
    let report = sound(dir.path());
    assert_eq!(report.newer_records.iter().map(|n| n.line).collect::<Vec<_>>(), [Some(5), Some(6)]);
    Ledger::open(dir.path()).unwrap().cancelled(&entry(1)).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), bytes, "nothing stands behind a newer record");
    assert_eq!(segments(dir.path()).len(), 2);
    assert_eq!(read(), (4, 2, 0));
    sound(dir.path());
}

#[test]
fn strangers_are_named() {
    let dir = scratch();
    small(dir.path());
    fs::write(dir.path().join("notes.jsonl"), "{}\n").unwrap();
    let report = verify(dir.path()).unwrap();
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].file, "notes.jsonl");
    assert_eq!(View::read(dir.path()).unwrap().jobs().count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    /// Whatever bytes lie in a segment: reading answers, and checking finds what is not a record.
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let dir = scratch();
        fs::write(dir.path().join(format!("{:032x}-000001.jsonl", 1)), &bytes).unwrap();
        let lines = line_ends(&bytes);
        prop_assert_eq!(View::read(dir.path()).unwrap().damaged, lines);
        prop_assert_eq!(verify(dir.path()).unwrap().findings.len(), lines);
    }
}
