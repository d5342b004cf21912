//! The sweep: at every writing system call of a command the process is killed, or the call fails with
//! `EIO` or `ENOSPC`, once or from then on. Afterwards the store and the ledger are whole, the next run
//! gives the right bytes, and nothing is left behind.
//!
//! ```text
//! traced once      every call in the command's own directory is a place:  (call, its number in its thread)
//! place x fault    a point; `strace --inject=CALL:FAULT:when=NUMBER` of a fresh copy of the directory
//! ```
//!
//! `MOORLINE_SWEEP_POINTS` says how many points are taken, spread evenly over all; 10,000 with
//! `MOORLINE_SOAK=1`, 60 without either. A number above all points takes them again with other threads.

#![allow(clippy::print_stderr, reason = "the counts are the result")]

#[path = "store/place.rs"]
mod place;
#[path = "sweep/points.rs"]
mod points;
#[path = "sweep/stories.rs"]
mod stories;
mod support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use points::{Point, Struck};
use stories::Story;
use support::have;

fn wanted() -> usize {
    let set = std::env::var("MOORLINE_SWEEP_POINTS").ok();
    let soak = std::env::var_os("MOORLINE_SOAK").is_some();
    set.map_or(if soak { 10_000 } else { 60 }, |text| text.parse().expect("a number of points"))
}

fn can_trace(test: &str) -> bool {
    let traces = std::process::Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    have("strace", test, traces.is_ok_and(|status| status.success()))
}

/// `wanted` of all points, evenly.
fn chosen(all: &[(usize, Point)], wanted: usize) -> Vec<(usize, Point)> {
    let rounds = wanted / all.len();
    let rest = wanted % all.len();
    let mut points: Vec<_> = (0..rounds)
        .flat_map(|round| all.iter().map(move |(s, p)| (*s, p.in_round(round))))
        .collect();
    points.extend((0..rest).map(|i| {
        let (story, point) = &all[i * all.len() / rest];
        (*story, point.in_round(rounds))
    }));
    points
}

#[test]
fn every_writing_call_may_fail_or_be_the_last() {
    if !can_trace("every_writing_call_may_fail_or_be_the_last") {
        return;
    }
    let stories = Story::all();
    let all: Vec<(usize, Point)> = stories
        .iter()
        .enumerate()
        .flat_map(|(number, story)| story.points().into_iter().map(move |point| (number, point)))
        .collect();
    for (number, story) in stories.iter().enumerate() {
        let of = all.iter().filter(|(story, _)| *story == number).count();
        eprintln!("sweep: {}: {of} points", story.name);
        assert!(of > 20, "{}: only {of} points were found", story.name);
    }
    let points = chosen(&all, wanted());
    let (next, struck) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some((number, point)) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let story = &stories[*number];
                    let (place, outcome) = story.strike(point);
                    struck.fetch_add(usize::from(outcome.fired), Ordering::Relaxed);
                    if let Err(why) = story.check(&place, &outcome) {
                        failures.lock().unwrap().push(format!("{}: {point}: {why}", story.name));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let struck = struck.into_inner();
    eprintln!(
        "sweep: {} points of {}; the fault came in {struck}; {} failed",
        points.len(),
        all.len(),
        failures.len()
    );
    for failure in failures.iter().skip(1).take(20) {
        eprintln!("sweep: also: {}", failure.lines().next().unwrap_or_default());
    }
    assert!(failures.is_empty(), "the first failure of {}:\n{}", failures.len(), failures[0]);
    // threads do not make the same calls in each run, so some faults find nothing to strike
    assert!(struck * 10 > points.len() * 8, "the fault came in only {struck} of {}", points.len());
}

/// The sweep finds what it is there to find.
#[test]
fn the_sweep_itself_can_fail() {
    if !can_trace("the_sweep_itself_can_fail") {
        return;
    }
    let stories = Story::all();
    for story in &stories {
        let kill = story.points().into_iter().find(Point::is_kill).unwrap();
        let (place, outcome) = story.strike(&kill);
        assert!(outcome.fired && outcome.killed, "{}: {kill}: {outcome:?}", story.name);
        story.check(&place, &outcome).unwrap();

        let (place, outcome) = story.strike(&kill);
        story.damage(&place);
        assert!(story.check(&place, &outcome).is_err(), "{}: damage was not seen", story.name);

        let (place, outcome) = story.strike(&kill);
        let panicked = Struck { code: Some(101), killed: false, ..outcome };
        assert!(story.check(&place, &panicked).is_err(), "{}: a panic was not seen", story.name);
    }
}
